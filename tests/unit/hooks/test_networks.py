"""Networks (IODeep) at the receive hook: who is trusted, and what becomes of the others."""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from preread.deidentify import Deidentifier, Secret
from preread.iodeep.reading import decode
from preread.iodeep.recognising import digest_of, recognise
from preread.iodeep.trust import STRANGER
from preread.iodeep.writing import encode
from preread.iodeep_sections import IODeepSettings
from preread.ledger.arrival import Arrival
from preread.settings import Mode
from tests.unit.hooks.test_receive import Node, instance_of
from tests.unit.iodeep.conftest import Build, Make

SUCCESS, COERCED, OUT_OF_RESOURCES = 0x0000, 0xB000, 0xA700
TRUSTED = IODeepSettings(trusted_users=("alice",), trusted_aets=("TRAINER",))

Trusting = Callable[..., "Door"]


class Door:
    """A node's hooks, and what somebody sends to them."""

    def __init__(self, orthanc: Any, folder: Path, mode: Mode, trusted: IODeepSettings) -> None:
        networks = importlib.import_module("preread.hooks.networks")
        self.orthanc = orthanc
        self.node = Node(orthanc, folder, mode, trusted=trusted)
        self._judge_user = networks.UserFilter(self.node.gate, lambda _uri, **_: True)
        self._judge_title = networks.TitleFilter(
            self.node.gate, self.node.journal, self.node.keeping.held
        )

    def post(self, data: bytes, user: str = "") -> tuple[Any, bytes | None]:
        """Take a file over HTTP, as Orthanc does: filter, then hook, in one thread."""
        token = base64.b64encode(f"{user}:secret".encode()).decode()
        headers = {"authorization": f"Basic {token}"} if user else {}
        method = self.orthanc.HttpMethod.POST
        assert self._judge_user("/instances", method=method, ip="127.0.0.1", headers=headers)
        verdict: tuple[Any, bytes | None] = self.node.receive(
            data, self.orthanc.InstanceOrigin.PLUGIN
        )
        return verdict

    def store(self, data: bytes, title: str) -> tuple[int, bytes | None]:
        """Take a file by C-STORE: hook, then filter; return the status, and what is stored."""
        action, made = self.node.arrive(data)
        status = self._judge_title(SimpleNamespace(GetInstanceRemoteAet=lambda: title))
        if status != SUCCESS:
            return status, None
        is_changed = action == self.orthanc.ReceivedInstanceAction.MODIFY
        return status, made if is_changed else data

    def known_of(self, data: bytes) -> Arrival:
        """Return what was written down of an object as it is stored."""
        instance = instance_of(data)
        self.node.journal.stored(instance)
        event = self.node.journal.events_after(0)[-1]
        assert event.instance == instance
        assert event.arrival is not None
        return event.arrival


@pytest.fixture
def door(orthanc: Any, tmp_path: Path) -> Trusting:
    def opened(mode: Mode = Mode.INCOMING, trusted: IODeepSettings = TRUSTED) -> Door:
        return Door(orthanc, tmp_path, mode, trusted)

    return opened


def changed(data: bytes, **values: Any) -> bytes:
    dataset = dcmread(io.BytesIO(data))
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def assert_is_stranger(door: Door, data: bytes, made: bytes | None) -> None:
    """Check that what is stored is what becomes of anybody's object."""
    assert made is not None
    assert made == Deidentifier(Secret(b"s" * 32)).deidentify(data).data
    assert recognise(made) is None
    arrival = door.known_of(made)
    assert (arrival.network, arrival.reason, arrival.models) == ("untrusted", STRANGER, ())


def test_a_trusted_users_network_stays_what_it_is(door: Trusting, make_network: Make) -> None:
    network = make_network(Description="Dice 0.9", WindowCenter=40.0, WindowWidth=400.0)
    node, data = door(), encode(network)
    action, made = node.post(data, "alice")
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert made is not None
    assert decode(made) == decode(data)
    arrival = node.known_of(made)
    assert (arrival.network, arrival.work, arrival.models) == ("received", False, ())
    assert "trusted user" in arrival.reason
    assert arrival.SOPInstanceUID == network.SOPInstanceUID


