"""An IODeep instance as a file, in our layout: Raw Data (PS3.3 A.37) without a patient."""

from __future__ import annotations

import datetime as dt
import io
from typing import TYPE_CHECKING, Final

from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from preread import __version__
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.iod import RAW_DATA_STORAGE
from preread.iodeep.layouts import GROUP, PRIVATE_CREATOR
from preread.iodeep.weights import TorchSaved, weights_value

if TYPE_CHECKING:
    from preread.iodeep.iod import IODeep

CREATOR_VERSION_UID: Final = "2.25.114837064386170325446284703911702164843"
"""Of this format: who does not know it shall not try to read the raw data."""
MANUFACTURER: Final = "Preread"


def encode(network: IODeep) -> bytes:
    """Write a network as a DICOM file, Explicit VR Little Endian.

    Parameters
    ----------
    network
        Its weights are a reference, or safetensors of up to 4 MB.

    Returns
    -------
    bytes
        A file with preamble. StudyInstanceUID and SeriesInstanceUID are DnnUID.

    Raises
    ------
    InvalidIODeepError
        If its contents are in a form that we read but do not write.
    """
    if isinstance(network.DnnArchitecture, TorchSaved):
        raise InvalidIODeepError("DnnArchitecture", "written by torch.save; it is written as JSON")
    dataset = _general(network)
    _describe(dataset, network)
    block = dataset.private_block(GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(0x10, "UT", network.DnnArchitecture)
    block.add_new(0x11, "UT", weights_value(network.DnnWeights).decode("ascii"))
    block.add_new(0x12, "LO", network.DnnName)
    block.add_new(0x13, "UI", network.DnnUID)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written = io.BytesIO()
    dcmwrite(written, dataset, enforce_file_format=True)
    return written.getvalue()


def _general(network: IODeep) -> Dataset:
    """Make the modules that every object has, and that of raw data (C.19.1)."""
    created = network.created or dt.datetime.now()  # noqa: DTZ005 - the clock on the wall
    date, time = f"{created:%Y%m%d}", f"{created:%H%M%S.%f}"
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(RAW_DATA_STORAGE)
    dataset.SOPInstanceUID = UID(network.SOPInstanceUID)
    dataset.StudyInstanceUID = UID(network.DnnUID)
    dataset.SeriesInstanceUID = UID(network.DnnUID)
    for empty in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(dataset, empty, None)
    for empty in ("ReferringPhysicianName", "StudyID", "AccessionNumber"):
        setattr(dataset, empty, None)
    dataset.StudyDate, dataset.StudyTime = date, time
    dataset.SeriesDate, dataset.SeriesTime = date, time
    dataset.ContentDate, dataset.ContentTime = date, time
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.StudyDescription = "IODeep"
    dataset.SeriesDescription = network.DnnName
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Manufacturer = MANUFACTURER
    dataset.SoftwareVersions = __version__
    dataset.CreatorVersionUID = UID(CREATOR_VERSION_UID)
    dataset.AcquisitionContextSequence = []
    return dataset


def _describe(dataset: Dataset, network: IODeep) -> None:
    """State the images that it is for and, as the entry of what had a part in it, its text."""
    dataset.Modality = network.Modality
    dataset.BodyPartExamined = network.BodyPartExamined
    dataset.SamplesPerPixel = network.SamplesPerPixel
    dataset.PhotometricInterpretation = network.PhotometricInterpretation
    dataset.Rows, dataset.Columns = network.Rows, network.Columns
    if network.WindowCenter is not None and network.WindowWidth is not None:
        dataset.WindowCenter = format_number_as_ds(network.WindowCenter)
        dataset.WindowWidth = format_number_as_ds(network.WindowWidth)
    if not network.Description:
        return
    purpose = Dataset()
    purpose.CodeValue = "109102"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    entry = Dataset()
    entry.Manufacturer = MANUFACTURER
    entry.SoftwareVersions = __version__
    entry.ContributionDescription = network.Description
    entry.PurposeOfReferenceCodeSequence = [purpose]
    dataset.ContributingEquipmentSequence = [entry]
