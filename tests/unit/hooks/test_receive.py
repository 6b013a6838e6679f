"""The receive hook on real files, with the stand-in for Orthanc's module."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import SecondaryCaptureImageStorage

from preread.archive.pacs import PacsFailedError, Refused, Stored, StoreOutcome, Superseded
from preread.arriving import arrival_of, ids_of
from preread.deidentify import (
    DeidentificationError,
    Deidentifier,
    DeidentifyOptions,
    Option,
    Pseudonyms,
    Secret,
)
from preread.deidentify.audit import AuditError, AuditLog
from preread.deidentify.pixels.policy import Look
from preread.deidentify.pixels.seal import PixelSeal, sealed_values
from preread.deidentify.quarantine import Quarantine, QuarantineError
from preread.deidentify.trail import Trail
from preread.elements import read_header, resource_ids
from preread.hooks.announcements import Announcements
from preread.hooks.cost import Allowance
from preread.hooks.deletions import Deletions
from preread.hooks.inflight import InFlight
from preread.iodeep.trust import Trust
from preread.iodeep_sections import IODeepSettings
from preread.ledger.choices import HeldChoices
from preread.ledger.journal import Journal
from preread.models.catalogue import Catalogue
from preread.runner.holding import Holding
from preread.runner.meter import Meter
from preread.settings import Mode
from tests.unit.runner.archive import Archive

KEY = b"k" * 32


class Node:
    """The hooks of one node, and what they share."""

    def __init__(
        self,
        orthanc: Any,
        folder: Path,
        mode: Mode,
        options: DeidentifyOptions | None = None,
        takes_unsafe: bool = False,
        trusted: IODeepSettings | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        receive = importlib.import_module("preread.hooks.receive")
        changes = importlib.import_module("preread.hooks.changes")
        failures = importlib.import_module("preread.hooks.failures")
        safekeeping = importlib.import_module("preread.hooks.safekeeping")
        networks = importlib.import_module("preread.hooks.networks")
        own = importlib.import_module("preread.hooks.own_results")
        dicomweb = importlib.import_module("preread.hooks.dicomweb")
        self.orthanc = orthanc
        self.journal = Journal(folder / "journal.sqlite")
        self.memory = receive.Memory(
            Announcements(KEY), InFlight(), Deletions(self.journal.deleted)
        )
        self.failures = failures.Failures(self.journal)
        self.keeping = safekeeping.Safekeeping(
            held=Quarantine(folder / "held", KEY),
            choices=HeldChoices.within(folder / "held"),
            quarantined=Quarantine(folder / "quarantine", KEY),
            takes_unsafe=takes_unsafe,
            trail=Trail(AuditLog(folder / "audit.jsonl", source="test"), "Basic"),
        )
        self.audit = folder / "audit.jsonl"
        catalogue = Catalogue(())
        self.gate = networks.Gate(Trust(trusted or IODeepSettings(), folder))
        self.dicomweb = dicomweb.DicomWeb()
        self.dicomweb.goes_on = True
        self.receive = receive.Receiver(
            mode=mode,
            deidentifier=Deidentifier(Secret(b"s" * 32), options),
            catalogue=catalogue,
            journal=self.journal,
            memory=self.memory,
            failures=self.failures,
            safekeeping=self.keeping,
            gate=self.gate,
            own_results=own.OwnResults(Pseudonyms(Secret(b"s" * 32)).is_result_uid),
            dicomweb=self.dicomweb,
            allowance=allowance,
        )

        def look_at(data: bytes, instance: str) -> Any:
            header = read_header(data)
            ids = ids_of(header)._replace(instance=instance)
            return arrival_of(ids, header, header, catalogue, mode)

        self.escaped: list[str] = []
        self.stored = changes.StoredInstance(
            self.journal,
            self.memory.inflight,
            look_at,
            self.memory.passed if mode is Mode.INCOMING else None,
            lambda instance, _: self.escaped.append(instance),
            lambda instance, _, error: self.failures.unread("REST", instance, error),
        )

    def arrive(self, data: bytes) -> tuple[Any, bytes | None]:
        """Take a file as from C-STORE."""
        verdict: tuple[Any, bytes | None] = self.receive(
            data, self.orthanc.InstanceOrigin.DICOM_PROTOCOL
        )
        return verdict

    def store(self, data: bytes, instance: str = "") -> None:
        """Report a file as stored, under the id that Orthanc gives it."""
        dicom = self.orthanc.DicomInstance()
        dicom.answers = {"GetInstanceData": data, "GetInstanceSize": len(data)}
        self.stored(dicom, instance or instance_of(data))

    def write(self, data: bytes, generation: int) -> tuple[Any, bytes | None]:
        """Announce a result and post it."""
        instance, digest = instance_of(data), hashlib.sha256(data).hexdigest()
        text = f"{instance}|{instance}|{generation}|{digest}".encode()
        self.memory.announcements.take(
            {
                "Instance": instance,
                "Source": instance,
                "Generation": generation,
                "SHA256": digest,
                "Signature": hmac.new(KEY, text, hashlib.sha256).hexdigest(),
            }
        )
        verdict: tuple[Any, bytes | None] = self.receive(data, self.orthanc.InstanceOrigin.REST_API)
        return verdict


def instance_of(data: bytes) -> str:
    header = read_header(data)
    return resource_ids(
        header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
    ).instance


@pytest.fixture
def make(orthanc: ModuleType, tmp_path: Path) -> Callable[[Mode], Node]:
    return lambda mode: Node(orthanc, tmp_path, mode)


@pytest.fixture
def ct() -> bytes:
    return Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()


def test_an_image_is_replaced_by_its_deidentified_self(
    make: Callable[[Mode], Node], ct: bytes
) -> None:
    node = make(Mode.INCOMING)
    action, data = node.arrive(ct)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert data is not None
    assert b"CompressedSamples" in ct
    assert b"CompressedSamples" not in data
    current = node.journal.current(instance_of(data))
    assert current is not None
    assert not current.deleted


@pytest.mark.parametrize("data", [b"", b"no DICOM at all", b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_is_refused_and_told(make: Callable[[Mode], Node], data: bytes) -> None:
    node = make(Mode.INCOMING)
    action, answer = node.arrive(data)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert answer is not None
    assert b"DICM" not in answer
    assert node.journal.refused_count() == 1
    assert node.orthanc.called("LogError")


def test_a_truncated_file_is_refused_whole(make: Callable[[Mode], Node], ct: bytes) -> None:
    _, answer = make(Mode.INCOMING).arrive(ct[: len(ct) // 2])
    assert answer is not None
    assert answer.startswith(b"Preread refused")


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.OFF])
@pytest.mark.parametrize("cut", [False, True])
def test_beside_an_archive_everything_is_kept(
    make: Callable[[Mode], Node], ct: bytes, mode: Mode, cut: bool
) -> None:
    node = make(mode)
    action, data = node.arrive(ct[:700] if cut else ct)
    assert action == node.orthanc.ReceivedInstanceAction.KEEP_AS_IS
    assert data is None
    assert (node.journal.current(instance_of(ct)) is None) == cut


def test_our_own_result_passes_once_and_starts_no_work(
    make: Callable[[Mode], Node], ct: bytes
) -> None:
    node = make(Mode.INCOMING)
    _, data = node.arrive(ct)
    assert data is not None
    instance = instance_of(data)
    node.store(data)
    current = node.journal.current(instance)
    assert current is not None
    action, _ = node.write(data, current.generation)
    assert action == node.orthanc.ReceivedInstanceAction.KEEP_AS_IS
    node.store(data)
    assert node.journal.current(instance) == current
    assert len(node.journal.events_after(0)) == 1


def test_a_result_that_bears_an_identity_is_refused(
    make: Callable[[Mode], Node], ct: bytes
) -> None:
    """A picture or regions of an image from before this node de-identified what came."""
    before = make(Mode.OFF)
    before.arrive(ct)
    before.store(ct)
    current = before.journal.current(instance_of(ct))
    assert current is not None
    kept = before.orthanc.ReceivedInstanceAction.KEEP_AS_IS
    assert before.write(ct, current.generation)[0] == kept
    node = make(Mode.INCOMING)
    action, given = node.write(ct, current.generation)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert given is not None
    assert b"DICM" not in given
    assert "did not de-identify" in node.journal.refusals()[0].reason


def test_a_result_for_older_pixels_is_discarded(make: Callable[[Mode], Node], ct: bytes) -> None:
    node = make(Mode.INCOMING)
    _, data = node.arrive(ct)
    assert data is not None
    current = node.journal.current(instance_of(data))
    assert current is not None
    node.arrive(ct)
    action, _ = node.write(data, current.generation)
    assert action == node.orthanc.ReceivedInstanceAction.DISCARD


@pytest.mark.parametrize("known", ["event", "request", "journal"])
def test_a_result_for_a_deleted_instance_is_discarded(
    make: Callable[[Mode], Node], ct: bytes, known: str
) -> None:
    node = make(Mode.INCOMING)
    _, data = node.arrive(ct)
    assert data is not None
    instance = instance_of(data)
    current = node.journal.current(instance)
    assert current is not None
    if known == "event":
        node.memory.deletions.deleted(instance)
    elif known == "request":
        node.memory.deletions.request(f"/instances/{instance}")
    else:
        node.journal.deleted(instance)
    action, _ = node.write(data, current.generation)
    assert action == node.orthanc.ReceivedInstanceAction.DISCARD


def test_a_stranger_cannot_pass_for_us(make: Callable[[Mode], Node], ct: bytes) -> None:
    """Bytes that nobody announced are de-identified, whatever they carry."""
    node = make(Mode.INCOMING)
    _, data = node.arrive(ct)
    assert data is not None
    action, again = node.receive(data, node.orthanc.InstanceOrigin.REST_API)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert again == data


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, SystemExit, KeyboardInterrupt])
def test_nothing_escapes(
    make: Callable[[Mode], Node],
    ct: bytes,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    node = make(Mode.INCOMING)

    def broken(*_: Any) -> None:
        raise error("PLANTED")

    monkeypatch.setattr(node.journal, "arrive", broken)
    monkeypatch.setattr(node.failures, "add", broken)
    _, answer = node.arrive(ct)
    assert answer is not None
    assert answer.startswith(b"Preread refused")


def test_what_the_hook_could_not_foresee_is_looked_at_when_it_is_stored(
    make: Callable[[Mode], Node], ct: bytes
) -> None:
    node = make(Mode.OFF)
    dicom = node.orthanc.DicomInstance()
    dicom.answers = {"GetInstanceData": ct}
    instance = "-".join(["0a1b2c3d"] * 5)
    node.stored(dicom, instance)
    assert [event.instance for event in node.journal.events_after(0)] == [instance]


@pytest.fixture
def capture(ct: bytes) -> bytes:
    """The CT as a secondary capture, into whose pixels somebody may have written."""
    dataset = dcmread(BytesIO(ct))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.BurnedInAnnotation = "YES"
    output = BytesIO()
    dataset.save_as(output)
    return output.getvalue()


LOOKING = DeidentifyOptions(options=frozenset((Option.CLEAN_PIXEL_DATA,)))


def test_an_image_whose_pixels_must_be_looked_at_is_held(
    orthanc: ModuleType, tmp_path: Path, capture: bytes
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, LOOKING)
    action, data = node.arrive(capture)
    assert (action, data) == (node.orthanc.ReceivedInstanceAction.DISCARD, None)
    (entry,) = node.keeping.held.entries()
    assert (entry.reason, entry.look, entry.origin) == ("TEXT", "TEXT", "C-STORE")
    held = node.keeping.held.read(entry.id)
    assert b"CompressedSamples" in capture
    assert b"CompressedSamples" not in held
    assert not node.journal.events_after(0)
    assert b"CompressedSamples" not in b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )


def with_clean_pixels(held: bytes, look: Look) -> bytes:
    """Seal what is held, as the cleaner does."""
    seal = PixelSeal(Secret(b"s" * 32).derive("pixels"))
    dataset = dcmread(BytesIO(held))
    dataset.DeidentificationMethod = [
        dataset.DeidentificationMethod,
        seal.text(sealed_values(read_header(held)), look),
    ]
    output = BytesIO()
    dataset.save_as(output)
    return output.getvalue()


class Cleaner:
    """Seals, or cannot."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.looks: list[Look] = []

    def clean(self, data: bytes, look: Look) -> SimpleNamespace:
        self.looks.append(look)
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(data=with_clean_pixels(data, look))


