"""The look at an object's pixels: decode, find, blank, look again, encode, say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.options import Option
from preread.deidentify.pixels.boxes import Box, covered
from preread.deidentify.pixels.detection import TextDetector
from preread.deidentify.pixels.detector_file import DetectorError
from preread.deidentify.pixels.encoding import (
    LOSSLESS,
    Encoded,
    NotEncodable,
    check_writable,
    encoded,
    syntaxes_for,
)
from preread.deidentify.pixels.native import NativePixels
from preread.deidentify.pixels.overlays import clean_overlays
from preread.deidentify.pixels.picture import Picture
from preread.deidentify.pixels.policy import Look
from preread.deidentify.pixels.regions import load_regions
from preread.deidentify.pixels.rest import has_rest
from preread.deidentify.pixels.seal import PixelSeal, sealed_values
from preread.deidentify.pixels.searching import Detector, text_in_frames
from preread.elements import PIXEL_DATA, MalformedFile, read_header
from preread.imaging import UnreadableImage
from preread.imaging.decode import Decoded
from preread.imaging.geometry import check_nothing_lost

_log = structlog.get_logger(__name__)

_PIXEL_DATA: Final = 0x7FE00010
_MEGABYTE: Final = 2**20
_OPTIONS: Final = {
    Look.TEXT: Option.CLEAN_PIXEL_DATA,
    Look.OVERLAYS: Option.CLEAN_GRAPHICS,
    Look.FACE: Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES,
    Look.REST: Option.CLEAN_PIXEL_DATA,
}


@dataclass(frozen=True, slots=True)
class PixelOptions:
    """What is wanted of a look at pixels.

    Attributes
    ----------
    text, overlays, faces
        Whether the Clean Pixel Data, Clean Graphics and Clean Recognizable Visual Features Options
        are chosen; a look for anything else is refused.
    regions
        A file with further regions that devices write text into.
    max_megabytes
        Uncompressed size of all frames of an image above which it is refused.
    """

    text: bool = True
    overlays: bool = True
    faces: bool = True
    regions: Path | None = None
    max_megabytes: int = 1024

    @property
    def look(self) -> Look:
        """All that may be looked for."""
        pixels = Look.TEXT | Look.REST
        wanted = ((self.text, pixels), (self.overlays, Look.OVERLAYS), (self.faces, Look.FACE))
        return Look(sum(flag.value for chosen, flag in wanted if chosen))


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What came of a look.

    Attributes
    ----------
    data
        The file.
    frames
        How many were looked at; 0 if only overlays were.
    boxes
        How many rectangles were blanked, in all frames and overlays together.
    blanked_fraction
        Of all pixels of all frames, 0 to 1.
    TransferSyntaxUID
        Of the file as it is now.
    """

    data: bytes
    frames: int
    boxes: int
    blanked_fraction: float
    TransferSyntaxUID: str


