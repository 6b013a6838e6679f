"""Nesting that kills Orthanc is refused: only a refusal keeps Orthanc from parsing the object."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from preread.settings import Mode
from tests.unit.hooks.test_receive import Node

ITEM = struct.pack("<HH", 0xFFFE, 0xE000)


def nested(depth: int, *, undefined: bool = False, lacking: str = "") -> bytes:
    """Return a CT with sequences within each other, and without an attribute."""
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    inner = Dataset()
    inner.SeriesNumber = 1
    for _ in range(depth):
        outer = Dataset()
        outer.RequestAttributesSequence = [inner]
        outer["RequestAttributesSequence"].is_undefined_length = undefined
        inner.is_undefined_length_sequence_item = undefined
        inner = outer
    dataset.update(inner)
    if lacking:
        delattr(dataset, lacking)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def hidden(depth: int, *, lacking: str = "") -> bytes:
    """Put deep nesting behind an element that claims more than there is, in the same item.

    Our walk ends there. A parser that forgives more goes on.
    """
    data = nested(depth, lacking=lacking)
    broken = struct.pack("<HH2sH", 0x0008, 0x0100, b"SH", 0xFFFE) + b"no length"
    at = data.index(ITEM) + 8
    return data[:at] + broken + data[at:]


@pytest.mark.parametrize("origin", ["REST_API", "PLUGIN", "DICOM_PROTOCOL"])
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("quarantine", [False, True])
def test_what_is_nested_too_deep_is_refused_with_quarantine_too(
    orthanc: ModuleType, tmp_path: Path, quarantine: bool, undefined: bool, origin: str
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=quarantine)
    data = nested(50, undefined=undefined)
    action, answer = node.receive(data, getattr(node.orthanc.InstanceOrigin, origin))
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert not node.orthanc.called("CreateDicomInstance")  # its parser would overflow
    assert answer is not None
    assert b"DICM" not in answer
    assert node.keeping.quarantined.count() == 0
    assert "nested deeper" in node.failures.latest()[0].reason


@pytest.mark.parametrize("origin", ["REST_API", "PLUGIN"])
@pytest.mark.parametrize("file", [nested(50, lacking="SOPClassUID"), hidden(50)])
def test_whatever_else_is_wrong_with_it_it_is_refused(
    orthanc: ModuleType, tmp_path: Path, file: bytes, origin: str
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)
    action, answer = node.receive(file, getattr(node.orthanc.InstanceOrigin, origin))
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert answer is not None
    assert b"DICM" not in answer
    assert node.keeping.quarantined.count() == 0


def test_what_is_not_nested_deep_is_quarantined_as_before(
    orthanc: ModuleType, tmp_path: Path
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)
    for file in (nested(3, lacking="SOPClassUID"), nested(3)[:-9000]):
        action, _ = node.arrive(file)
        assert action == node.orthanc.ReceivedInstanceAction.DISCARD
    assert node.keeping.quarantined.count() == 2


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.OFF])
@pytest.mark.parametrize("undefined", [False, True])
def test_beside_an_archive_it_is_refused_too(
    orthanc: ModuleType, tmp_path: Path, undefined: bool, mode: Mode
) -> None:
    node = Node(orthanc, tmp_path, mode)
    data = nested(50, undefined=undefined)
    action, _ = node.receive(data, node.orthanc.InstanceOrigin.REST_API)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
