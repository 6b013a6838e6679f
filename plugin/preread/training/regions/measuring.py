"""How well a network finds and outlines lesions, measured on what it proposes when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import ndimage

from preread.iodeep.region import pixels_within
from preread.training.regions.document import (
    Band,
    LesionFigures,
    PartFigures,
    ScanFigures,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from preread.iodeep.iod import IODeep
    from preread.iodeep.prediction import Predictor
    from preread.iodeep.region import Region
    from preread.training.regions.series import Series

FOUND: Final = 0.1
"""Intersection over union of a region and a lesion in a slice from which the lesion is found."""
DIAMETERS: Final = (0.0, 6.0, 10.0, 20.0, np.inf)
"""Limits of the bands, in mm."""

_DRAWN: Final = 1000
_ALL_NEIGHBOURS: Final = np.ones((3, 3, 3), dtype=bool)


@dataclass(slots=True)
class _Scan:
    """What is gathered of one series, slice by slice."""

    proposed: list[NDArray[np.bool_]]
    labels: list[NDArray[np.uint8]]
    by_slice: dict[str, int]
    found: set[int]
    regions: int = 0
    false_regions: int = 0

    def add(self, masks: Sequence[NDArray[np.bool_]], label: NDArray[np.uint8]) -> None:
        """Take the regions of the next slice."""
        together = np.zeros(label.shape, dtype=bool)
        sizes = np.bincount(label.ravel(), minlength=256)
        for mask in masks:
            together |= mask
            inside = np.bincount(label[mask], minlength=256)
            both = mask.sum() + sizes - inside
            hit = (inside > 0) & (inside >= FOUND * both)
            self.found |= {int(number) for number in np.flatnonzero(hit) if number}
            self.false_regions += not inside[1:].any()
        self.proposed.append(together)
        self.labels.append(label)
        self.regions += len(masks)
        if masks:
            self.by_slice[str(len(self.labels))] = len(masks)


def measure_scan(
    series: Series,
    network: IODeep,
    predictor: Predictor,
    progress: Callable[[], None] = lambda: None,
) -> ScanFigures:
    """Have a network propose regions in all slices of a series, and compare them with the truth.

    Parameters
    ----------
    series
        With its outlines, or without.
    network, predictor
        What proposes.
    progress
        Called after each slice.

    Raises
    ------
    PrereadError
        If a slice or the network cannot be used.
    """
    scan = _Scan([], [], {}, set())
    for one in series.slices:
        frame = one.frame()
        shape = frame.pixels.shape[0], frame.pixels.shape[1]
        area = None if one.place is None else one.place.pixel_area
        regions = predictor.regions(network, [frame], pixel_area=area)
        scan.add([_mask(region, shape) for region in regions], series.label(one, shape))
        progress()
    proposed, labels = np.stack(scan.proposed), np.stack(scan.labels)
    findings, _ = ndimage.label(proposed, structure=_ALL_NEIGHBOURS)
    return ScanFigures(
        Name=series.name,
        Slices=len(series.slices),
        Regions=scan.regions,
        FalseRegions=scan.false_regions,
        FalsePositives=_false_findings(findings, labels),
        BySlice=scan.by_slice,
        Shared=int((proposed & (labels > 0)).sum()),
        Proposed=int(proposed.sum()),
        Lesion=int((labels > 0).sum()),
        Lesions=[
            _lesion(int(number), labels, findings, series, found=number in scan.found)
            for number in np.unique(labels[labels > 0])
        ],
    )


def summarise(name: str, scans: Sequence[ScanFigures], *, synthetic: bool) -> PartFigures:
    """Put the figures of scans together.

    Parameters
    ----------
    name
        Of the folder that they are from.
    scans
        One or more.
    synthetic
        Whether all of them are.
    """
    lesions = [lesion for scan in scans for lesion in scan.Lesions]
    figures = _figures(_counts(scans))
    return PartFigures(
        Name=name,
        Synthetic=synthetic,
        Slices=sum(scan.Slices for scan in scans),
        Lesions=len(lesions),
        Dice=figures["Dice"],
        IoU=figures["IoU"],
        DetectionRate=figures["DetectionRate"],
        FalsePositivesPerScan=figures["FalsePositivesPerScan"] or 0.0,
        FalseRegionsPerSlice=figures["FalseRegionsPerSlice"] or 0.0,
        Intervals=_intervals(scans) if len(scans) > 1 else None,
        ByDiameter=_by_diameter(lesions),
        ByDensity=_by_density(lesions),
        Scans=list(scans),
    )


def _mask(region: Region, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Give the pixels of a region; only the part of the slice around it is looked at."""
    first = np.maximum(np.floor(region.polygon.min(axis=0)).astype(int), 0)
    last = np.ceil(region.polygon.max(axis=0)).astype(int) + 1
    columns, rows = np.minimum(last, shape[::-1]) - first
    mask = np.zeros(shape, dtype=bool)
    if rows > 0 and columns > 0:
        within = pixels_within(region.polygon - first, int(rows), int(columns))
        mask[first[1] : first[1] + rows, first[0] : first[0] + columns] = within
    return mask


