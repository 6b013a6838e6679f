"""The DICOMDIR of a file-set (PS3.10 section 8, PS3.3 Annex F), made from the files themselves.

pydicom's own file-set would read, copy and write every object anew; here objects keep their bytes
and only headers are read. What each kind of record holds is pydicom's.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.fileset import DIRECTORY_RECORDERS
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from preread.deidentify.folders.listing import MEDIA_STORAGE_DIRECTORY
from preread.deidentify.folders.state import Result
from preread.deidentify.marks import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

NAME: Final = "DICOMDIR"
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_RECORD_TYPES: Final = {
    "9.": "WAVEFORM",
    "11.": "PRESENTATION",
    "131": "PRESENTATION",
    "4.2": "SPECTROSCOPY",
    "66": "RAW DATA",
    "66.1": "REGISTRATION",
    "66.3": "REGISTRATION",
    "66.2": "FIDUCIAL",
    "66.5": "SURFACE",
    "66.6": "TRACT",
    "67": "VALUE MAP",
    "68.": "SURFACE SCAN",
    "77.1.5.3": "STEREOMETRIC",
    "78.": "MEASUREMENT",
    "78.6": "SR DOCUMENT",
    "79.1": "SR DOCUMENT",
    "80.1": "MEASUREMENT",
    "88.": "SR DOCUMENT",
    "88.59": "KEY OBJECT DOC",
    "90.1": "ASSESSMENT",
    "104.": "ENCAP DOC",
    "481.2": "RT DOSE",
    "481.3": "RT STRUCTURE SET",
    "481.4": "RT TREAT RECORD",
    "481.5": "RT PLAN",
    "481.6": "RT TREAT RECORD",
    "481.7": "RT TREAT RECORD",
    "481.8": "RT PLAN",
    "481.9": "RT TREAT RECORD",
}
"""PS3.3 Table F.4-1: the record of a SOP class, by what follows the root of all storage classes. A
point at the end stands for all below; what is not here is an IMAGE."""
_DATE: Final = "19000101"
_TIME: Final = "000000"
_LABEL: Final = "UNKNOWN"
_NEEDED: Final[dict[str, Any]] = {
    "StudyDate": _DATE,
    "StudyTime": _TIME,
    "Modality": "OT",
    "SeriesNumber": 0,
    "InstanceNumber": 0,
    "ContentDate": _DATE,
    "ContentTime": _TIME,
    "ContentLabel": _LABEL,
    "PresentationCreationDate": _DATE,
    "PresentationCreationTime": _TIME,
    "InstanceCreationDate": _DATE,
    "StructureSetLabel": _LABEL,
    "RTPlanLabel": _LABEL,
    "DoseSummationType": "PLAN",
    "CompletionFlag": "PARTIAL",
    "VerificationFlag": "UNVERIFIED",
    "MIMETypeOfEncapsulatedDocument": "application/octet-stream",
    "ImageType": ["DERIVED", "SECONDARY"],
    "NumberOfFrames": 1,
    "Rows": 1,
    "Columns": 1,
    "DataPointRows": 1,
    "DataPointColumns": 1,
}
"""What a record must have (PS3.3 F.5, type 1) though de-identification empties it or an object may
lack it. These stand in the directory alone, never in an object."""


@dataclass(slots=True)
class _Node:
    """A record with those below it, by their identifiers."""

    record: Dataset
    below: dict[str, _Node] = field(default_factory=dict)


def write_directory(folder: Path, results: Iterable[Result], uid: str) -> list[tuple[str, str]]:
    """Write the DICOMDIR of a folder, in place of the one that is there.

    Parameters
    ----------
    folder
        The root of the file-set.
    results
        The objects that it lists, in the order of the records. A place that comes twice counts
        once.
    uid
        The UID of the file-set.

    Returns
    -------
    list of tuple of str
        The places of objects that cannot be listed, with the reason.
    """
    top: dict[str, _Node] = {}
    failures: list[tuple[str, str]] = []
    listed: set[str] = set()
    for result in results:
        if result.location in listed:
            continue
        listed.add(result.location)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's words quote values
                _add(top, folder, result)
        except Exception as error:  # noqa: BLE001 - pydicom raises all kinds, one object is at stake
            reason = f"it cannot be listed in the {NAME} ({type(error).__name__})"
            failures.append((result.location, reason))
    beside = folder / f".{NAME}.new"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        beside.write_bytes(_encoded(top, uid))
    beside.replace(folder / NAME)
    return failures


def _add(top: dict[str, _Node], folder: Path, result: Result) -> None:
    dataset = _header(folder / result.location)
    names = result.location.split("/")
    if "StudyID" not in dataset or not dataset["StudyID"].VM:
        dataset.StudyID = names[1]
    identifiers = (result.patient, result.study, result.series, result.instance)
    kinds = ("PATIENT", "STUDY", "SERIES", record_type(dataset.SOPClassUID))
    below = top
    nodes: list[tuple[dict[str, _Node], str, _Node]] = []
    for identifier, kind in zip(identifiers, kinds, strict=True):
        node = below.get(identifier)
        if node is None:
            node = _Node(_record(dataset, kind))
            nodes.append((below, identifier, node))
        below = node.below
    leaf = nodes[-1][2].record
    leaf.ReferencedFileID = names
    leaf.ReferencedSOPClassUIDInFile = dataset.SOPClassUID
    leaf.ReferencedSOPInstanceUIDInFile = dataset.SOPInstanceUID
    leaf.ReferencedTransferSyntaxUIDInFile = dataset.file_meta.TransferSyntaxUID
    for above, identifier, node in nodes:  # only now, so that no folder stays without a file
        above[identifier] = node


def _header(path: Path) -> FileDataset:
    """Read a header, with what records need where it has no value."""
    dataset = dcmread(os.fspath(path), stop_before_pixels=True)
    for keyword, value in _NEEDED.items():
        try:
            missing = keyword not in dataset or not dataset[keyword].VM
        except (ValueError, TypeError, NotImplementedError):
            missing = True  # there is a value, and none that its VR allows
        if missing:
            setattr(dataset, keyword, value)
    if "ContentSequence" in dataset:
        # F.5.15 and F.5.16: nothing of a report's content but what modifies its title.
        modifiers = [
            item
            for item in dataset.ContentSequence
            if item.get("RelationshipType") == "HAS CONCEPT MOD"
        ]
        if modifiers:
            dataset.ContentSequence = Sequence(modifiers)
        else:
            del dataset.ContentSequence
    return dataset


def record_type(sop_class: str) -> str:
    """Return the kind of the record that refers to objects of a SOP class (PS3.3 F.4).

    >>> record_type("1.2.840.10008.5.1.4.1.1.88.11")
    'SR DOCUMENT'
    >>> record_type("1.2.840.10008.5.1.4.1.1.2")
    'IMAGE'
    """
    if not sop_class.startswith(_STORAGE):
        return "IMAGE"
    rest = sop_class.removeprefix(_STORAGE)
    exact = _RECORD_TYPES.get(rest)
    return exact or _RECORD_TYPES.get(rest[: rest.find(".") + 1], "IMAGE")


def _record(dataset: Dataset, kind: str) -> Dataset:
    recorder: Callable[[Dataset], Dataset] = DIRECTORY_RECORDERS[kind]
    record = recorder(dataset)
    record.OffsetOfTheNextDirectoryRecord = 0
    record.RecordInUseFlag = 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = kind
    if "SpecificCharacterSet" in dataset:
        record.SpecificCharacterSet = dataset.SpecificCharacterSet
    return record


def _encoded(top: dict[str, _Node], uid: str) -> bytes:
    """Return the file; written twice, since records tell where others lie."""
    directory = Dataset()
    directory.FileSetID = None
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.FileSetConsistencyFlag = 0
    records = list(_records(top))
    directory.DirectoryRecordSequence = Sequence(records)
    places = [item.seq_item_tell for item in _read_again(_bytes(directory, uid))]
    place_of = {id(record): place for record, place in zip(records, places, strict=True)}
    _link(top, place_of)
    heads = [place_of[id(node.record)] for node in top.values()]
    if heads:
        directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = heads[0]
        directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = heads[-1]
    return _bytes(directory, uid)


def _records(level: dict[str, _Node]) -> Iterator[Dataset]:
    for node in level.values():
        yield node.record
        yield from _records(node.below)


def _link(level: dict[str, _Node], place_of: dict[int, int]) -> None:
    nodes = list(level.values())
    for node, following in zip_longest(nodes, nodes[1:]):
        record = node.record
        after = 0 if following is None else place_of[id(following.record)]
        first = next(iter(node.below.values()), None)
        record.OffsetOfTheNextDirectoryRecord = after
        record.OffsetOfReferencedLowerLevelDirectoryEntity = (
            0 if first is None else place_of[id(first.record)]
        )
        _link(node.below, place_of)


def _bytes(directory: Dataset, uid: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(MEDIA_STORAGE_DIRECTORY)
    meta.MediaStorageSOPInstanceUID = UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = BytesIO()
    file = FileDataset("", directory, preamble=bytes(128), file_meta=meta)
    dcmwrite(buffer, file, enforce_file_format=True)
    return buffer.getvalue()


def _read_again(data: bytes) -> Iterable[Any]:
    read: Iterable[Any] = dcmread(BytesIO(data)).DirectoryRecordSequence
    return read
