"""What was measured of a network that draws regions, as JSON. Tables and texts are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preread.models.weights import write_atomically
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 64 * 1024**2
"""Bytes of an evaluation."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Interval = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkFacts(_Part):
    """Which network was measured, as its object says; `SHA256` is of its weights."""

    DnnName: str
    DnnUID: str
    Modality: str
    BodyPartExamined: str
    Rows: Count
    Columns: Count
    Parameters: Count
    SHA256: str


class LesionFigures(_Part):
    """What became of one lesion.

    Attributes
    ----------
    Diameter
        In mm, of the sphere of its volume; null of pictures.
    Density
        Of a nodule of a phantom.
    Readers, Malignancy
        Of LIDC-IDRI.
    Found
        Whether a region of a slice has a tenth of what it and the lesion take there together.
    Dice
        Of all its pixels and of the regions that touch it.
    """

    Number: Count
    Diameter: float | None = None
    Density: str | None = None
    Readers: int | None = None
    Malignancy: float | None = None
    Found: bool
    Dice: Fraction


class ScanFigures(_Part):
    """One series, or one picture.

    Attributes
    ----------
    Regions, FalseRegions
        How many were proposed, and how many of them touch no lesion.
    FalsePositives
        Findings without any pixel of a lesion: regions of slices that touch are one finding.
    BySlice
        How many regions each slice has that has any, by its number from 1.
    Shared, Proposed, Lesion
        Pixels: of both, of regions, of lesions.
    """

    Name: str
    Slices: Count
    Regions: Count
    FalseRegions: Count
    FalsePositives: Count
    BySlice: dict[str, Count]
    Shared: Count
    Proposed: Count
    Lesion: Count
    Lesions: list[LesionFigures]


class Band(_Part):
    """Lesions of one kind, and how many of them were found."""

    Name: str
    Lesions: Count
    Found: Count


class PartFigures(_Part):
    """All series of one folder.

    Attributes
    ----------
    Synthetic
        Whether no patient was imaged.
    Dice, IoU
        Of all pixels of all series together; null without lesions.
    DetectionRate
        Share of the lesions that were found.
    Intervals
        95 %, of scans drawn anew; null of one scan.
    """

    Name: str
    Synthetic: bool
    Slices: Count
    Lesions: Count
    Dice: Fraction | None
    IoU: Fraction | None
    DetectionRate: Fraction | None
    FalsePositivesPerScan: float
    FalseRegionsPerSlice: float
    Intervals: dict[str, Interval] | None
    ByDiameter: list[Band]
    ByDensity: list[Band]
    Scans: list[ScanFigures]


class Evaluation(_Part):
    """A network, and what it came to on each folder.

    Attributes
    ----------
    Threshold, SmallestArea
        Probability from which a pixel belongs to a region, and mm2 that a region has at least.
    """

    Network: NetworkFacts
    Threshold: Fraction
    SmallestArea: float
    Parts: list[PartFigures]


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write it as JSON that ends with a line feed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (evaluation.model_dump_json(indent=1) + "\n").encode())


def read_evaluation(path: Path) -> Evaluation:
    """Read what `write_evaluation` wrote.

    Raises
    ------
    TrainingError
        If it cannot be read or is something else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise TrainingError(f"{path.name}: larger than {LARGEST} bytes")
        return Evaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingError(f"{path.name}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise TrainingError(f"{path.name}: no evaluation of regions ({where})") from None
