"""A phantom's slices as CT Image Storage and MR Image Storage (PS3.3 A.3 and A.4).

Each object says in SyntheticData, in the patient's name and ID, in its descriptions, in its
comments and in the name of the equipment that no patient was imaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_OID, uuid5

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from preread.phantom.acquisition import Kernel, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from preread.phantom.volume import Volume

GENERATOR: Final = "Preread synthetic phantom 1"
"""Raise the number when the same seed comes to make other voxels: UIDs depend on it."""
NOTE: Final = "Synthetic: computed by a program; it shows no patient"
MANUFACTURER: Final = "Preread"
MODEL_NAME: Final = "Synthetic phantom"
DATE: Final = "20260101"
TIME: Final = "120000"
_INTERCEPT: Final = -1024
_KERNEL_NAMES: Final = {Kernel.SOFT: "SOFT", Kernel.STANDARD: "STANDARD", Kernel.LUNG: "LUNG"}


def uid(volume: Volume, *what: str) -> UID:
    """Return a UID that is always the same for a phantom, however imaged, and what is named."""
    return _uid(GENERATOR, volume.kind, str(volume.seed), *what)


def series_uid(volume: Volume, *what: str) -> UID:
    """Return a UID that is always the same for a phantom imaged like this and what is named."""
    imaged = volume.acquisition
    thickness = format_number_as_ds(imaged.slice_thickness)
    return uid(volume, thickness, str(imaged.size), volume.kernel or "", *what)


def _uid(*words: str) -> UID:
    return UID(f"2.25.{uuid5(NAMESPACE_OID, '/'.join(words)).int}")


def image_uid(volume: Volume, number: int) -> UID:
    """Return the SOPInstanceUID of a slice, counted from 0."""
    return series_uid(volume, "image", str(number))


def image(volume: Volume, number: int, pixels: NDArray[np.int16]) -> Dataset:
    """Make the instance of one slice.

    Parameters
    ----------
    volume
        What the slice is of.
    number
        Of the slice, from 0.
    pixels
        (rows, columns), as `Volume.slice_` gives them.

    Returns
    -------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian.
    """
    chest = volume.kind is Kind.CHEST
    dataset = new_instance(CTImageStorage if chest else MRImageStorage, image_uid(volume, number))
    describe(dataset, volume)
    dataset.Modality = "CT" if chest else "MR"
    dataset.SeriesInstanceUID = series_uid(volume, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = _series_description(volume)
    dataset.BodyPartExamined = "CHEST" if chest else "HEAD"
    dataset.PatientPosition = "HFS"
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = number + 1
    dataset.ContentDate, dataset.ContentTime = DATE, TIME
    _describe_plane(dataset, volume, number)
    if chest:
        _describe_ct(dataset, volume)
    else:
        _describe_mr(dataset)
    stored = pixels - _INTERCEPT if chest else pixels
    dataset.PixelData = stored.astype("<u2").tobytes()
    return dataset


def new_instance(sop_class: UID, instance: UID) -> Dataset:
    """Return a data set with file meta information and nothing else but its identity."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = instance
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = instance
    return dataset


def describe(dataset: Dataset, volume: Volume) -> None:
    """Set what all objects of a phantom share: patient, study, equipment and where they are."""
    what = "chest CT" if volume.kind is Kind.CHEST else "brain MR"
    dataset.SyntheticData = "YES"
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = DATE, TIME
    dataset.StudyDate = dataset.SeriesDate = DATE
    dataset.StudyTime = dataset.SeriesTime = TIME
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.StudyDescription = f"Synthetic {what}, not a patient"
    dataset.PatientName = f"Synthetic^{volume.kind.capitalize()} {volume.seed}"
    dataset.PatientID = f"SYNTHETIC-{volume.kind.upper()}-{volume.seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientComments = NOTE
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.SoftwareVersions = GENERATOR
    dataset.StudyInstanceUID = uid(volume, "study")
    dataset.FrameOfReferenceUID = uid(volume, "frame of reference")
    dataset.PositionReferenceIndicator = ""


def _series_description(volume: Volume) -> str:
    thickness = f"{volume.acquisition.slice_thickness:g} mm"
    kernel = f" {volume.kernel}" if volume.kernel else ""
    return f"Synthetic {volume.kind} {thickness}{kernel}"


def _describe_plane(dataset: Dataset, volume: Volume, number: int) -> None:
    grid = volume.grid
    spacing = format_number_as_ds(grid.pixel_spacing)
    dataset.Rows = dataset.Columns = grid.size
    dataset.PixelSpacing = [spacing, spacing]
    dataset.SliceThickness = format_number_as_ds(grid.slice_thickness)
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [
        format_number_as_ds(round(value, 6)) for value in grid.position(0, 0, number)
    ]
    dataset.SliceLocation = dataset.ImagePositionPatient[2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.BurnedInAnnotation = "NO"
    dataset.ImageComments = NOTE


def _describe_ct(dataset: Dataset, volume: Volume) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.KVP = 120
    dataset.ConvolutionKernel = _KERNEL_NAMES[volume.acquisition.kernel]
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = _INTERCEPT, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = -500, 1500


def _describe_mr(dataset: Dataset) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    dataset.ScanningSequence = "SE"
    dataset.SequenceVariant = "NONE"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = 500, 12, 1
    dataset.MagneticFieldStrength = 1.5
    dataset.WindowCenter, dataset.WindowWidth = 700, 1400