def test_only_what_the_iod_has_is_kept(door: Trusting, make_network: Make) -> None:
    item = Dataset()
    item.PatientComments = "PLANTEDNEST"
    planted = changed(
        encode(make_network()),
        PatientName="PLANTEDNAME^Jane",
        PatientID="PLANTEDID",
        PatientBirthDate="19441231",
        PatientSex="F",
        PatientAddress="PLANTEDSTREET",
        InstitutionName="PLANTEDPLACE",
        AccessionNumber="PLANTEDACC",
        StudyID="PLANTEDSTUDY",
        ReferringPhysicianName="PLANTEDDOCTOR",
        AcquisitionContextSequence=[item],
        RequestAttributesSequence=[item],
    )
    dataset = dcmread(io.BytesIO(planted))
    dataset.private_block(0x0099, "PLANTEDPRIV", create=True).add_new(1, "LO", "PLANTEDPRIV")
    dataset.private_block(0x0017, "PLANTEDPRIV", create=True).add_new(1, "LO", "PLANTEDPRIV")
    dataset.file_meta.SourceApplicationEntityTitle = "PLANTEDAE"
    file = io.BytesIO()
    dataset.save_as(file)
    _, made = door().post(file.getvalue(), "alice")
    assert made is not None
    assert b"PLANTED" not in made
    assert b"19441231" not in made
    network = decode(made)
    assert network.DnnWeights == make_network().DnnWeights
    kept = dcmread(io.BytesIO(made))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        assert keyword in kept
        assert not kept[keyword].value
    for keyword in ("ContentDate", "ContentTime", "CreatorVersionUID"):
        assert keyword in kept
    # What was let in is let in again as it is.
    assert door().post(made, "alice")[1] == made


def test_the_prototypes_fault_is_let_in_too(door: Trusting, prototype: Build) -> None:
    data = prototype(PatientName="PLANTEDNAME")
    node = door()
    _, made = node.post(data, "alice")
    assert made is not None
    assert b"PLANTEDNAME" not in made
    assert decode(made) == decode(prototype())
    assert node.known_of(made).network == "received"


@pytest.mark.parametrize("user", ["", "bob", "ALICE", "alice "])
def test_another_users_network_is_a_strangers(
    door: Trusting, make_network: Make, user: str
) -> None:
    node, data = door(), encode(make_network())
    assert_is_stranger(node, data, node.post(data, user)[1])


def test_the_user_of_an_earlier_request_does_not_count(door: Trusting, make_network: Make) -> None:
    node, data = door(), encode(make_network())
    node.post(data, "alice")
    assert_is_stranger(node, data, node.post(data)[1])
    node.post(data, "alice")
    # Nor does that of HTTP for a C-STORE.
    status, _ = node.store(data, "STRANGER")
    assert status == COERCED


def test_a_trusted_titles_network_stays_what_it_is(door: Trusting, make_network: Make) -> None:
    node, data = door(), encode(make_network())
    status, made = node.store(data, "TRAINER")
    assert status == SUCCESS
    assert made is not None
    assert decode(made) == decode(data)
    arrival = node.known_of(made)
    assert arrival.network == "received"
    assert "AE title" in arrival.reason


def test_another_titles_network_waits_and_comes_back_as_a_strangers(
    door: Trusting,
    make_network: Make,
) -> None:
    node, data = door(), encode(make_network())
    status, _ = node.store(data, "STRANGER")
    assert status == COERCED
    assert node.node.journal.current(instance_of(data)) is None
    (entry,) = node.node.keeping.held.entries()
    # The process beside Orthanc sends an original in as it came.
    assert (entry.look, entry.arrival) == ("", "")
    assert node.node.keeping.held.read(entry.id) == data
    assert_is_stranger(node, data, node.post(data)[1])


def test_without_trusted_titles_a_network_by_c_store_is_a_strangers(
    door: Trusting,
    make_network: Make,
) -> None:
    node, data = door(trusted=IODeepSettings()), encode(make_network())
    status, made = node.store(data, "TRAINER")
    assert status == SUCCESS
    assert_is_stranger(node, data, made)


