"""Networks (IODeep) that have come: whether they can be run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.runner.kinds.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from preread.ledger.sql import SqlLedger
    from preread.runner.kinds.kind import Worker
    from preread.runner.parts import Parts


def _worker(parts: Parts) -> Worker | None:
    from preread.runner.network_checking import (  # noqa: PLC0415 - not needed to tell of it
        NetworkChecking,
    )

    if not parts.beside_orthanc:
        return None
    checking = NetworkChecking.of(parts.site, parts.ledger, parts.pacs, parts.owner, parts.meter)
    checking.look_into_folder()
    return checking


def _counts(ledger: SqlLedger) -> Mapping[str, int]:
    return {state.value: number for state, number in ledger.networks.counts().items()}


KIND = Kind("network", _worker, status="Networks", count=_counts, beside_orthanc=True)
