"""Pictures with text planted into them, files around them, and tesseract to judge them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
)

FONTS = [
    path
    for path in (
        Path("/usr/share/fonts/truetype") / name
        for name in (
            "dejavu/DejaVuSans.ttf",
            "dejavu/DejaVuSans-Bold.ttf",
            "dejavu/DejaVuSansMono.ttf",
            "dejavu/DejaVuSerif.ttf",
            "liberation/LiberationSans-Regular.ttf",
        )
    )
    if path.is_file()
]


@dataclass
class Word:
    """A word in a picture: the rectangle that it lies in, and its ink there."""

    text: str
    place: tuple[slice, slice]
    ink: NDArray[np.bool_]


def plant(
    picture: NDArray[Any],
    text: str,
    at: tuple[int, int],
    *,
    size: int = 16,
    value: Any = None,
    opacity: float = 1.0,
    font: int = 0,
    smooth: bool = True,
) -> Word:
    """Write a word into stored values, in place; white by default."""
    face = (
        ImageFont.truetype(str(FONTS[font % len(FONTS)]), size)
        if FONTS
        else ImageFont.load_default(size)
    )
    left, top, right, bottom = (int(edge) for edge in face.getbbox(text))
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=face)
    share = np.asarray(mask, np.float64) / 255
    if not smooth:
        share = (share > 0.5).astype(np.float64)
    y, x = at
    place = slice(y, y + share.shape[0]), slice(x, x + share.shape[1])
    here = picture[place].astype(np.float64)
    assert here.shape[:2] == share.shape, "the word does not fit"
    ink = share > 0.4
    share = share * opacity
    if picture.ndim == 3:
        share = share[..., None]
    white = picture.max() if value is None else value
    picture[place] = np.rint(here * (1 - share) + np.asarray(white) * share).astype(picture.dtype)
    return Word(text, place, ink)


def speckle(rows: int, columns: int, *, colour: bool = False, seed: int = 3) -> NDArray[np.uint8]:
    """A sector of tissue on black, as ultrasound shows it."""
    noise = np.random.default_rng(seed).rayleigh(28, (rows, columns))
    y, x = np.mgrid[:rows, :columns]
    distance = np.hypot(y, x - columns / 2) / rows
    angle = np.abs(np.arctan2(x - columns / 2, y + 1))
    inside = (distance < 0.92) & (distance > 0.12) & (angle < 0.7)
    grey = np.where(inside, np.clip(noise * (1.3 - distance), 0, 190), 0).astype(np.uint8)
    return np.stack([grey] * 3, axis=-1) if colour else grey


def file_of(
    frames: NDArray[Any],
    *,
    modality: str = "US",
    syntax: UID = ExplicitVRLittleEndian,
    photometric: str = "",
    bits: int = 0,
    planar: int = 0,
    encode: Callable[[NDArray[Any]], bytes] | None = None,
    **attributes: Any,
) -> bytes:
    """Write frames (N, H, W) or (N, H, W, 3) into a file."""
    samples = frames.shape[3] if frames.ndim == 4 else 1
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.5"
    dataset.Modality = modality
    dataset.BurnedInAnnotation = "YES"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Preread, Basic Profile"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape[:3]
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = photometric or ("RGB" if samples == 3 else "MONOCHROME2")
    if samples == 3:
        dataset.PlanarConfiguration = planar
    dataset.BitsAllocated = frames.dtype.itemsize * 8
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if syntax.is_encapsulated:
        dataset.PixelData = encapsulate(
            [bytes((encode or _encoder(dataset, syntax))(frame)) for frame in frames]
        )
        dataset["PixelData"].is_undefined_length = True
    else:
        planes = frames.transpose(0, 3, 1, 2) if samples == 3 and planar else frames
        big = syntax == ExplicitVRBigEndian
        dataset.PixelData = planes.astype(frames.dtype.newbyteorder(">" if big else "<")).tobytes()
    dataset["PixelData"].VR = "OB" if frames.dtype.itemsize == 1 else "OW"
    if syntax.is_encapsulated:
        dataset["PixelData"].VR = "OB"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _encoder(dataset: Dataset, syntax: UID) -> Callable[[NDArray[Any]], bytes]:
    photometric = dataset.PhotometricInterpretation
    if syntax == JPEG2000Lossless and photometric == "RGB":
        photometric = dataset.PhotometricInterpretation = "YBR_RCT"
    options: dict[str, Any] = {
        "rows": dataset.Rows,
        "columns": dataset.Columns,
        "samples_per_pixel": dataset.SamplesPerPixel,
        "number_of_frames": 1,
        "bits_allocated": dataset.BitsAllocated,
        "bits_stored": dataset.BitsStored,
        "pixel_representation": dataset.PixelRepresentation,
        "photometric_interpretation": photometric,
        "planar_configuration": 0,
    }
    options["encoding_plugin"] = "pyjpegls" if syntax == JPEGLSLossless else "pylibjpeg"
    return lambda frame: bytes(get_encoder(syntax).encode(frame, **options))


def jpeg(frame: NDArray[Any]) -> bytes:
    """Encode 8 bits as JPEG baseline."""
    buffer = BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def read_by_tesseract(picture: NDArray[Any]) -> str:
    """Return all that tesseract reads in a picture, as it is and inverted, at two sizes."""
    return "\n".join(looks_of_tesseract(picture))


def looks_of_tesseract(picture: NDArray[Any]) -> Iterator[str]:
    """Give what tesseract reads, look by look: each takes a second."""
    program = shutil.which("tesseract")
    if program is None:
        pytest.skip("Debian's tesseract-ocr is not installed")
    low, high = float(picture.min()), float(picture.max())
    grey = ((picture - low) / max(high - low, 1) * 255).astype(np.uint8)
    for view in (grey, 255 - grey):
        image = Image.fromarray(view)
        for scale in (2, 3):
            buffer = BytesIO()
            size = image.width * scale, image.height * scale
            image.resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG")
            done = subprocess.run(
                [program, "-", "-", "--psm", "11"],
                input=buffer.getvalue(),
                capture_output=True,
                check=True,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            )
            yield done.stdout.decode("utf-8", "replace")


def random_words(
    picture: NDArray[Any], names: list[str], seed: int, sizes: tuple[int, ...]
) -> list[Word]:
    """Plant words of several fonts, sizes and greys so that a reader of the picture sees them."""
    rng = random.Random(seed)
    rows, columns = picture.shape[:2]
    low, high = float(picture.min()), float(picture.max())
    taken = np.zeros((rows, columns), bool)
    planted = []
    for name in names:
        for _ in range(200):
            size = rng.choice(sizes)
            at = rng.randrange(rows - 2 * size), rng.randrange(max(1, columns - len(name) * size))
            around = (
                slice(max(0, at[0] - 10), at[0] + 2 * size + 10),
                slice(max(0, at[1] - 10), at[1] + len(name) * size + 10),
            )
            behind = float(np.median(picture[around]))
            value = rng.choice((high, low, low + 0.7 * (high - low)))
            opacity = rng.choice((1.0, 1.0, 0.7))
            if taken[around].any() or abs(value - behind) * opacity < 0.35 * (high - low):
                continue
            word = plant(
                picture,
                name,
                at,
                size=size,
                value=value,
                opacity=opacity,
                font=rng.randrange(8),
                smooth=rng.random() < 0.5,
            )
            taken[around] = True
            planted.append(word)
            break
    return planted
