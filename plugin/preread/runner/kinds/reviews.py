"""The objects that tell what was decided about proposals; those that are out of date go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.runner.kinds.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from preread.ledger.sql import SqlLedger
    from preread.runner.kinds.kind import Worker
    from preread.runner.parts import Parts


def _worker(parts: Parts) -> Worker:
    from preread.runner.reviewing import (  # noqa: PLC0415 - not needed to tell of it
        Reviewer,
        Reviewing,
    )

    ledger = parts.ledger
    return Reviewing(
        ledger.reviews,
        ledger.proposals,
        ledger.stored_objects,
        Reviewer(ledger.proposals, parts.pacs, parts.depositor, parts.uids),
        parts.owner,
        parts.meter,
    )


def _counts(ledger: SqlLedger) -> Mapping[str, int]:
    """Count proposals by status; stale is a decision whose image or object is not as it was."""
    found = {status.value: number for status, number in ledger.proposals.counts().items()}
    return found | {"stale": ledger.stored_objects.stale()}


KIND = Kind("review", _worker, status="Proposals", count=_counts)