def _false_findings(findings: NDArray[np.int32], labels: NDArray[np.uint8]) -> int:
    """Count the findings without a pixel of a lesion."""
    touching = np.unique(findings[labels > 0])
    return int(findings.max()) - int((touching > 0).sum())


def _lesion(
    number: int,
    labels: NDArray[np.uint8],
    findings: NDArray[np.int32],
    series: Series,
    *,
    found: bool,
) -> LesionFigures:
    own = labels == number
    touching = np.unique(findings[own])
    regions = np.isin(findings, touching[touching > 0])
    # What a finding has of other lesions is not held against it here.
    regions &= own | (labels == 0)
    facts = series.facts.get(number, {})
    return LesionFigures(
        Number=number,
        Diameter=_diameter(int(own.sum()), series, facts),
        Density=facts.get("Density"),
        Readers=facts.get("Readers"),
        Malignancy=facts.get("Malignancy"),
        Found=found,
        Dice=2 * float((own & regions).sum()) / float(own.sum() + regions.sum()),
    )


def _diameter(voxels: int, series: Series, facts: Mapping[str, Any]) -> float | None:
    """Give what the truth says, or that of a sphere of so many voxels."""
    if "Diameter" in facts:
        return float(facts["Diameter"])
    places = [one.place for one in series.slices]
    if len(places) < 2 or places[0] is None or places[-1] is None:
        return None
    apart = abs(places[-1].along - places[0].along) / (len(places) - 1)
    volume = voxels * places[0].pixel_area * apart
    return round(float(np.cbrt(6 * volume / np.pi)), 2)


def _counts(scans: Iterable[ScanFigures]) -> NDArray[np.float64]:
    """Give for each scan what is added up: (scans, 8)."""
    rows = [
        (
            scan.Shared,
            scan.Proposed,
            scan.Lesion,
            len(scan.Lesions),
            sum(lesion.Found for lesion in scan.Lesions),
            scan.FalsePositives,
            scan.FalseRegions,
            scan.Slices,
        )
        for scan in scans
    ]
    return np.array(rows, dtype=np.float64)


def _figures(counts: NDArray[np.float64]) -> dict[str, float | None]:
    shared, proposed, lesion, lesions, found, positives, regions, slices = counts.sum(axis=0)
    return {
        "Dice": 2 * shared / (proposed + lesion) if lesion else None,
        "IoU": shared / (proposed + lesion - shared) if lesion else None,
        "DetectionRate": found / lesions if lesions else None,
        "FalsePositivesPerScan": positives / len(counts),
        "FalseRegionsPerSlice": regions / slices,
    }


def _intervals(scans: Sequence[ScanFigures]) -> dict[str, tuple[float, float]]:
    """Give 95 % intervals: percentiles of the figures of scans that are drawn anew."""
    counts = _counts(scans)
    random = np.random.default_rng(0)
    drawn = [_figures(counts[random.integers(0, len(counts), len(counts))]) for _ in range(_DRAWN)]
    found: dict[str, tuple[float, float]] = {}
    for name in drawn[0]:
        values = [value for figures in drawn if (value := figures[name]) is not None]
        if values:
            low, high = np.percentile(values, (2.5, 97.5))
            found[name] = (float(low), float(high))
    return found


def _by_diameter(lesions: Sequence[LesionFigures]) -> list[Band]:
    bands = []
    for low, high in pairwise(DIAMETERS):
        name = f"below {high:g} mm" if not low else f"{low:g} to {high:g} mm"
        if high == np.inf:
            name = f"{low:g} mm and more"
        own = [one for one in lesions if one.Diameter is not None and low <= one.Diameter < high]
        bands.append(_band(name, own))
    return [band for band in bands if band.Lesions]


def _by_density(lesions: Sequence[LesionFigures]) -> list[Band]:
    kinds = sorted({lesion.Density for lesion in lesions if lesion.Density})
    return [_band(kind, [one for one in lesions if one.Density == kind]) for kind in kinds]


def _band(name: str, lesions: Sequence[LesionFigures]) -> Band:
    return Band(Name=name, Lesions=len(lesions), Found=sum(lesion.Found for lesion in lesions))