class PixelCleaner:
    """Removes from pixels what identifies; for one thread at a time.

    Parameters
    ----------
    seal_key
        What seals are made with; see `PixelSeal`.
    options
        What is wanted.
    detector
        Finds text; by default `TextDetector`, loaded when it is first needed.

    Raises
    ------
    preread.deidentify.pixels.regions.RegionsError
        If the file of regions cannot be used.
    """

    def __init__(
        self, seal_key: bytes, options: PixelOptions, detector: Detector | None = None
    ) -> None:
        self._seal = PixelSeal(seal_key)
        self._options = options
        self._regions = load_regions(options.regions)
        self._max_bytes = options.max_megabytes * _MEGABYTE
        self._loaded = detector

    def clean(self, data: bytes | memoryview, look: Look) -> Cleaned:
        """Return a file whose pixels have been looked at.

        Where nothing is found, the pixel data keeps its bytes. Where something is, only what is
        blanked changes: uncompressed pixel data in place, others decoded and encoded without loss;
        see `preread.deidentify.pixels.encoding`. Bits of a cell that are not the pixel's own
        (PS3.5 section 8.1.1) count as something, and are cleared. A lossy picture stays a picture
        that once was: LossyImageCompression (0028,2110) is kept, or set where it was missing.

        Parameters
        ----------
        data
            A file whose header has been de-identified.
        look
            What to look for.

        Raises
        ------
        DeidentificationError
            If it cannot be decoded, or a face not be removed: it must not be passed on.
        """
        if not look or look & ~self._options.look:
            raise DeidentificationError(None, "a look at the pixels that the options do not want")
        try:
            return self._cleaned(bytes(data), look)
        except DeidentificationError:
            raise
        except UnreadableImage as error:
            raise DeidentificationError(_PIXEL_DATA, str(error)) from None
        except MalformedFile as error:
            raise DeidentificationError(error.tag, error.reason) from None
        except DetectorError as error:
            raise DeidentificationError(_PIXEL_DATA, str(error)) from None
        except Exception as error:  # noqa: BLE001
            # Whatever the bytes provoke in a library: what was not looked at is not passed on. The
            # message of a library may hold a value.
            reason = f"its pixels could not be looked at ({type(error).__name__})"
            raise DeidentificationError(_PIXEL_DATA, reason) from None

    def _cleaned(self, data: bytes, look: Look) -> Cleaned:
        _check_kinds(data, look)
        picture = Picture(data, self._max_bytes) if look & ~Look.OVERLAYS else None
        dataset = dcmread(BytesIO(data), force=True)
        boxes = 0
        if look & Look.OVERLAYS:
            boxes += clean_overlays(
                dataset,
                self._detector,
                little=bool(dataset.original_encoding[1]),
                max_bytes=self._max_bytes,
            )
        frames, blanked = 0, 0.0
        if picture is not None:
            layout = picture.layout
            found = self._found(picture, dataset, look)
            frames = layout.NumberOfFrames
            blanked = sum(
                float(covered(each, layout.Rows, layout.Columns).mean()) for each in found
            )
            boxes += sum(map(len, found))
            has_more = picture.had_more or (Look.REST in look and has_rest(picture))
            if look & Look.FACE or any(found) or has_more:
                _rewrite(dataset, picture, found, deface=Look.FACE in look)
        _log.info("pixels looked at", look=look.name, frames=frames, boxes=boxes)
        return Cleaned(
            data=self._sealed(dataset, look),
            frames=frames,
            boxes=boxes,
            blanked_fraction=blanked / max(1, frames),
            TransferSyntaxUID=str(dataset.file_meta.TransferSyntaxUID),
        )

    @property
    def _detector(self) -> Detector:
        if self._loaded is None:
            self._loaded = TextDetector()
        return self._loaded

    def _found(self, picture: Picture, dataset: Dataset, look: Look) -> list[list[Box]]:
        """Return what is to be blanked in each frame."""
        layout = picture.layout
        if not look & Look.TEXT:
            return [[] for _ in range(layout.NumberOfFrames)]
        known = self._regions.boxes(dataset, layout.Rows, layout.Columns)
        return text_in_frames(self._detector, picture.shown, layout.NumberOfFrames, known)

    def _sealed(self, dataset: FileDataset, look: Look) -> bytes:
        """Write the file with what says that its pixels were looked at."""
        if look & Look.TEXT:
            dataset.BurnedInAnnotation = "NO"
        _add_codes(dataset, look)
        header = read_header(_written(dataset))
        seal = self._seal.text(sealed_values(header), look)
        methods = dataset.get("DeidentificationMethod") or []
        methods = [methods] if isinstance(methods, str) else list(methods)
        dataset.DeidentificationMethod = [
            *(method for method in methods if not method.startswith("Preread pixels ")),
            seal,
        ]
        return _written(dataset)


