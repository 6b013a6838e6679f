"""What becomes of what Orthanc may not store, by the way it came."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from preread.settings import Mode
from tests.unit.hooks.test_receive import Node, Runner, Views


def changed(change: Callable[[Dataset], None]) -> bytes:
    """Return a CT after a change."""
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    change(dataset)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def whole() -> bytes:
    return changed(lambda _: None)


def of_no_series() -> bytes:
    return changed(lambda dataset: delattr(dataset, "SeriesInstanceUID"))


def repeating() -> bytes:
    """Return an object whose SOPInstanceUID is its SOPClassUID."""
    return changed(lambda dataset: setattr(dataset, "SOPInstanceUID", dataset.SOPClassUID))


def cut() -> bytes:
    return whole()[:3000]


def of_a_long_patient() -> bytes:
    """Return an object whose PatientID Orthanc does not read."""

    def change(dataset: Dataset) -> None:
        element = dataset["PatientID"]
        element.validation_mode = 0
        element.value = "7" * 257

    return changed(change)


def taken(node: Node, data: bytes, origin: str) -> bool:
    """Tell whether an object that comes is answered success without being stored."""
    action, _ = node.receive(data, getattr(node.orthanc.InstanceOrigin, origin))
    return bool(action == node.orthanc.ReceivedInstanceAction.DISCARD)


def refused(node: Node, data: bytes, origin: str) -> bool:
    """Tell whether an object that comes is refused."""
    _, given = node.receive(data, getattr(node.orthanc.InstanceOrigin, origin))
    return given is not None and given.startswith(b"Preread refused")


@pytest.mark.parametrize("quarantine", [False, True])
@pytest.mark.parametrize("bad", [of_no_series, repeating, cut, of_a_long_patient])
def test_no_refused_part_costs_another_where_dicomweb_does_not_go_on(
    orthanc: ModuleType, tmp_path: Path, bad: Callable[[], bytes], quarantine: bool
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=quarantine)
    node.dicomweb.goes_on = False
    for _ in range(3):
        assert taken(node, bad(), "PLUGIN")
    (entry,) = node.keeping.quarantined.entries()
    assert node.keeping.quarantined.read(entry.id) == bad()
    assert len(node.failures.latest()) == 3
    assert json.loads(node.audit.read_text().splitlines()[0])


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, SystemExit])
def test_what_is_not_the_parts_fault_is_tried_again_by_itself(
    orthanc: ModuleType, tmp_path: Path, error: type[BaseException], monkeypatch: Any
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING)
    node.dicomweb.goes_on = False

    def failing(*_: object) -> None:
        raise error("Doe^Jane")

    with monkeypatch.context() as broken:
        broken.setattr(node.journal, "arrive", failing)
        assert taken(node, whole(), "PLUGIN")
    (held,) = node.keeping.held.entries()
    assert held.reason == error.__name__
    assert node.keeping.quarantined.count() == 0
    Runner(node).work()
    assert node.keeping.held.count() == 0
    assert len(node.journal.events_after(0)) == 1


def test_a_part_that_cannot_be_kept_is_refused(
    orthanc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from preread.deidentify.quarantine import QuarantineError

    node = Node(orthanc, tmp_path, Mode.INCOMING)
    node.dicomweb.goes_on = False

    def full(*_: object, **__: object) -> str:
        raise QuarantineError("a file cannot be held: the disk is full; make room")

    monkeypatch.setattr(node.keeping.quarantined, "put", full)
    assert refused(node, cut(), "PLUGIN")


@pytest.mark.parametrize("bad", [of_no_series, repeating, cut, of_a_long_patient])
def test_a_refused_part_is_refused_where_dicomweb_goes_on(
    orthanc: ModuleType, tmp_path: Path, bad: Callable[[], bytes]
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING)
    assert refused(node, bad(), "PLUGIN")
    assert node.keeping.quarantined.count() == node.keeping.held.count() == 0


@pytest.mark.parametrize("origin", ["REST_API", "PLUGIN"])
@pytest.mark.parametrize(
    ("bad", "answerable"),
    [(of_no_series, False), (repeating, True), (cut, False), (of_a_long_patient, False)],
)
def test_nothing_is_quarantined_for_which_orthanc_answers_an_error(
    orthanc: ModuleType, tmp_path: Path, bad: Callable[[], bytes], answerable: bool, origin: str
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)
    if answerable:
        assert taken(node, bad(), origin)
    else:
        assert refused(node, bad(), origin)
    assert node.keeping.quarantined.count() == answerable


def test_nothing_is_stored_for_which_orthanc_answers_an_error(orthanc: Any, tmp_path: Path) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)
    assert refused(node, of_a_long_patient(), "REST_API")
    orthanc.answers["CreateDicomInstance"] = SimpleNamespace(HasInstancePixelData=lambda: -1)
    assert refused(node, whole(), "REST_API")
    assert node.journal.events_after(0) == []
    assert node.keeping.quarantined.count() == 0
    assert all("Orthanc" in failure.reason for failure in node.failures.latest())
    # To a C-STORE Orthanc answers what was decided.
    for file in (of_a_long_patient(), whole()):
        assert node.arrive(file)[0] == orthanc.ReceivedInstanceAction.MODIFY


@pytest.mark.parametrize("bad", [of_no_series, repeating, cut])
def test_what_is_quarantined_is_there_once_however_often_it_is_tried_again(
    orthanc: ModuleType, tmp_path: Path, bad: Callable[[], bytes]
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)
    views = Views(node)
    for _ in range(2):
        assert taken(node, bad(), "DICOM_PROTOCOL")
    for _ in range(3):
        (entry,) = node.keeping.quarantined.entries()
        assert views.call("retry", entry.id) == 202
        assert taken(node, bad(), "DICOM_PROTOCOL")  # it comes again before it is tried again
        Runner(node).work()
    (entry,) = node.keeping.quarantined.entries()
    assert node.keeping.quarantined.read(entry.id) == bad()
    assert node.keeping.held.count() == 0


@pytest.mark.parametrize(
    ("loaded", "version", "goes_on"),
    [(True, "1.7", False), (True, "1.20", True), (True, "mainline", True), (False, "", True)],
)
def test_orthanc_is_asked_for_the_version_of_dicomweb(
    orthanc: Any, monkeypatch: pytest.MonkeyPatch, loaded: bool, version: str, goes_on: bool
) -> None:
    from preread.hooks.dicomweb import DicomWeb

    def get(uri: str) -> bytes:
        plugins = ["explorer.js", *(["dicom-web"] if loaded else [])]
        answers = {"/plugins": plugins, "/plugins/dicom-web": {"Version": version}}
        return json.dumps(answers[uri]).encode()

    monkeypatch.setattr(orthanc, "RestApiGet", get)
    dicomweb = DicomWeb()
    assert not dicomweb.goes_on  # until it is known
    dicomweb.ask()
    assert dicomweb.goes_on is goes_on


def test_a_version_that_cannot_be_had_is_taken_for_an_old_one(
    orthanc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from preread.hooks.dicomweb import DicomWeb

    monkeypatch.setattr(orthanc, "RestApiGet", lambda _: b"no JSON")
    dicomweb = DicomWeb()
    dicomweb.ask()
    assert not dicomweb.goes_on


def test_an_original_that_is_stored_and_cannot_be_read_is_told(
    orthanc: Any, tmp_path: Path
) -> None:
    node = Node(orthanc, tmp_path, Mode.COPY)
    unreadable = whole()[:132] + struct.pack("<HHI", 2, 0x10, 4) + b"1.2\0" + whole()[132:]
    action, _ = node.receive(unreadable, orthanc.InstanceOrigin.REST_API)
    assert action == orthanc.ReceivedInstanceAction.KEEP_AS_IS
    dicom = orthanc.DicomInstance()
    dicom.answers = {"GetInstanceData": unreadable}
    node.stored(dicom, "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d")
    (failure,) = node.failures.latest()
    assert "0a1b2c3d" in failure.reason
    assert "stored as it came" in failure.reason
    assert len(node.journal.refusals()) == 1
