"""The predictor as the settings want it: the same in the runner and in a service of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.iodeep.architecture import Limits
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor, RegionOptions

if TYPE_CHECKING:
    from preread.iodeep_sections import LimitSettings, RegionSettings
    from preread.settings import Site


def configured_predictor(site: Site) -> Predictor:
    """Make a predictor of the settings ``IODeep.Regions`` and ``IODeep.Limits``.

    The frames that it holds at a time may take what one image may, ``Runner.MaxImageMegabytes``,
    and it computes with ``Runner.Threads``.
    """
    settings = site.settings.iodeep
    return Predictor(
        WeightsFolder(site.models_folder),
        region_options(settings.regions),
        limits=limits(settings.limits),
        batch_size=settings.regions.batch_size,
        max_bytes=site.settings.runner.max_image_megabytes * 2**20,
        kept=settings.regions.networks_kept,
        threads=site.settings.runner.threads,
    )


def region_options(settings: RegionSettings) -> RegionOptions:
    """Give which regions are proposed."""
    return RegionOptions(
        threshold=settings.threshold,
        smallest_area=settings.smallest_area,
        smallest_pixels=settings.smallest_pixels,
        most=settings.most,
    )


def limits(settings: LimitSettings) -> Limits:
    """Give how large a network may be."""
    return Limits(**settings.model_dump())