class Hooked(Archive):
    """An Orthanc that asks the hook of a node, and then may fail."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.failing = False
        self.given: list[bytes | None] = []

    def store(self, data: bytes) -> StoreOutcome:
        origin = self.node.orthanc.InstanceOrigin.REST_API
        action, given = self.node.receive(data, origin)
        self.given.append(given)
        if action == self.node.orthanc.ReceivedInstanceAction.DISCARD:
            return Superseded()
        assert given is not None
        if given.startswith(b"Preread refused"):
            return Refused("Bad file format")
        if self.failing:
            raise PacsFailedError("POST /instances: Orthanc answers HTTP 500")
        self.node.journal.stored(instance_of(given))
        return Stored(instance_of(given))

    def body_parts(self) -> list[tuple[str, ...]]:
        """Return what is known of what was stored, in its order."""
        events = self.node.journal.events_after(0)
        return [event.arrival.body_parts for event in events if event.arrival is not None]


class Runner:
    """What looks at the pixels for a node."""

    def __init__(self, node: Node) -> None:
        self.pacs, self.cleaner = Hooked(node), Cleaner()
        self.now = 0.0
        self.holding = Holding(
            node.keeping.held,
            node.keeping.quarantined,
            node.keeping.choices,
            self.pacs,
            lambda: self.cleaner,
            Meter(),
            lambda: self.now,
        )

    def work(self) -> None:
        self.now += 1000.0
        self.holding.work()


@pytest.fixture
def thorax(capture: bytes) -> bytes:
    """A capture whose body part only a description tells, that is gone a moment later."""
    dataset = dcmread(BytesIO(capture))
    dataset.StudyDescription = "CT thorax of Mrs CompressedSamples"
    output = BytesIO()
    dataset.save_as(output)
    return output.getvalue()


def test_what_was_chosen_for_a_held_image_holds_when_it_is_stored(
    orthanc: ModuleType, tmp_path: Path, thorax: bytes
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, LOOKING)
    runner = Runner(node)
    node.arrive(thorax)
    node.arrive(thorax)  # its sender sends it twice
    runner.work()
    assert node.keeping.held.count() == 0
    (first, second) = runner.pacs.body_parts()
    assert first == second != ()
    assert not list((tmp_path / "held" / "choices").iterdir())


def test_what_was_chosen_holds_if_orthanc_fails_after_the_hook(
    orthanc: ModuleType, tmp_path: Path, thorax: bytes
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, LOOKING)
    runner = Runner(node)
    node.arrive(thorax)
    runner.pacs.failing = True
    runner.work()
    runner.pacs.failing = False
    runner.work()
    (body_parts,) = runner.pacs.body_parts()
    assert body_parts
    assert len(runner.pacs.given) == 2


@pytest.mark.parametrize(
    ("option", "description"),
    [
        (Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES, {"StudyDescription": "CT Head"}),
        (Option.CLEAN_PIXEL_DATA, {"SeriesDescription": "Dose Report"}),
    ],
)
def test_a_retry_looks_again_at_what_only_its_original_header_told_to(
    orthanc: ModuleType, tmp_path: Path, ct: bytes, option: Option, description: dict[str, str]
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, DeidentifyOptions(options=frozenset((option,))))
    runner = Runner(node)
    dataset = dcmread(BytesIO(ct))
    dataset.BurnedInAnnotation = "NO"
    for keyword, value in description.items():
        setattr(dataset, keyword, value)
    output = BytesIO()
    dataset.save_as(output)
    node.arrive(output.getvalue())
    (held,) = node.keeping.held.entries()
    runner.cleaner.failure = DeidentificationError(None, "it cannot be removed")
    for _ in range(2):
        runner.work()
        (given_up,) = node.keeping.quarantined.entries()
        assert (given_up.look, given_up.arrival) == (held.look, held.arrival)
        node.keeping.retry(given_up)
        assert node.keeping.quarantined.count() == 0
    assert not runner.pacs.given  # nothing whose look is due was handed to Orthanc
    runner.cleaner.failure = None
    runner.work()
    assert len(runner.cleaner.looks) == 3
    assert len(set(runner.cleaner.looks)) == 1
    (stored,) = runner.pacs.given
    assert stored is not None
    assert node.keeping.held.count() == node.keeping.quarantined.count() == 0


def test_an_original_takes_the_whole_way_at_a_retry(
    orthanc: ModuleType, tmp_path: Path, ct: bytes
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING)
    runner = Runner(node)
    node.keeping.quarantined.put(ct, reason="a defect since mended", origin="C-STORE")
    (entry,) = node.keeping.quarantined.entries()
    node.keeping.retry(entry)
    runner.work()
    assert runner.cleaner.looks == []
    (stored,) = runner.pacs.given
    assert stored is not None
    assert b"CompressedSamples" not in stored


class Views:
    """The API of what a node keeps."""

    def __init__(self, node: Node) -> None:
        self.views = importlib.import_module("preread.hooks.views_quarantine")
        self.rest = importlib.import_module("preread.hooks.rest")
        self.context = SimpleNamespace(safekeeping=node.keeping)

    def call(self, name: str, identity: str = "") -> int:
        request = SimpleNamespace(groups=(identity,))
        try:
            return int(getattr(self.views, name)(self.context, request).status)
        except self.rest.RestError as error:
            return int(error.status)


@pytest.mark.parametrize("at", [0, 100, -100])
def test_of_what_waits_only_the_damaged_can_be_deleted(
    orthanc: ModuleType, tmp_path: Path, capture: bytes, at: int
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, LOOKING)
    views = Views(node)
    node.arrive(capture)
    (entry,) = node.keeping.held.entries()
    assert views.call("delete", entry.id) == 409
    path = tmp_path / "held" / f"{entry.id}.held"
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))
    assert views.call("delete", entry.id) == 200
    assert views.call("delete", entry.id) == 404
    assert node.keeping.held.count() == 0


def test_a_disk_that_fails_makes_nothing_damaged(
    orthanc: ModuleType, tmp_path: Path, capture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, LOOKING)
    node.arrive(capture)
    (entry,) = node.keeping.held.entries()

    def failing(_: str) -> bytes:
        raise QuarantineError("cannot be read: Input/output error")

    monkeypatch.setattr(node.keeping.held, "read", failing)
    assert Views(node).call("delete", entry.id) == 500
    assert node.keeping.held.count() == 1


def test_the_api_retries_and_deletes_what_is_quarantined(
    orthanc: ModuleType, tmp_path: Path, ct: bytes
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)
    views = Views(node)
    node.arrive(ct[:3000])
    (entry,) = node.keeping.quarantined.entries()
    assert views.call("retry", entry.id) == 202
    assert views.call("retry", entry.id) == 404
    (held,) = node.keeping.held.entries()
    assert (held.look, held.origin) == ("", "C-STORE")
    Runner(node).work()  # quarantined anew by the hook
    (entry,) = node.keeping.quarantined.entries()
    assert views.call("delete", entry.id) == 200
    assert views.call("delete", entry.id) == 404


def test_what_cannot_be_held_is_refused(
    orthanc: ModuleType, tmp_path: Path, capture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, LOOKING)

    def full(*_: Any, **__: Any) -> str:
        raise QuarantineError("a file cannot be held: the disk is full; make room")

    monkeypatch.setattr(node.keeping.held, "put", full)
    _, answer = node.arrive(capture)
    assert answer is not None
    assert answer.startswith(b"Preread refused")
    assert "disk is full" in node.failures.latest()[0].reason


def test_what_cannot_be_made_safe_is_quarantined_where_that_is_set(
    orthanc: ModuleType, tmp_path: Path, ct: bytes
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)
    action, data = node.arrive(ct[:3000])
    assert (action, data) == (node.orthanc.ReceivedInstanceAction.DISCARD, None)
    (entry,) = node.keeping.quarantined.entries()
    assert node.keeping.quarantined.read(entry.id) == ct[:3000]
    assert "cannot be de-identified" in entry.reason
    assert "cannot be de-identified" in node.failures.latest()[0].reason
    # What is no DICOM file is refused all the same.
    assert node.arrive(b"no DICOM at all")[1] is not None
    assert len(node.keeping.quarantined.entries()) == 1


def test_a_quarantine_that_is_full_refuses(
    orthanc: ModuleType, tmp_path: Path, ct: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, takes_unsafe=True)

    def full(*_: Any, **__: Any) -> str:
        raise QuarantineError("a file cannot be held: the disk is full; make room")

    monkeypatch.setattr(node.keeping.quarantined, "put", full)
    _, answer = node.arrive(ct[:3000])
    assert answer is not None
    assert answer.startswith(b"Preread refused")


def test_each_object_has_its_audit_line(
    orthanc: ModuleType, tmp_path: Path, ct: bytes, capture: bytes
) -> None:
    node = Node(orthanc, tmp_path, Mode.INCOMING, LOOKING)
    dataset = dcmread(BytesIO(ct))
    _, data = node.arrive(ct)
    node.arrive(capture)
    node.arrive(ct[:3000])
    lines = [json.loads(line) for line in node.audit.read_text().splitlines()]
    outcomes = [line["EventIdentification"]["EventOutcomeIndicator"] for line in lines]
    assert [int(outcome) for outcome in outcomes] == [0, 4, 8]
    assert data is not None
    text = node.audit.read_text()
    assert hashlib.sha256(ct).hexdigest() in text
    assert read_header(data).SOPInstanceUID in text
    for value in (dataset.SOPInstanceUID, dataset.PatientID, str(dataset.PatientName)):
        assert value not in text


def test_a_gap_in_the_audit_trail_loses_no_image(
    make: Callable[[Mode], Node], ct: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make(Mode.INCOMING)

    def full(*_: Any, **__: Any) -> None:
        raise AuditError("the audit log cannot be written: the disk is full")

    monkeypatch.setattr(node.keeping.trail, "deidentified", full)
    action, _ = node.arrive(ct)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert any("gap" in str(call) for call in node.orthanc.called("LogError"))


def test_an_unreadable_element_costs_itself_and_is_told(
    make: Callable[[Mode], Node], ct: bytes
) -> None:
    node = make(Mode.INCOMING)
    dataset = dcmread(BytesIO(ct))
    dataset.ReferencedImageSequence = [Dataset()]
    dataset.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.9.76543.9"
    output = BytesIO()
    dataset.save_as(output)
    broken = output.getvalue()
    at = broken.index(b"\x08\x00\x55\x11UI") + 6
    broken = broken[:at] + b"\xff\xff" + broken[at + 2 :]
    action, data = node.arrive(broken)
    assert action == node.orthanc.ReceivedInstanceAction.MODIFY
    assert data is not None
    assert "ReferencedImageSequence" not in dcmread(BytesIO(data))
    assert any("(0008,1140)" in str(call) for call in node.orthanc.called("LogWarning"))
