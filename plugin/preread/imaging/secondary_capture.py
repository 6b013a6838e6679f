"""A picture made into a Secondary Capture Image (PS3.3 A.8.1), by highdicom's class for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from highdicom.sc import SCImage
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from preread import __version__
from preread.imaging.errors import UnreadableImage
from preread.imaging.picture import Picture, read_picture

_UID = r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+$"
_LO = r"^[^\\\x00-\x1f\x7f]*$"
_CODE = r"^[A-Z0-9_ ]*$"
_LOSSY = "01"
# Those of the body parts of PS3.16 Table L-1 that there are two of, by BodyPartExamined.
_PAIRED = frozenset(
    [
        "ACJOINT",
        "ADRENAL",
        "ANKLE",
        "ARM",
        "BREAST",
        "CALCANEUS",
        "CALF",
        "CLAVICLE",
        "EAR",
        "ELBOW",
        "EXTREMITY",
        "EYE",
        "FEMUR",
        "FINGER",
        "FOOT",
        "FOREARM",
        "HAND",
        "HIP",
        "HUMERUS",
        "KIDNEY",
        "KNEE",
        "LEG",
        "LUNG",
        "OVARY",
        "PATELLA",
        "RADIUS",
        "SCAPULA",
        "SHOULDER",
        "TESTIS",
        "RIB",
        "THIGH",
        "THUMB",
        "TIBIA",
        "TOE",
        "ULNA",
        "WRIST",
        "ZYGOMA",
    ]
)


class Tags(BaseModel):
    """What a caller may say of the picture, by DICOM keyword; all of it may be left out.

    UIDs that are not given are new ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    PatientID: str = Field("", max_length=64, pattern=_LO)
    PatientName: str = Field("", max_length=64, pattern=_LO)
    PatientBirthDate: str = Field("", pattern=r"^([0-9]{8})?$")
    PatientSex: str = Field("", pattern=r"^[MFO]?$")
    StudyInstanceUID: str | None = Field(None, max_length=64, pattern=_UID)
    SeriesInstanceUID: str | None = Field(None, max_length=64, pattern=_UID)
    SOPInstanceUID: str | None = Field(None, max_length=64, pattern=_UID)
    StudyID: str = Field("", max_length=16, pattern=_LO)
    StudyDate: str = Field("", pattern=r"^([0-9]{8})?$")
    StudyTime: str = Field("", pattern=r"^([0-9]{6}(\.[0-9]{1,6})?)?$")
    StudyDescription: str = Field("", max_length=64, pattern=_LO)
    SeriesDescription: str = Field("", max_length=64, pattern=_LO)
    AccessionNumber: str = Field("", max_length=16, pattern=_LO)
    SeriesNumber: int = Field(1, ge=1, le=2**31 - 1)
    InstanceNumber: int = Field(1, ge=1, le=2**31 - 1)
    Modality: str = Field("OT", min_length=1, max_length=16, pattern=_CODE)
    BodyPartExamined: str = Field("", max_length=16, pattern=_CODE)
    Laterality: str = Field("", pattern=r"^[LR]?$")


def tags_from(values: Mapping[str, Any]) -> Tags:
    """Check what a caller says of a picture.

    Raises
    ------
    UnreadableImage
        In one line that names the keyword, without its value.
    """
    try:
        return Tags.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        keyword = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            # The name is whatever was sent, and may be a value in the wrong place.
            known = ", ".join(Tags.model_fields)
            raise UnreadableImage(f"a tag that is not taken; expected {known}") from None
        raise UnreadableImage(f"{keyword} is no value of its kind: {first['msg']}") from None


