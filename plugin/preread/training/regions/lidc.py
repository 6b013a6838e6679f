"""Nodules as the readers of LIDC-IDRI outlined them, from the XML file beside a series.

Each reader outlined on his own what he took for a nodule of 3 mm or more, and judged it. Outlines
of several readers that overlap are one lesion; its pixels are those that at least half of the
readers who outlined it have within. Smaller nodules, which were marked with one point, and what
was marked as no nodule are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from skimage.draw import polygon2mask

from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.training.regions.outlines import Labels, Place

LARGEST: Final = 64 * 1024**2

_SPACE: Final = "{http://www.nih.gov}"
_FEWEST_POINTS: Final = 3


class _Nodule(NamedTuple):
    """What one reader outlined: pixels of each slice, and how malignant it looked, 1 to 5."""

    reader: int
    masks: dict[str, NDArray[np.bool_]]
    malignancy: int | None

    def meets(self, other: _Nodule) -> bool:
        return any(
            (mask & other.masks[uid]).any()
            for uid, mask in self.masks.items()
            if uid in other.masks
        )


def labels_of_readings(
    path: Path, places: Mapping[str, Place | None]
) -> tuple[Labels, dict[int, dict[str, Any]]]:
    """Read the lesions of a series.

    Parameters
    ----------
    path
        Of the XML file.
    places
        The slices that are wanted, by SOPInstanceUID.

    Returns
    -------
    tuple
        Which lesion a pixel belongs to; and for each lesion how many readers outlined it, and the
        mean of their judgements of malignancy.

    Raises
    ------
    TrainingError
        If it cannot be read.
    """
    try:
        nodules = list(_nodules(_root(path), places))
    except (OSError, ValueError, TypeError, ET.ParseError) as error:
        raise TrainingError(
            f"{path.name}: its readings cannot be read ({type(error).__name__})"
        ) from None
    labels: Labels = {}
    facts: dict[int, dict[str, Any]] = {}
    for number, lesion in enumerate(_joined(nodules), start=1):
        facts[number] = _facts(number, lesion)
        for uid, mask in _agreed(lesion).items():
            onto = labels.setdefault(uid, np.zeros(mask.shape, dtype=np.uint8))
            onto[mask] = number
    return labels, facts


def _root(path: Path) -> ET.Element:
    if path.stat().st_size > LARGEST:
        raise TrainingError(f"{path.name}: larger than {LARGEST} bytes")
    # Expat, since 2.4.1, refuses entities that grow; external ones are not fetched.
    root = ET.parse(path).getroot()  # noqa: S314
    if root.tag != f"{_SPACE}LidcReadMessage":
        raise TrainingError(f"{path.name}: not the readings of a series of LIDC-IDRI")
    return root


def _nodules(root: ET.Element, places: Mapping[str, Place | None]) -> Iterator[_Nodule]:
    for reader, session in enumerate(root.iter(f"{_SPACE}readingSession")):
        for nodule in session.iter(f"{_SPACE}unblindedReadNodule"):
            masks: dict[str, NDArray[np.bool_]] = {}
            for roi in nodule.iter(f"{_SPACE}roi"):
                uid = (roi.findtext(f"{_SPACE}imageSOP_UID") or "").strip()
                place = places.get(uid)
                points = _points(roi)
                if place is None or len(points) < _FEWEST_POINTS:
                    continue
                filled: NDArray[np.bool_] = polygon2mask(place.shape, points)  # type: ignore[no-untyped-call]  # scikit-image leaves it untyped
                inside = (roi.findtext(f"{_SPACE}inclusion") or "TRUE").strip() == "TRUE"
                before = masks.get(uid, np.zeros_like(filled))
                masks[uid] = before | filled if inside else before & ~filled
            if masks:
                judged = nodule.findtext(f"{_SPACE}characteristics/{_SPACE}malignancy")
                yield _Nodule(reader, masks, int(judged) if judged else None)


def _points(roi: ET.Element) -> NDArray[np.float64]:
    """Give rows and columns of an outline, (N, 2)."""
    points = [
        (float(edge.findtext(f"{_SPACE}yCoord", "")), float(edge.findtext(f"{_SPACE}xCoord", "")))
        for edge in roi.iter(f"{_SPACE}edgeMap")
    ]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _joined(nodules: list[_Nodule]) -> list[list[_Nodule]]:
    """Put together what overlaps, also through others."""
    lesions: list[list[_Nodule]] = []
    for nodule in nodules:
        own = [lesion for lesion in lesions if any(nodule.meets(other) for other in lesion)]
        lesions = [lesion for lesion in lesions if lesion not in own]
        lesions.append([*(other for lesion in own for other in lesion), nodule])
    return lesions


def _agreed(lesion: list[_Nodule]) -> dict[str, NDArray[np.bool_]]:
    readers = len({nodule.reader for nodule in lesion})
    votes: dict[str, NDArray[np.int64]] = {}
    for nodule in lesion:
        for uid, mask in nodule.masks.items():
            votes[uid] = votes.get(uid, np.zeros(mask.shape, dtype=np.int64)) + mask
    return {
        uid: 2 * count >= readers for uid, count in votes.items() if (2 * count >= readers).any()
    }


def _facts(number: int, lesion: list[_Nodule]) -> dict[str, Any]:
    judged = [nodule.malignancy for nodule in lesion if nodule.malignancy is not None]
    return {
        "Number": number,
        "Readers": len({nodule.reader for nodule in lesion}),
        "Malignancy": round(sum(judged) / len(judged), 2) if judged else None,
    }