def test_an_image_by_c_store_is_not_asked_for_its_title(door: Trusting) -> None:
    image = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    node = door()
    node.node.arrive(image)

    def fail() -> str:
        raise AssertionError

    filter_ = importlib.import_module("preread.hooks.networks").TitleFilter(
        node.node.gate, node.node.journal, node.node.keeping.held
    )
    assert filter_(SimpleNamespace(GetInstanceRemoteAet=fail)) == SUCCESS


def test_what_cannot_be_judged_is_not_stored(
    door: Trusting,
    make_network: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = door()

    def fail(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(node.node.keeping.held, "put", fail)
    assert node.store(encode(make_network()), "STRANGER") == (OUT_OF_RESOURCES, None)
    monkeypatch.setattr(node.node.journal, "arrive", fail)
    assert node.store(encode(make_network()), "TRAINER") == (OUT_OF_RESOURCES, None)


@pytest.mark.parametrize("by", ["file", "digest"])
def test_a_network_on_the_list_is_trusted_whoever_sends_it(
    door: Trusting,
    make_network: Make,
    by: str,
) -> None:
    data = encode(make_network())
    found = recognise(data)
    assert found is not None
    allowed = hashlib.sha256(data).hexdigest() if by == "file" else digest_of(found)
    node = door(trusted=IODeepSettings(AllowedSHA256=(allowed.upper(),)))  # type: ignore[call-arg]
    _, made = node.post(data, "bob")
    assert made is not None
    assert node.known_of(made).network == "received"
    other = encode(make_network(DnnName="another"))
    assert_is_stranger(node, other, node.post(other, "bob")[1])


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.OFF])
def test_where_originals_stay_trust_is_written_down(
    door: Trusting,
    make_network: Make,
    mode: Mode,
) -> None:
    node, data = door(mode), encode(make_network())
    found = recognise(data)
    assert found is not None
    for sent in (node.post(data, "alice")[0], node.store(data, "TRAINER")[1] == data):
        assert sent in (node.orthanc.ReceivedInstanceAction.KEEP_AS_IS, True)
        arrival = node.known_of(data)
        assert (arrival.network, arrival.work) == ("received", False)
        # Another object of the same UIDs may lie there by the time that the runner looks.
        assert arrival.network_digest == digest_of(found)
    assert node.post(data, "bob")[1] is None
    assert node.known_of(data).network == "untrusted"
    assert node.store(data, "STRANGER") == (SUCCESS, data)
    arrival = node.known_of(data)
    assert (arrival.network, arrival.work) == ("untrusted", mode is Mode.COPY)
    assert node.node.keeping.held.count() == 0


def test_an_image_that_calls_itself_a_network_is_an_image(
    door: Trusting, make_network: Make
) -> None:
    """Who is trusted to send networks is not trusted to send patients."""
    image = dcmread(str(get_testdata_file("CT_small.dcm")))
    network = dcmread(io.BytesIO(encode(make_network())))
    for element in image:
        if element.keyword != "SOPClassUID":
            network.add(element)
    file = io.BytesIO()
    network.save_as(file)
    assert network.file_meta.MediaStorageSOPClassUID == network.SOPClassUID
    _, made = door().post(file.getvalue(), "alice")
    assert made is not None
    assert b"CompressedSamples" not in made
    assert "DeidentificationMethod" in dcmread(io.BytesIO(made))


def test_a_private_class_in_the_file_meta_alone_is_no_network(
    door: Trusting, make_network: Make
) -> None:
    data = changed(encode(make_network()), SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    assert recognise(data) is None


def test_no_user_is_made_of_what_is_no_basic_authorization(door: Trusting) -> None:
    door()
    user_of = importlib.import_module("preread.hooks.networks").user_of
    for given in ("", "Basic", "Basic !!", "Bearer YWxpY2U6eA==", "Basic /////w=="):
        assert user_of({"authorization": given}) == ""
    assert user_of({}) == ""
    assert user_of({"Authorization": "basic YWxpY2U6eDp5"}) == "alice"