def secondary_capture(
    picture: bytes, *, max_bytes: int, tags: Tags | Mapping[str, Any] | None = None
) -> bytes:
    """Make a Secondary Capture Image file of a PNG or JPEG.

    Only the pixels pass: EXIF, comments, text chunks, thumbnails and colour profiles do not. Grey
    stays grey (MONOCHROME2, 8 or 16 bits), colour becomes RGB of 8 bits. The pixels are stored
    uncompressed; that they once were a JPEG is recorded.

    Parameters
    ----------
    picture
        The whole file.
    max_bytes
        The largest size of the decoded pixels.
    tags
        What is known of it, by DICOM keyword; see `Tags`.

    Returns
    -------
    bytes
        A file with preamble and file meta, in Explicit VR Little Endian.

    Raises
    ------
    UnreadableImage
        If the picture cannot be read, or a tag cannot be taken.
    """
    known = tags if isinstance(tags, Tags) else tags_from(tags or {})
    decoded = read_picture(picture, max_bytes=max_bytes)
    image = _image(decoded, known)
    if decoded.is_lossy:
        image.LossyImageCompression = _LOSSY
        image.LossyImageCompressionMethod = "ISO_10918_1"
        ratio = decoded.pixels.nbytes / max(1, len(picture))
        image.LossyImageCompressionRatio = f"{max(ratio, 0.01):.2f}"
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _image(picture: Picture, tags: Tags) -> SCImage:
    image = SCImage(
        pixel_array=picture.pixels,
        photometric_interpretation="RGB" if picture.pixels.ndim == 3 else "MONOCHROME2",
        bits_allocated=picture.pixels.dtype.itemsize * 8,
        coordinate_system="PATIENT",
        # The class asks for it; it is emptied below, because nobody knows it.
        patient_orientation=("L", "P"),
        study_instance_uid=tags.StudyInstanceUID or generate_uid(prefix=None),
        series_instance_uid=tags.SeriesInstanceUID or generate_uid(prefix=None),
        sop_instance_uid=tags.SOPInstanceUID or generate_uid(prefix=None),
        series_number=tags.SeriesNumber,
        instance_number=tags.InstanceNumber,
        manufacturer="Preread",
        manufacturer_model_name="Preread",
        software_versions=__version__,
        patient_id=tags.PatientID,
        patient_birth_date=tags.PatientBirthDate or None,
        patient_sex=tags.PatientSex or None,
        study_id=tags.StudyID,
        study_date=tags.StudyDate or None,
        study_time=tags.StudyTime or None,
        accession_number=tags.AccessionNumber,
        series_description=tags.SeriesDescription or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
    )
    # highdicom wants a caret in every name; what the standard wants is 64 characters a group.
    image.PatientName = tags.PatientName
    image.PatientOrientation = []
    if tags.Laterality or not tags.BodyPartExamined or tags.BodyPartExamined in _PAIRED:
        # Type 2C: needed, though empty, unless the body part is a single one.
        image.Laterality = tags.Laterality
    image.ConversionType = "WSD"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.Modality = tags.Modality
    if tags.BodyPartExamined:
        image.BodyPartExamined = tags.BodyPartExamined
    if tags.StudyDescription:
        image.StudyDescription = tags.StudyDescription
    if picture.pixels.ndim == 2:
        # A viewer without a window stretches what it finds; these show the picture as it was.
        shades = 1 << image.BitsStored
        image.WindowCenter, image.WindowWidth = str(shades // 2), str(shades)
    return image


_TAGS_LINE = re.compile(rb"\A(\{[^\n]{0,65536}\})\n")


def from_message(message: bytes, *, max_bytes: int) -> bytes:
    r"""Make a Secondary Capture Image file of a line of JSON (the tags) and a picture.

    Parameters
    ----------
    message
        ``{"Modality": "CT"}``, a line feed, and the picture's bytes.
    max_bytes
        As `secondary_capture`.

    Raises
    ------
    UnreadableImage
        As `secondary_capture`, or if the first line is no JSON object.
    """
    found = _TAGS_LINE.match(message)
    if found is None:
        raise UnreadableImage("expected a line with a JSON object of tags before the picture")
    try:
        tags = json.loads(found[1])
    except (ValueError, RecursionError):
        raise UnreadableImage("the line of tags before the picture is no JSON") from None
    return secondary_capture(message[found.end() :], max_bytes=max_bytes, tags=tags)
