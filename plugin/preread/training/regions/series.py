"""Series with what is to be found in them, from DICOM files or from pictures with masks.

A folder below the one given holds slices and, beside them, Segmentation or RT Structure Set
instances that outline lesions, as `preread phantom` writes them, or the XML file of LIDC-IDRI's
readers; the first of the three that is there counts.
Or it holds pictures, and for `NAME.png` or `NAME.jpg` a `NAME.mask.png` of the same size, in which
all but black is a lesion; the pictures of a folder below it count as one patient's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from preread.training.errors import TrainingError
from preread.training.image_files import ImageFile
from preread.training.regions.lidc import labels_of_readings
from preread.training.regions.outlines import (
    RT_STRUCTURE_SET,
    SEGMENTATION,
    Labels,
    Place,
    labels_of_segmentation,
    labels_of_structure_set,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from preread.imaging import Frame

MASK: Final = ".mask.png"
READINGS: Final = ".xml"
TRUTH: Final = "truth.json"
MOST_FILES: Final = 1_000_000

_PICTURES: Final = (".png", ".jpg", ".jpeg")
_LARGEST_TRUTH: Final = 16 * 1024**2
_TAGS: Final = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID",
    "Modality", "BodyPartExamined", "SamplesPerPixel", "PhotometricInterpretation",
    "SyntheticData", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "Rows", "Columns", "InstanceNumber", "NumberOfFrames",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slice:
    """One image of a series.

    Attributes
    ----------
    path
        Of its file.
    shown
        What errors call it.
    label_file
        Its mask, if it is a picture.
    uid
        SOPInstanceUID, or its name if it is a picture.
    place
        Where its pixels lie in the patient; None if it does not say.
    """

    path: Path
    shown: str
    label_file: Path | None = None
    uid: str = ""
    place: Place | None = None

    def frame(self) -> Frame:
        """Decode it.

        Raises
        ------
        TrainingError
            If it cannot be decoded.
        """
        return ImageFile(self.path, self.shown).frame(0)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Slices that belong together, and what is to be found in them.

    Attributes
    ----------
    name
        Of its folder or picture.
    patient
        What tells patients apart.
    slices
        In the order of their positions.
    labels
        Which lesion a pixel belongs to, from 1, for each slice that shows one, by its `uid`.
    facts
        What a phantom's `truth.json` or the readers of LIDC-IDRI say of each lesion, by its number.
    Modality, BodyPartExamined, SamplesPerPixel, PhotometricInterpretation
        As the headers say; empty or 0 for pictures.
    synthetic
        Whether the header says that no patient was imaged.
    """

    name: str
    patient: str
    slices: tuple[Slice, ...]
    labels: Labels
    facts: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    Modality: str = ""
    BodyPartExamined: str = ""
    SamplesPerPixel: int = 0
    PhotometricInterpretation: str = ""
    synthetic: bool = False

    def label(self, one: Slice, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Give which lesion each pixel of a slice belongs to, 0 for none.

        Raises
        ------
        TrainingError
            If the outlines were made for slices of another size.
        """
        found = self.labels.get(one.uid)
        if one.label_file is not None:
            found = _label_of_picture(one.label_file, one.shown)
        if found is None:
            return np.zeros(shape, dtype=np.uint8)
        if found.shape != shape:
            size = f"{found.shape[1]} x {found.shape[0]}"
            raise TrainingError(f"{one.shown}: its lesions are outlined on {size} pixels")
        return found


def read_folder(folder: Path, *, truth: bool = True) -> Iterator[Series]:
    """Find the series below a folder, one after the other, without decoding their pixels.

    Parameters
    ----------
    folder
        Itself and all folders below it.
    truth
        Whether series without outlines are refused.

    Raises
    ------
    TrainingError
        If there is nothing to be read, or a series is without outlines.
    """
    found = 0
    for inner, files in _folders(folder):
        shown = inner.relative_to(folder).as_posix()
        for series in (*_pictures(files, shown, truth=truth), *_dicom(files, shown, truth=truth)):
            found += 1
            yield series
    if not found:
        raise TrainingError(
            f"{folder.name}: no series with outlines in it; expected DICOM slices with a "
            f"Segmentation or an RT Structure Set beside them, or pictures with NAME{MASK}"
        )


def _folders(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """List the files of each folder; links are not followed."""
    count = 0
    for inner in sorted({folder, *(p for p in folder.rglob("*") if p.is_dir())}):
        try:
            files = sorted(p for p in inner.iterdir() if p.is_file() and not p.is_symlink())
        except OSError as error:
            raise TrainingError(f"{inner.name}: cannot be read ({error.strerror})") from None
        count += len(files)
        if count > MOST_FILES:
            raise TrainingError(f"{folder.name}: more than {MOST_FILES} files")
        yield inner, files


def _pictures(files: Iterable[Path], shown: str, *, truth: bool) -> Iterator[Series]:
    for path in files:
        if path.suffix.casefold() not in _PICTURES or path.name.endswith(MASK):
            continue
        name = f"{shown}/{path.name}".removeprefix("./")
        mask = path.with_name(path.stem + MASK)
        if truth and not mask.is_file():
            raise TrainingError(f"{name}: {mask.name} is not beside it; it may be all black")
        one = Slice(path, name, mask if mask.is_file() else None, uid=name)
        patient = name if shown == "." else shown
        yield Series(name=name, patient=patient, slices=(one,), labels={})


def _label_of_picture(path: Path, shown: str) -> NDArray[np.uint8]:
    frame = ImageFile(path, path.name).frame(0)
    if frame.is_colour:
        raise TrainingError(f"{shown}: its mask has colours; expected black and white")
    labels, count = ndimage.label(frame.pixels > 0, structure=np.ones((3, 3)))
    if count > 255:
        raise TrainingError(f"{shown}: its mask has more than 255 lesions")
    return np.asarray(labels, dtype=np.uint8)


def _dicom(files: Sequence[Path], shown: str, *, truth: bool) -> Iterator[Series]:
    headers: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    # By SOP Class; of readings, which have none, by what their names end in.
    outlines: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if path.suffix == READINGS:
            outlines[READINGS].append(path)
        header = _header(path)
        if header is None:
            continue
        if header.get("SOPClassUID") in (SEGMENTATION, RT_STRUCTURE_SET):
            outlines[str(header.SOPClassUID)].append(path)
        elif "Rows" in header:
            headers[str(header.get("SeriesInstanceUID", ""))].append((path, header))
    facts = _facts(files)
    for pairs in headers.values():
        series = _series(pairs, outlines, facts, shown)
        if truth and not outlines:
            raise TrainingError(
                f"{series.name}: no Segmentation and no RT Structure Set lies beside its slices"
            )
        yield series


def _header(path: Path) -> Dataset | None:
    """Read what is needed of a header; None if it is no DICOM file."""
    if path.suffix.casefold() in (*_PICTURES, ".json", ".xml", ".txt", ".csv", ".md"):
        return None
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (InvalidDicomError, OSError, ValueError, EOFError):
        return None


def _series(
    pairs: Sequence[tuple[Path, Dataset]],
    outlines: Mapping[str, Sequence[Path]],
    facts: Mapping[int, Mapping[str, Any]],
    shown: str,
) -> Series:
    slices = []
    for path, header in pairs:
        name = f"{shown}/{path.name}".removeprefix("./")
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise TrainingError(f"{name}: has several frames; expected one slice in each file")
        place = place_of(header)
        slices.append(
            (_order(header, place), Slice(path, name, None, _text(header, "SOPInstanceUID"), place))
        )
    slices.sort(key=lambda pair: pair[0])
    ordered = tuple(one for _, one in slices)
    first = pairs[0][1]
    labels, told = _labels(ordered, outlines)
    return Series(
        name=shown if shown != "." else pairs[0][0].parent.name,
        patient=_text(first, "PatientID") or _text(first, "StudyInstanceUID"),
        slices=ordered,
        labels=labels,
        facts=facts or told,
        Modality=_text(first, "Modality"),
        BodyPartExamined=_text(first, "BodyPartExamined"),
        SamplesPerPixel=int(first.get("SamplesPerPixel") or 1),
        PhotometricInterpretation=_text(first, "PhotometricInterpretation"),
        synthetic=all(_text(header, "SyntheticData") == "YES" for _, header in pairs),
    )


def _labels(
    slices: Sequence[Slice], outlines: Mapping[str, Sequence[Path]]
) -> tuple[Labels, Mapping[int, Mapping[str, Any]]]:
    places = {one.uid: one.place for one in slices}
    if READINGS in outlines and len(outlines) == 1:
        return labels_of_readings(outlines[READINGS][0], places)
    found: dict[str, NDArray[np.uint8]] = {}
    reader = labels_of_segmentation if SEGMENTATION in outlines else labels_of_structure_set
    for path in outlines.get(SEGMENTATION) or outlines.get(RT_STRUCTURE_SET) or ():
        for uid, labels in reader(path, places).items():
            found[uid] = np.where(labels > 0, labels, found[uid]) if uid in found else labels
    return found, {}


def _order(header: Dataset, place: Place | None) -> tuple[float, str]:
    along = float(header.get("InstanceNumber") or 0) if place is None else place.along
    return along, _text(header, "SOPInstanceUID")


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()


def _facts(files: Iterable[Path]) -> dict[int, Mapping[str, Any]]:
    """Read what a phantom's truth.json says of its lesions."""
    path = next((path for path in files if path.name == TRUTH), None)
    if path is None:
        return {}
    try:
        if path.stat().st_size > _LARGEST_TRUTH:
            raise TrainingError(f"{TRUTH}: larger than {_LARGEST_TRUTH} bytes")
        lesions = json.loads(path.read_text(encoding="utf-8"))["Lesions"]
        return {int(lesion["Number"]): dict(lesion) for lesion in lesions}
    except (OSError, ValueError, KeyError, TypeError):
        raise TrainingError(f"{TRUTH}: not as `preread phantom` writes it") from None
