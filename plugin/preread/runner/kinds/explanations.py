"""Pictures of what a network looked at, for whoever asks or where a threshold says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.runner.kinds.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from preread.ledger.sql import SqlLedger
    from preread.runner.explaining import Explainer
    from preread.runner.kinds.kind import Worker
    from preread.runner.parts import Parts


def explainer(parts: Parts) -> Explainer:
    """Return what makes a picture."""
    from preread.models.attention import Attention  # noqa: PLC0415 - not needed to tell of it
    from preread.runner.explaining import Explainer  # noqa: PLC0415 - as above

    settings = parts.site.settings
    return Explainer(
        parts.ledger,
        parts.pacs,
        parts.announcer,
        parts.catalogue,
        Attention(settings.models.engine.value, settings.runner.threads),
        parts.open_image,
        parts.uids,
        copies=parts.copies,
    )


def _worker(parts: Parts) -> Worker:
    from preread.runner.explaining import Explaining  # noqa: PLC0415 - as above

    return Explaining(
        parts.ledger.explanations,
        explainer(parts),
        parts.owner,
        parts.meter,
        parts.site.settings.ledger.lease_seconds,
    )


def _counts(ledger: SqlLedger) -> Mapping[str, int]:
    return {state.value: number for state, number in ledger.explanations.counts().items()}


KIND = Kind("explanation", _worker, status="Explanations", count=_counts)
