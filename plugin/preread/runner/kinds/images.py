"""Single images, read by the models that apply to them, one stage overlapping the other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from preread.runner.kinds.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from preread.ledger.sql import SqlLedger
    from preread.runner.parts import Parts
    from preread.runner.pipeline import Pipeline
    from preread.runner.writing import Writer


def pipeline(parts: Parts) -> Pipeline:
    """Load the models, and return what reads images."""
    from preread.models.ensemble import Ensemble  # noqa: PLC0415 - not needed to tell of it
    from preread.runner.pipeline import Pace, Pipeline, Stations  # noqa: PLC0415 - as above
    from preread.runner.reading import Decoder, Reader  # noqa: PLC0415 - as above
    from preread.runner.thresholds import Thresholds  # noqa: PLC0415 - as above

    settings, catalogue = parts.site.settings, parts.catalogue
    thresholds = Thresholds(settings.explain, catalogue)
    ensemble = Ensemble(catalogue, settings.models.engine.value, settings.runner.threads)
    parts.meter.loaded(ensemble.engine, catalogue.names)
    return Pipeline(
        parts.owner,
        Stations(
            ledger=parts.ledger,
            pacs=parts.pacs,
            decoder=Decoder(catalogue, parts.open_image, settings.models.outside_input),
            reader=Reader(catalogue, ensemble, settings.runner.batch_size),
            writer=_writer(parts),
            meter=parts.meter,
            wishes=thresholds.wanted,
        ),
        Pace(
            lease_seconds=settings.ledger.lease_seconds,
            # One keeps pace with networks on the same cores; a GPU wants more.
            decoders=max(1, min(4, (os.cpu_count() or 1) // 2)),
            drained=parts.drained,
        ),
        parts.wake,
    )


def _writer(parts: Parts) -> Writer:
    from preread.deidentify.pixels.complete import CompleteDeidentifier  # noqa: PLC0415 - as above
    from preread.deidentify.study_patients import StudyPatients  # noqa: PLC0415 - as above
    from preread.runner.writing import Writer  # noqa: PLC0415 - as above
    from preread.wiring.trail import trail_of  # noqa: PLC0415 - as above

    site = parts.site
    return Writer(
        parts.pacs,
        parts.announcer,
        mode=site.settings.deidentify.mode,
        placement=site.settings.predictions.placement,
        deidentifier=CompleteDeidentifier(
            parts.secret,
            site.deidentify_options,
            trail_of(site),
            "copy",
            StudyPatients(site.patients_file, parts.secret),
        ),
        uids=parts.uids,
    )


def _counts(ledger: SqlLedger) -> Mapping[str, int]:
    return {state.value: number for state, number in ledger.counts().items()}


# The assembly starts the pipeline itself: it loads the models, after all others are at work.
KIND = Kind("image", None, status="Jobs", count=_counts)
