"""GET /preread/studies: where models have read images."""

from __future__ import annotations

from typing import Any

from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request


def studies(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/studies?limit=``: studies with predictions, the latest read first."""
    limit = request.number("limit", 100, smallest=1, largest=10_000)
    found: dict[str, dict[str, Any]] = {}
    for one in context.ledger().studies(limit):
        study = found.setdefault(
            one.study, {"ID": one.study, "StudyInstanceUID": one.StudyInstanceUID, "Series": []}
        )
        study["Series"].append(
            {"ID": one.series, "SeriesInstanceUID": one.SeriesInstanceUID, "Images": one.images}
        )
    return Answer(list(found.values()))