def _check_kinds(data: bytes, look: Look) -> None:
    """Refuse pixel data of two kinds: one is looked at, and the other one might be shown."""
    kinds = [tag for tag in PIXEL_DATA if tag in read_header(data)]
    if look & Look.REST and len(kinds) > 1:
        raise DeidentificationError(kinds[1], "pixel data of two kinds in one image")


def _rewrite(
    dataset: FileDataset, picture: Picture, found: list[list[Box]], *, deface: bool
) -> None:
    """Put the blanked frames in the place of the pixel data."""
    source, layout = picture.source, picture.layout
    if not source.is_encapsulated:
        pixels = NativePixels(source.pixels, layout, vr=source.pixel_vr, little=source.little)
        for index, decoded in enumerate(_defaced(dataset, picture, deface=deface)):
            if deface:
                pixels.put(index, decoded.values)
            pixels.blank(index, found[index], picture.black(decoded))
        pixels.clear()
        dataset[source.keyword].value = pixels.tobytes()
        return
    check_writable(picture.syntax)
    for syntax in syntaxes_for(picture.syntax):
        try:
            written = encoded(_blanked(dataset, picture, found, deface=deface), layout, syntax)
        except NotEncodable:
            continue
        _replace(dataset, picture, written)
        return
    raise DeidentificationError(_PIXEL_DATA, "what was blanked cannot be encoded again")


def _blanked(
    dataset: FileDataset, picture: Picture, found: list[list[Box]], *, deface: bool
) -> Iterator[Decoded]:
    frames = _defaced(dataset, picture, deface=deface)
    for decoded, boxes in zip(frames, found, strict=True):
        black = np.array(picture.black(decoded), decoded.values.dtype)
        for box in boxes:
            decoded.values[box.area] = black
        yield decoded


def _defaced(dataset: FileDataset, picture: Picture, *, deface: bool) -> Iterable[Decoded]:
    """Give the stored frames, without their face where that is wanted."""
    if not deface:
        return picture.stored()
    if picture.layout.SamplesPerPixel > 1 or picture.layout.BitsAllocated not in (8, 16, 32):
        raise DeidentificationError(_PIXEL_DATA, "a face cannot be removed from such pixels")
    check_nothing_lost(dataset)  # a face is found by values and places
    from preread.deidentify.pixels.deface import deface_frames  # noqa: PLC0415 - it is large

    photometric = picture.layout.PhotometricInterpretation
    frames = deface_frames(dataset, (decoded.values for decoded in picture.stored()))
    return (Decoded(np.array(values), photometric) for values in frames)


def _replace(dataset: FileDataset, picture: Picture, written: Encoded) -> None:
    """Put newly encoded pixel data into a data set, with the attributes that follow from it."""
    layout = picture.layout
    is_encapsulated = written.syntax.is_encapsulated
    element = dataset["PixelData"]
    element.value = written.value
    element.VR = "OB" if is_encapsulated or layout.BitsAllocated <= 8 else "OW"
    element.is_undefined_length = is_encapsulated
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]
    if picture.syntax not in LOSSLESS and dataset.get("LossyImageCompression") != "01":
        dataset.LossyImageCompression = "01"
    if layout.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = written.PhotometricInterpretation
    dataset.HighBit = layout.BitsStored - 1
    dataset.file_meta.TransferSyntaxUID = written.syntax


def _add_codes(dataset: Dataset, look: Look) -> None:
    """Say by code which options have been applied (PS3.15 E.3, PS3.16 CID 7050)."""
    items = list(dataset.get("DeidentificationMethodCodeSequence") or [])
    there = {str(item.get("CodeValue", "")) for item in items}
    for flag, option in _OPTIONS.items():
        if flag in look and option.code not in there:
            item = Dataset()
            item.CodeValue = option.code
            item.CodingSchemeDesignator = "DCM"
            item.CodeMeaning = option.meaning
            items.append(item)
            there.add(option.code)
    dataset.DeidentificationMethodCodeSequence = Items(items)


def _written(dataset: FileDataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=False)
    return buffer.getvalue()
