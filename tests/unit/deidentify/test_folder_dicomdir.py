"""The DICOMDIR that is written: pydicom and dcmtk read it, and all that it names is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet, is_conformant_file_id
from pydicom.uid import UID

from preread.deidentify import Deidentifier, DeidentifyOptions, Secret
from preread.deidentify.folders.dicomdir import record_type
from preread.deidentify.folders.errors import FolderError
from preread.deidentify.folders.layout import ByNumbers
from preread.deidentify.folders.one_file import EngineDescription, Kind, Outcome
from preread.deidentify.folders.run import Request, Summary, deidentify_folder
from preread.deidentify.folders.state import FOLDER

PACKAGED = Path(pydicom.__file__).parent / "data" / "test_files"
MEDIUM = PACKAGED / "dicomdirtests"


@pytest.fixture
def description(tmp_path: Path) -> EngineDescription:
    key_file = tmp_path / "key"
    fingerprint = Secret.load_or_create(key_file).fingerprint
    return EngineDescription(key_file, fingerprint, DeidentifyOptions())


def medium(folder: Path, names: list[str]) -> Path:
    """Lay some patients of pydicom's medium and its DICOMDIR out."""
    folder.mkdir()
    for name in names:
        shutil.copytree(MEDIUM / name, folder / name)
    shutil.copy(MEDIUM / "DICOMDIR", folder)
    return folder


def run(source: Path, destination: Path, description: EngineDescription) -> Summary:
    return deidentify_folder(Request(source, destination, description, 2))


def objects(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and FOLDER not in path.parts and path.name != "DICOMDIR"
    }


def listed(folder: Path) -> dict[str, str]:
    """Return the SOPInstanceUID by the file ID of all that a DICOMDIR refers to."""
    return {
        str(Path(instance.path).relative_to(folder)): str(instance.SOPInstanceUID)
        for instance in FileSet(folder / "DICOMDIR")
    }


def test_it_names_all_results_and_nothing_else(
    tmp_path: Path, description: EngineDescription
) -> None:
    out = tmp_path / "out"
    summary = run(MEDIUM, out, description)
    assert summary.failures == []
    assert summary.directories == 8

    made, named = objects(out), listed(out)
    assert set(made) == set(named)
    assert len(made) == summary.deidentified - summary.duplicates == 81
    for name, uid in named.items():
        assert is_conformant_file_id(Path(name))
        assert pydicom.dcmread(out / name, stop_before_pixels=True).SOPInstanceUID == uid
    engine = Deidentifier(Secret.load_or_create(description.key_file))
    sources = (path for path in MEDIUM.rglob("*") if path.is_file())
    expected = {
        engine.deidentify(path.read_bytes()).data
        for path in sources
        if not path.name.startswith(("DICOMDIR", "README"))
    }
    assert set(made.values()) == expected


def test_records_hang_together_and_hold_what_they_must(
    tmp_path: Path, description: EngineDescription
) -> None:
    out = tmp_path / "out"
    run(MEDIUM, out, description)
    directory = pydicom.dcmread(out / "DICOMDIR")
    records = {item.seq_item_tell: item for item in directory.DirectoryRecordSequence}
    seen: list[int] = []

    def walk(offset: int, kinds: list[str]) -> None:
        while offset:
            seen.append(offset)
            record = records[offset]
            assert record.DirectoryRecordType == kinds[0]
            below = record.OffsetOfReferencedLowerLevelDirectoryEntity
            assert bool(below) == (len(kinds) > 1)
            walk(below, kinds[1:])
            offset = record.OffsetOfTheNextDirectoryRecord

    first = directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    walk(first, ["PATIENT", "STUDY", "SERIES", "IMAGE"])
    assert sorted(seen) == sorted(records)
    last = directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity
    assert records[last].OffsetOfTheNextDirectoryRecord == 0
    assert records[last].DirectoryRecordType == "PATIENT"
    needed = {
        "PATIENT": ["PatientID", "PatientName"],
        "STUDY": ["StudyDate", "StudyTime", "StudyID", "StudyInstanceUID"],
        "SERIES": ["Modality", "SeriesInstanceUID", "SeriesNumber"],
        "IMAGE": ["InstanceNumber", "ReferencedFileID", "ReferencedTransferSyntaxUIDInFile"],
    }
    for record in records.values():
        for keyword in needed[record.DirectoryRecordType]:
            assert record[keyword].VM, keyword


