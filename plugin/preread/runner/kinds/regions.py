"""Regions that networks (IODeep) find in series that are complete, or for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.ledger.network import NetworkState
from preread.runner.kinds.kind import Kind

if TYPE_CHECKING:
    from preread.runner.kinds.kind import Worker
    from preread.runner.outliner import Outliner
    from preread.runner.parts import Parts


def _outliner(parts: Parts) -> Outliner:
    from preread.iodeep.configured import configured_predictor  # noqa: PLC0415 - as above
    from preread.runner.network_objects import NetworkObjects  # noqa: PLC0415 - as above
    from preread.runner.outliner import Outliner  # noqa: PLC0415 - as above

    settings = parts.site.settings.iodeep.proposals
    return Outliner(
        parts.ledger,
        parts.pacs,
        NetworkObjects(parts.pacs, parts.site.models_folder),
        configured_predictor(parts.site),
        parts.proposer,
        parts.open_image,
        excluded=settings.excluded_modalities,
        on_request=settings.on_request_only,
        enabled=settings.enabled,
        waits_for_copies=parts.copies is not None,
        defers=not parts.beside_orthanc and parts.drained is None,
    )


def _worker(parts: Parts) -> Worker:
    from preread.runner.outlining import Outlining  # noqa: PLC0415 - as above

    return Outlining(
        parts.ledger.series_work,
        _outliner(parts),
        parts.owner,
        parts.meter,
        lease_seconds=parts.site.settings.ledger.lease_seconds,
        quiet_seconds=parts.site.settings.iodeep.proposals.quiet_seconds,
        ready=lambda: not parts.ledger.networks.counts()[NetworkState.RECEIVED],
    )


KIND = Kind("regions", _worker, begins_with_series=True)
