"""No object keeps all others waiting: what takes long is held as it came, and comes back."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from preread.archive.announcing import Announcer
from preread.archive.pacs import Stored, StoreOutcome, Superseded
from preread.arriving import arrival_of, ids_of
from preread.deidentify import Deidentifier, DeidentifyOptions, Option, Secret
from preread.deidentify.pixels.complete import CompleteDeidentifier
from preread.deidentify.quarantine import WHOLE
from preread.elements import Budget
from preread.hooks.announcements import BadAnnouncement
from preread.hooks.cost import Allowance
from preread.models.catalogue import Catalogue
from preread.runner.holding import Holding
from preread.runner.meter import Meter
from preread.runner.whole import WholeObjects
from preread.settings import Mode
from tests.unit.deidentify.conftest import DEFLATED, JPEG, Node, Written, identified
from tests.unit.deidentify.test_pixel_data import encapsulated
from tests.unit.hooks.test_receive import KEY, Hooked, instance_of
from tests.unit.hooks.test_receive import Node as Hooks

Make = Callable[[int], bytes]
SECRET = Secret(b"s" * 32)
UID = Node(0x00081155, b"UI", b"1.2.3")
OPTIONS = DeidentifyOptions(
    options=frozenset(
        (Option.CLEAN_DESCRIPTORS, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES),
    )
)


def file(*nodes: Node, pixels: bytes | None = None) -> bytes:
    """Return an image with more in it, encapsulated pixel data last where they are given."""
    if pixels is None:
        return Written(sorted(identified(*nodes), key=lambda node: node.tag)).bytes()
    kept = [node for node in identified(*nodes) if node.tag != 0x7FE00010]
    return Written(sorted(kept, key=lambda node: node.tag), JPEG).bytes() + pixels


def items(number: int) -> bytes:
    return file(Node(0x00081140, b"SQ", items=[[UID]] * number))


def undefined(number: int) -> bytes:
    """Items whose end is known to nobody who has not walked over them."""
    node = Node(0x00081140, b"SQ", items=[[UID]] * number, undefined=True, item_undefined=True)
    return file(node)


def elements(number: int) -> bytes:
    item = [Node(0x00190000 + each, b"LO", b"AB") for each in range(0x1000, 0x1000 + number)]
    return file(Node(0x00081140, b"SQ", items=[item]))


def private(number: int) -> bytes:
    return file(*(Node(0x00190000 + each, b"LO", b"A") for each in range(0x1000, 0x1000 + number)))


def regions(number: int) -> bytes:
    return file(Node(0x00082218, b"SQ", items=[[UID]] * number))


def uids(number: int) -> bytes:
    return file(Node(0x00081195, b"UN", b"1.2\\" * number))


def texts(number: int) -> bytes:
    return file(Node(0x00204000, b"LT", b"1-" * (number // 2)))


def dates(number: int) -> bytes:
    return file(Node(0x00080022, b"UN", b"20200101\\" * number))


def segments(number: int) -> bytes:
    frame = b"\xff\xd8" + b"\xff\xe1\0\2" * number
    frame += b"\xff\xda\0\x08\1\1\0\0\x3f\0\x12\x34\xff\xd9"
    return file(pixels=encapsulated([frame]))


def fragments(number: int) -> bytes:
    return file(pixels=encapsulated([b""] * number))


def zeros(number: int) -> bytes:
    """A deflated data set that grows to so many kilobytes."""
    nodes = identified(Node(0x00191001, b"OB", bytes(number * 1024)))
    return Written(sorted(nodes, key=lambda node: node.tag), DEFLATED).bytes()


COSTLY: Mapping[str, tuple[Make, int, int]] = {
    # What makes it, how much takes longer than it may here, and how much took seconds.
    "items with a UID each": (items, 3000, 290_000),
    "items of undefined length": (undefined, 6000, 290_000),
    "elements in an item": (elements, 6000, 57_000),
    "private elements": (private, 6000, 57_000),
    "items that name no region": (regions, 6000, 290_000),
    "UIDs in an element": (uids, 6000, 250_000),
    "letters of a text": (texts, 6000, 60_000),
    "segments of a JPEG": (segments, 9000, 4_000_000),
    "fragments": (fragments, 30_000, 2_000_000),
    "kilobytes of zeros": (zeros, 1100, 200_000),
}


class Passing(Hooked):
    """Orthanc as the runner sees it: what is announced reaches the hook."""

    def announce(self, announcement: Mapping[str, object]) -> None:
        self.node.memory.announcements.take(announcement)

    def store(self, data: bytes) -> StoreOutcome:
        action, _ = self.node.receive(data, self.node.orthanc.InstanceOrigin.REST_API)
        if action != self.node.orthanc.ReceivedInstanceAction.KEEP_AS_IS:
            return Superseded()
        self.node.journal.stored(instance_of(data))
        return Stored(instance_of(data))


@pytest.fixture
def hooks(orthanc: ModuleType, tmp_path: Path) -> Hooks:
    """Return hooks for which the first look at the clock is one too late."""
    return Hooks(orthanc, tmp_path, Mode.INCOMING, OPTIONS, allowance=Allowance(short))


def short(_: float) -> Budget:
    return Budget(0.5, inflated=2**20, clock=count().__next__)


def ct() -> bytes:
    return Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()


def runner_of(hooks: Hooks, seconds: float = 60.0) -> Holding:
    pacs = Passing(hooks)
    whole = WholeObjects(
        CompleteDeidentifier(SECRET, OPTIONS),
        Catalogue(()),
        pacs,
        Announcer(KEY),
        is_result,
        seconds,
    )
    keeping = hooks.keeping
    return Holding(
        keeping.held,
        keeping.quarantined,
        keeping.choices,
        pacs,
        nobody_looks,
        Meter(),
        whole=whole,
    )


def is_result(_uid: str) -> bool:
    return False


def nobody_looks() -> NoReturn:
    raise AssertionError("there is nothing to look for in these pixels")


def test_an_ordinary_image_is_far_from_it(hooks: Hooks) -> None:
    action, given = hooks.arrive(ct())
    assert action == hooks.orthanc.ReceivedInstanceAction.MODIFY
    assert given == Deidentifier(SECRET, OPTIONS).deidentify(ct()).data


@pytest.mark.parametrize("what", COSTLY)
def test_what_takes_long_is_held_as_it_came(hooks: Hooks, what: str) -> None:
    make, number, _ = COSTLY[what]
    data = make(number)
    action, _ = hooks.arrive(data)
    assert action == hooks.orthanc.ReceivedInstanceAction.DISCARD
    (entry,) = hooks.keeping.held.entries()
    assert entry.look == WHOLE
    assert "CPU time" in entry.reason or "inflates" in entry.reason
    assert hooks.keeping.held.read(entry.id) == data
    assert hooks.failures.count == 0


def test_it_comes_back_deidentified(hooks: Hooks) -> None:
    data = items(3000)
    hooks.arrive(data)
    runner = runner_of(hooks)
    assert runner.work() == ""
    assert hooks.keeping.held.count() == hooks.keeping.quarantined.count() == 0
    made = Deidentifier(SECRET, OPTIONS).deidentify(data).data
    (event,) = hooks.journal.events_after(0)
    assert event.instance == instance_of(made)
    assert event.arrival is not None
    assert event.arrival.SOPInstanceUID == dcmread(BytesIO(made)).SOPInstanceUID


def test_only_what_is_announced_passes_so(hooks: Hooks) -> None:
    data = items(3000)
    done = Deidentifier(SECRET, OPTIONS).deidentify(data)
    arrival = arrival_of(ids_of(done), done, done.header, Catalogue(()), Mode.INCOMING)
    stranger = Announcer(b"x" * 32).arrival(arrival, data)
    with pytest.raises(BadAnnouncement):
        hooks.memory.announcements.take(stranger)
    hooks.memory.announcements.take(Announcer(KEY).arrival(arrival, done.data))
    rest = hooks.orthanc.InstanceOrigin.REST_API
    other = done.data[:-1] + b"x"
    assert hooks.receive(other, rest)[0] == hooks.orthanc.ReceivedInstanceAction.DISCARD
    assert hooks.keeping.held.count() == 1
    kept = hooks.orthanc.ReceivedInstanceAction.KEEP_AS_IS
    assert hooks.receive(done.data, rest) == (kept, None)
    # And once.
    assert hooks.receive(done.data, rest)[0] == hooks.orthanc.ReceivedInstanceAction.DISCARD


def test_what_takes_too_long_for_everybody_is_quarantined(hooks: Hooks) -> None:
    data = items(3000)
    hooks.arrive(data)
    keeping = hooks.keeping
    runner_of(hooks, seconds=-1.0).work()
    (entry,) = keeping.quarantined.entries()
    assert (entry.look, keeping.quarantined.read(entry.id)) == (WHOLE, data)
    assert keeping.held.count() == 0


@pytest.mark.parametrize("origin", ["REST_API", "PLUGIN"])
def test_over_http_what_may_be_nested_too_deep_for_all_we_know_is_refused(
    hooks: Hooks, origin: str
) -> None:
    data = undefined(20_000)
    action, given = hooks.receive(data, getattr(hooks.orthanc.InstanceOrigin, origin))
    assert action == hooks.orthanc.ReceivedInstanceAction.MODIFY
    assert given is not None
    assert b"DICM" not in given
    assert hooks.keeping.held.count() == 0
    assert "CPU time" in hooks.failures.latest()[0].reason


@pytest.mark.parametrize("origin", ["DICOM_PROTOCOL", "REST_API", "PLUGIN"])
def test_what_inflates_too_far_is_inflated_once(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    """A small file of zeros would else cost all others two or three times what it may."""
    begun: list[int] = []
    make = zlib.decompressobj

    def begin(wbits: int) -> object:
        begun.append(wbits)
        return make(wbits)

    monkeypatch.setattr(zlib, "decompressobj", begin)
    action, given = hooks.receive(zeros(1100), getattr(hooks.orthanc.InstanceOrigin, origin))
    assert len(begun) == 1
    if origin == "DICOM_PROTOCOL":
        assert action == hooks.orthanc.ReceivedInstanceAction.DISCARD
        assert hooks.keeping.held.count() == 1
    else:
        assert given is not None
        assert b"DICM" not in given
        assert "inflates to more than" in hooks.failures.latest()[0].reason


def test_beside_an_archive_it_is_stored_and_told(orthanc: ModuleType, tmp_path: Path) -> None:
    hooks = Hooks(orthanc, tmp_path, Mode.COPY, allowance=Allowance(short))
    action, _ = hooks.arrive(undefined(20_000))
    assert action == hooks.orthanc.ReceivedInstanceAction.KEEP_AS_IS
    assert "not read" in hooks.failures.latest()[0].origin


@pytest.mark.parametrize("what", COSTLY)
def test_what_took_seconds_takes_them_no_more(
    orthanc: ModuleType, tmp_path: Path, what: str
) -> None:
    """A budget that is looked at too seldom would show here; the bound is one for slow machines."""
    hooks = Hooks(orthanc, tmp_path, Mode.INCOMING, OPTIONS)
    make, _, number = COSTLY[what]
    data = make(number)
    began = time.thread_time()
    hooks.arrive(data)
    assert time.thread_time() - began < 3