def test_nothing_of_the_old_directory_is_in_the_new_one(
    tmp_path: Path, description: EngineDescription
) -> None:
    run(MEDIUM, tmp_path / "out", description)
    new = (tmp_path / "out" / "DICOMDIR").read_bytes()
    old = pydicom.dcmread(MEDIUM / "DICOMDIR")
    words = set()
    for item in old.DirectoryRecordSequence:
        for keyword in (
            "PatientName",
            "PatientID",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "ReferencedSOPInstanceUIDInFile",
            "AccessionNumber",
            "StudyDescription",
        ):
            if item.get(keyword):
                words.add(str(item[keyword].value).encode())
    assert len(words) > 40
    assert [word for word in words if len(word) > 3 and word in new] == []


def test_dcmtk_reads_it_and_goes_on_with_it(tmp_path: Path, description: EngineDescription) -> None:
    if not shutil.which("dcmdump") or not shutil.which("dcmmkdir"):
        pytest.skip("dcmtk is not installed")
    out = tmp_path / "out"
    run(medium(tmp_path / "source", ["98892001", "77654033"]), out, description)
    dump = subprocess.run(
        ["dcmdump", "+E", "DICOMDIR"], cwd=out, capture_output=True, text=True, check=True
    )
    assert dump.stderr == ""
    # Appending parses all records and checks the files behind them.
    name = next(iter(listed(out)))
    before = listed(out)
    done = subprocess.run(
        ["dcmmkdir", "--verbose", "--append", "--invent", "+D", "DICOMDIR", name],
        cwd=out, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert listed(out) == before


def test_a_later_run_adds_and_moves_nothing(tmp_path: Path, description: EngineDescription) -> None:
    source, out = medium(tmp_path / "source", ["98892001"]), tmp_path / "out"
    run(source, out, description)
    before = objects(out)
    first = (out / "DICOMDIR").read_bytes()
    run(source, out, description)
    assert (out / "DICOMDIR").read_bytes() == first
    shutil.copytree(MEDIUM / "77654033", source / "0")  # comes before the other by name
    summary = run(source, out, description)
    assert (summary.earlier, summary.deidentified) == (7, 14)
    after = objects(out)
    assert {name: after[name] for name in before} == before
    assert set(listed(out)) == set(after)


def test_a_directory_that_comes_later_is_refused(
    tmp_path: Path, description: EngineDescription
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(MEDIUM / "77654033", source)
    run(source, out, description)
    shutil.copy(MEDIUM / "DICOMDIR", source / "dicomdir")
    with pytest.raises(FolderError, match="DICOMDIR"):
        run(source, out, description)


def test_other_objects_than_images_have_their_own_records(
    tmp_path: Path, description: EngineDescription
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    kinds = {
        "reportsi.dcm": "SR DOCUMENT",
        "rtplan.dcm": "RT PLAN",
        "rtdose.dcm": "RT DOSE",
        "rtstruct.dcm": "RT STRUCTURE SET",
        "waveform_ecg.dcm": "WAVEFORM",
        "liver_1frame.dcm": "IMAGE",
        "CT_small.dcm": "IMAGE",
    }
    for name in kinds:
        shutil.copy(PACKAGED / name, source)
    shutil.copy(MEDIUM / "DICOMDIR", source)
    summary = run(source, out, description)
    assert summary.failures == []
    records = pydicom.dcmread(out / "DICOMDIR").DirectoryRecordSequence
    made = [one.DirectoryRecordType for one in records if "ReferencedFileID" in one]
    assert sorted(made) == sorted(kinds.values())
    assert set(listed(out)) == set(objects(out))


def expected_type(uid: str) -> str:
    """Ask pydicom, which keeps the table to itself."""
    dataset = Dataset()
    dataset.SOPClassUID = UID(uid)
    from pydicom import fileset

    kind: str = fileset._four_level_record_type(dataset)
    return kind


def test_record_types_agree_with_pydicom() -> None:
    from pydicom.fileset import _FOUR_LEVEL_SOP_CLASSES

    different = {
        UID(uid).name: (record_type(uid), expected_type(uid))
        for uid in _FOUR_LEVEL_SOP_CLASSES
        if record_type(uid) != expected_type(uid)
    }
    assert different == {}


def test_numbers_have_eight_places_and_stay() -> None:
    layout = ByNumbers([])
    for number in range(40):
        outcome = Outcome(Kind.DEIDENTIFIED, "", "P", "1", "2", str(number))
        location = layout.location(outcome)
        assert layout.location(outcome) == location
        assert is_conformant_file_id(Path(location))
    assert location == "PT000000/ST000000/SE000000/IM000013"
    other = Outcome(Kind.DEIDENTIFIED, "", "P", "1", "3", "0")
    assert layout.location(other) == "PT000000/ST000000/SE000001/IM000000"
