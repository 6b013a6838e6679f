"""The picture of what a network looked at, as a Secondary Capture Image (PS3.3 A.8.1).

It lies in the study of the image that it explains, in a series of its own. Patient and study are
that image's, with what is on record of their de-identification; of the rest nothing is taken over.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian

from preread import __version__
from preread.imaging.attention import ATTENTION_MAP
from preread.results.belonging import copy_patient_and_study
from preread.results.encoding import Characters, element
from preread.results.equipment import INTENDED_USE, MANUFACTURER, equipment_item
from preread.results.splice import UnwritableInstanceError

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from preread.findings.prediction import Prediction

_UNICODE: Final = "ISO_IR 192"
_SERIES_NUMBER_OFFSET: Final = 9500
_LARGEST_NUMBER: Final = 2**31 - 1
_LONG_STRING: Final = 64
_SHORT_TEXT: Final = 1024
_DERIVATION: Final = ("ATTENTION", "99PREREAD", "Map of what a network looked at")
# CID 7202.
_SOURCE_IMAGE: Final = ("121322", "DCM", "Source image for image processing operation")


def heat_map(
    source: bytes,
    picture: NDArray[np.uint8],
    prediction: Prediction,
    *,
    label: str,
    frame: int,
    moment: datetime,
    SeriesInstanceUID: str,  # noqa: N803 - the attribute's own name
    SOPInstanceUID: str,  # noqa: N803 - the attribute's own name
) -> bytes:
    """Make the file of a picture that explains an image.

    Parameters
    ----------
    source
        The image beside which it will lie, a DICOM file.
    picture
        (height, width, 3) RGB.
    prediction
        Of the model that is explained.
    label
        The class.
    frame
        Of the source, from 0.
    moment
        When the picture was made, with its time zone.
    SeriesInstanceUID
        The same for all pictures of one source series, model and class.
    SOPInstanceUID
        The same each time for one source, frame, model and class, so that a new picture takes the
        place of the old one.

    Returns
    -------
    bytes
        A file in Explicit VR Little Endian.

    Raises
    ------
    UnwritableInstanceError
        If the source lacks an identifier, or holds values that no object can be made with.
    """
    try:
        read = pydicom.dcmread(BytesIO(source), stop_before_pixels=True, force=True)
        image = _image(read, picture, SeriesInstanceUID, SOPInstanceUID)
        _of_source(image, read, frame)
        image.SeriesDescription = f"Preread attention: {prediction.model} {label}"[:_LONG_STRING]
        image.InstanceCreationDate = f"{moment:%Y%m%d}"
        image.InstanceCreationTime = f"{moment:%H%M%S.%f}"
        words = (
            f"Areas that speak for {label} to {prediction.model} {prediction.version} (Grad-CAM of "
            f"its last feature map), drawn over the image. {INTENDED_USE}"
        )
        image.DerivationDescription = words[:_SHORT_TEXT]
        image.ContributingEquipmentSequence = [_equipment(prediction)]
        file = BytesIO()
        image.save_as(file, enforce_file_format=True)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        # What a source holds may be anything; the library's own words would quote it.
        raise UnwritableInstanceError(
            f"picture of attention: the image's header does not allow it ({type(error).__name__})"
        ) from None
    return file.getvalue()


def _image(source: Dataset, picture: NDArray[np.uint8], series: str, instance: str) -> Dataset:
    # It takes a while to import, which each start of a runner would wait for.
    from highdicom.sc import SCImage  # noqa: PLC0415

    image: Dataset = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        # The class asks for it; it is emptied below, since a picture with margins has none.
        patient_orientation=("L", "P"),
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=series,
        sop_instance_uid=instance,
        series_number=_series_number(source),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name="Preread",
        software_versions=__version__,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=_UNICODE,
    )
    image.PatientOrientation = []
    image.Laterality = ""
    image.Modality = "OT"
    image.ConversionType = "WSD"
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER", ATTENTION_MAP]
    image.BurnedInAnnotation = "YES"
    return image


def _of_source(image: Dataset, source: Dataset, frame: int) -> None:
    """Say whose it is, and of what it was made."""
    copy_patient_and_study(image, source)
    frames = int(source.get("NumberOfFrames") or 1)
    image.InstanceNumber = frame + 1 if frames > 1 else source.get("InstanceNumber") or 1
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    series = Dataset()
    series.ReferencedInstanceSequence = [reference]
    series.SeriesInstanceUID = source.SeriesInstanceUID
    image.ReferencedSeriesSequence = [series]
    origin = Dataset()
    origin.ReferencedSOPClassUID = source.SOPClassUID
    origin.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if frames > 1:
        origin.ReferencedFrameNumber = frame + 1
    origin.SpatialLocationsPreserved = "NO"
    origin.PurposeOfReferenceCodeSequence = [_code(*_SOURCE_IMAGE)]
    image.SourceImageSequence = [origin]
    image.DerivationCodeSequence = [_code(*_DERIVATION)]


def _equipment(prediction: Prediction) -> Dataset:
    """Take the entry as the images with predictions have it."""
    entry = equipment_item(prediction, Characters((_UNICODE,)))
    # Behind the tag and length of the item; texts are decoded as the set that stands first says.
    content = element(0x00080005, "CS", _UNICODE.encode("ascii")) + entry[8:]
    dataset = read_dataset(BytesIO(content), is_implicit_VR=False, is_little_endian=True)
    dataset.decode()
    del dataset.SpecificCharacterSet
    return dataset


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _series_number(source: Dataset) -> int:
    """Derive the series' number from its source's: 3 becomes 9503."""
    number = int(source.get("SeriesNumber") or 0)
    fits = 0 <= number <= _LARGEST_NUMBER - _SERIES_NUMBER_OFFSET
    return _SERIES_NUMBER_OFFSET + (number if fits else 0)
