"""An object that bears the UID of a result of ours is taken only when it was announced."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from preread.deidentify import Pseudonyms, Secret
from preread.settings import Mode
from tests.unit.hooks.test_receive import KEY, Node, instance_of
from tests.unit.hooks.test_receive import ct as ct  # noqa: PLC0414 - fixtures
from tests.unit.hooks.test_receive import make as make  # noqa: PLC0414

PSEUDONYMS = Pseudonyms(Secret(b"s" * 32))
MODES = [Mode.INCOMING, Mode.COPY, Mode.OFF]


def named(data: bytes, *keywords: str) -> bytes:
    """Give an object UIDs of results."""
    dataset = dcmread(BytesIO(data))
    for keyword in keywords:
        setattr(dataset, keyword, PSEUDONYMS.derived_uid("1.2.3", f"proposal {keyword}"))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID"])
def test_a_stranger_cannot_bring_what_bears_a_results_uid(
    make: Callable[[Mode], Node], ct: bytes, mode: Mode, keyword: str
) -> None:
    """Nor put another object into a result's series, of which viewers show the last one."""
    node = make(mode)
    action, answer = node.arrive(named(ct, keyword))
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert answer is not None
    assert answer.startswith(b"Preread refused")
    assert "result" in str(node.orthanc.called("LogError"))
    assert node.journal.refused_count() == 1
    assert node.journal.current(instance_of(named(ct, keyword))) is None


@pytest.mark.parametrize("mode", MODES)
def test_what_was_announced_passes_and_what_differs_by_a_byte_does_not(
    make: Callable[[Mode], Node], ct: bytes, mode: Mode
) -> None:
    node = make(mode)
    _, stored = node.arrive(ct)
    source = instance_of(stored or ct)
    node.store(stored or ct)
    current = node.journal.current(source)
    assert current is not None
    data = named(stored or ct, "SOPInstanceUID", "SeriesInstanceUID")
    forged = data[:-1] + bytes([data[-1] ^ 1])
    instance, digest = instance_of(data), hashlib.sha256(data).hexdigest()
    text = f"{instance}|{source}|{current.generation}|{digest}".encode()
    node.memory.announcements.take(
        {
            "Instance": instance,
            "Source": source,
            "Generation": current.generation,
            "SHA256": digest,
            "Signature": hmac.new(KEY, text, hashlib.sha256).hexdigest(),
        }
    )
    rest = node.orthanc.InstanceOrigin.REST_API
    action, answer = node.receive(forged, rest)
    assert (answer or b"").startswith(b"Preread refused")
    action, answer = node.receive(data, rest)
    assert (action, answer) == (node.orthanc.ReceivedInstanceAction.KEEP_AS_IS, None)


def test_images_under_pseudonyms_may_come_again(
    make: Callable[[Mode], Node], ct: bytes, tmp_path: Path
) -> None:
    node = make(Mode.INCOMING)
    _, stored = node.arrive(ct)
    assert stored is not None
    action, again = node.arrive(stored)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert again is not None
    assert instance_of(again) == instance_of(stored)
