"""Networks looking at series: real ledger, networks and objects, an archive in memory."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from preread.archive.announcing import Announcer
from preread.archive.depositing import Depositor
from preread.archive.pacs import PacsFailedError, PacsUnreachableError
from preread.deidentify import Pseudonyms
from preread.imaging import Image, open_image
from preread.iodeep.opening import FOLDER, WeightsFolder
from preread.iodeep.prediction import Predictor
from preread.iodeep.validation import validate
from preread.iodeep.writing import encode
from preread.ledger.job import Level
from preread.ledger.proposal import ProposalStatus
from preread.ledger.series_task import SeriesTask
from preread.ledger.task import TaskState
from preread.results.structure_set import regions_of
from preread.runner import outliner as module
from preread.runner.network_checking import describe
from preread.runner.network_objects import NetworkObjects
from preread.runner.outcomes import NotYet
from preread.runner.outliner import Outliner
from preread.runner.outlining import Outlining
from preread.runner.proposer import Proposer
from tests.unit.iodeep.toy_networks import UID, pointwise
from tests.unit.runner.archive import KEY
from tests.unit.runner.bench import Bench, Doubling, eventually
from tests.unit.runner.test_explaining import SECRET
from tests.unit.runner.test_proposing import slice_

LUNG = ("39607008",)
OWNER = "runner"
OPEN = partial(open_image, max_bytes=2**24)


def bright(number: int, *corners: tuple[int, int], **changes: Any) -> bytes:
    """Make a slice with bright squares of 4 by 4 pixels at corners (row, column)."""
    pixels = np.zeros((16, 16), dtype="<i2")
    for row, column in corners:
        pixels[row : row + 4, column : column + 4] = 100
    return slice_(number, PixelData=pixels.tobytes(), InstanceNumber=number, **changes)


class Room:
    """A queue of series, one network that outlines what is bright, and who looks."""

    def __init__(
        self,
        bench: Bench,
        folder: Path,
        *,
        copies: bool = False,
        opened: Callable[[bytes], Image] = OPEN,
        **options: Any,
    ) -> None:
        self.bench, self.folder = bench, folder
        self.objects = NetworkObjects(bench.archive, folder)
        proposer = Proposer(
            bench.ledger.proposals,
            bench.archive,
            Depositor(bench.archive, Announcer(KEY)),
            Pseudonyms(SECRET),
            copies=Doubling() if copies else None,
        )
        self.outliner = Outliner(
            bench.ledger,
            bench.archive,
            self.objects,
            Predictor(WeightsFolder(folder)),
            proposer,
            opened,
            waits_for_copies=copies,
            **options,
        )
        self.outlining = Outlining(
            bench.ledger.series_work,
            self.outliner,
            OWNER,
            bench.meter,
            lease_seconds=60,
            quiet_seconds=0,
        )

    def install(self, name: str = "toy.dcm", **facts: Any) -> None:
        """Put a network into the models folder, and have it found to be valid."""
        (self.folder / FOLDER).mkdir(exist_ok=True)
        network = pointwise(16, 16, **facts)
        (self.folder / FOLDER / name).write_bytes(encode(network))
        self.settle()

    def settle(self) -> None:
        """Have the register know what lies in the models folder now."""
        register = self.bench.ledger.networks
        files = sorted((self.folder / FOLDER).glob("*.dcm"))
        register.keep_files(
            {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        )
        checks = self.bench.ledger.network_checks
        while (lent := checks.reserve("runner", 60)) is not None:
            opened = self.objects.read(lent)
            checks.accept(lent, describe(opened, validate(opened, WeightsFolder(self.folder))))

    def arrive(self, data: bytes, **changes: Any) -> str:
        return self.bench.arrive(data, (), **{"body_parts": LUNG, "work": False} | changes)

    def task(self, scope: str = "") -> SeriesTask:
        [series] = {
            record.series
            for instance in self.bench.archive.generations
            for record in self.bench.ledger.instances(Level.INSTANCE, instance)
        }
        [task] = [
            each
            for each in self.bench.ledger.series_work.of_series([series])
            if each.scope == scope
        ]
        return task


@pytest.fixture
def room(bench: Bench, tmp_path: Path) -> Room:
    return Room(bench, tmp_path)


def test_a_series_gets_one_proposal_with_regions_where_they_are(room: Room) -> None:
    room.install()
    # They arrive in another order than they lie in the patient.
    instances = {
        number: room.arrive(bright(number, *squares))
        for number, squares in ((3, [(2, 2), (10, 9)]), (1, []), (2, [(5, 7)]))
    }
    assert room.outlining.step()
    assert not room.outlining.step()
    task = room.task()
    assert (task.state, task.ran, task.regions) == (TaskState.DONE, UID, 3)
    proposal = room.bench.ledger.proposals.find(task.proposal)
    assert proposal is not None
    assert [image.instance for image in proposal.images] == [instances[n] for n in (1, 2, 3)]
    assert [(region.image, region.area) for region in proposal.regions] == [
        (1, 16.0), (2, 16.0), (2, 16.0),
    ]  # fmt: skip
    assert proposal.network.name == "toy"
    stored = pydicom.dcmread(BytesIO(room.bench.archive.files[proposal.place.instance]))
    files = room.bench.archive.files
    headers = [pydicom.dcmread(BytesIO(files[instances[number]])) for number in (1, 2, 3)]
    names = [str(header.SOPInstanceUID) for header in headers]
    centres = [
        (names.index(drawn.SOPInstanceUID), drawn.polygon.mean(axis=0).round(1).tolist())
        for drawn in regions_of(stored, headers)
    ]
    assert sorted(centres) == [(1, [8.5, 6.5]), (2, [3.5, 3.5]), (2, [10.5, 11.5])]


def test_a_late_slice_supersedes_and_a_deletion_withdraws(room: Room) -> None:
    room.install()
    room.arrive(bright(1, (2, 2)))
    room.outlining.step()
    first = room.task().proposal
    late = room.arrive(bright(2, (5, 5)))
    room.outlining.step()
    second = room.task()
    assert (second.regions, second.proposal != first) == (2, True)
    proposals = room.bench.ledger.proposals
    old, new = proposals.find(first), proposals.find(second.proposal)
    assert old is not None
    assert new is not None
    assert (old.status, new.status) == (ProposalStatus.SUPERSEDED, ProposalStatus.PROPOSED)
    assert [one.place.SOPInstanceUID for one in proposals.withdrawn()] == [first]
    room.bench.delete(late)
    room.outlining.step()
    third = room.task()
    assert third.regions == 1
    assert third.proposal not in {"", second.proposal}


def test_a_proposal_that_comes_back_is_another_than_the_one_that_is_withdrawn(
    room: Room,
) -> None:
    """A list of what is to be deleted, read before, must not name what is proposed now."""
    room.install()
    room.arrive(bright(1, (2, 2)))
    room.outlining.step()
    first = room.task().proposal
    late = room.arrive(bright(2, (5, 5)))
    room.outlining.step()
    proposals = room.bench.ledger.proposals
    [withdrawn] = proposals.withdrawn()
    assert withdrawn.place.SOPInstanceUID == first
    room.bench.delete(late)
    room.outlining.step()
    again = room.task().proposal
    assert again != first
    back = proposals.find(again)
    assert back is not None
    assert back.place.instance in room.bench.archive.files
    assert back.place.instance != withdrawn.place.instance
    # The same once more is the same proposal.
    room.bench.ledger.series_work.ask(room.task().series)
    room.outlining.step()
    assert room.task().proposal == again


def test_more_than_anybody_could_review_says_what_to_change(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_REGIONS", 1)
    room.install()
    room.arrive(bright(1, (2, 2), (10, 10)))
    room.outlining.step()
    assert room.task().state is TaskState.FAILED
    assert "Preread.IODeep.Regions" in room.task().reason


def test_where_nothing_is_found_any_more_nothing_is_proposed(room: Room) -> None:
    room.install()
    data = bright(1, (2, 2))
    room.arrive(data)
    room.outlining.step()
    first = room.task().proposal
    room.arrive(bright(1))
    room.outlining.step()
    task = room.task()
    assert (task.state, task.regions, task.proposal) == (TaskState.DONE, 0, "")
    old = room.bench.ledger.proposals.find(first)
    assert old is not None
    assert old.status is ProposalStatus.SUPERSEDED


def test_one_image_on_request_is_a_proposal_of_its_own(room: Room) -> None:
    room.install()
    instances = [room.arrive(bright(number, (2, 2))) for number in (1, 2)]
    room.outlining.step()
    whole = room.task()
    room.bench.ledger.series_work.ask(whole.series, instances[1])
    room.outlining.step()
    task = room.task(instances[1])
    assert (task.state, task.regions) == (TaskState.DONE, 1)
    found = room.bench.ledger.proposals.find(task.proposal)
    earlier = room.bench.ledger.proposals.find(whole.proposal)
    assert found is not None
    assert earlier is not None
    assert [image.instance for image in found.images] == [instances[1]]
    assert earlier.status is ProposalStatus.PROPOSED


def test_networks_that_come_later_match_by_the_parts_kept_at_arrival(room: Room) -> None:
    room.arrive(bright(1, (2, 2)))
    room.outlining.step()
    assert room.task().state is TaskState.UNREAD
    assert "no network (IODeep) is here" in room.task().reason
    # The image itself no longer says what it shows.
    room.install()
    room.bench.ledger.series_work.ask(room.task().series)
    room.outlining.step()
    assert (room.task().state, room.task().regions) == (TaskState.DONE, 1)


@pytest.mark.parametrize(
    ("facts", "changes", "reason"),
    [
        ({"Modality": "MR"}, {}, r"no network \(IODeep\) is for CT"),
        ({"BodyPartExamined": "HEAD"}, {}, r"no network is for this image \(BodyPartExamined\)"),
        ({}, {"body_parts": ()}, r"no network is for this image \(BodyPartExamined\)"),
    ],
)
def test_a_series_that_no_network_is_for_is_left(
    room: Room, facts: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    room.install(**facts)
    room.arrive(bright(1, (2, 2)), **changes)
    room.outlining.step()
    task = room.task()
    assert task.state is TaskState.UNREAD
    assert re.search(reason, task.reason), task.reason
    # Whoever names a network has it look all the same.
    room.bench.ledger.series_work.ask(task.series, network=UID)
    room.outlining.step()
    [named] = [
        each for each in room.bench.ledger.series_work.of_series([task.series]) if each.network
    ]
    assert (named.state, named.ran, named.regions) == (TaskState.DONE, UID, 1)


@pytest.mark.parametrize(
    "options", [{"enabled": False}, {"excluded": ("CT",)}, {"on_request": (UID,)}]
)
def test_switched_off_it_looks_only_on_request(
    bench: Bench, tmp_path: Path, options: dict[str, Any]
) -> None:
    room = Room(bench, tmp_path, **options)
    room.install()
    room.arrive(bright(1, (2, 2)))
    room.outlining.step()
    assert room.task().state is TaskState.UNREAD
    assert "Preread.IODeep.Proposals" in room.task().reason
    bench.ledger.series_work.ask(room.task().series)
    room.outlining.step()
    assert room.task().regions == 1


def test_in_mode_copy_it_waits_for_the_copies(bench: Bench, tmp_path: Path) -> None:
    room = Room(bench, tmp_path, copies=True)
    room.install()
    data = bright(1, (2, 2))
    room.arrive(data, work=True)
    assert room.outlining.step()
    assert room.task().state is TaskState.PENDING
    [job] = bench.ledger.reserve("another", 10, 60)
    bench.archive.arrive(Doubling().deidentify(data).data)
    bench.ledger.leave_unread(job, "copied")
    bench.ledger.series_work.ask(room.task().series)
    room.outlining.step()
    task = room.task()
    assert (task.state, task.regions) == (TaskState.DONE, 1), task
    proposal = bench.ledger.proposals.find(task.proposal)
    assert proposal is not None
    assert proposal.place.StudyInstanceUID == "2.25.93"


def test_what_arrives_meanwhile_is_looked_at_too(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_EVERY", 0)
    room.install()
    room.arrive(bright(1, (2, 2)))
    room.arrive(bright(2, (2, 2)))
    fetch = room.bench.archive.file
    arrived: list[str] = []

    def arriving(instance: str) -> bytes | None:
        if len(arrived) < 1:
            arrived.append(room.arrive(bright(3, (2, 2))))
        return fetch(instance)

    monkeypatch.setattr(room.bench.archive, "file", arriving)
    room.outlining.step()
    assert room.task().state is TaskState.PENDING
    assert room.task().proposal == ""
    room.bench.ledger.series_work.ask(room.task().series)
    room.outlining.step()
    assert room.task().regions == 3


def test_failures_are_told_and_what_may_pass_is_tried_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.install()
    room.arrive(bright(1, (2, 2)))

    def raising(error: Exception) -> None:
        def refuse(_instance: str) -> bytes:
            raise error

        monkeypatch.setattr(room.bench.archive, "file", refuse)

    raising(PacsUnreachableError("Orthanc does not answer"))
    with pytest.raises(PacsUnreachableError):
        room.outlining.step()
    assert (room.task().state, room.task().attempts) == (TaskState.PENDING, 0)
    room.bench.ledger.series_work.ask(room.task().series)
    raising(PacsFailedError("Orthanc failed"))
    room.outlining.step()
    task = room.task()
    assert (task.state, task.attempts, task.reason) == (TaskState.PENDING, 1, "Orthanc failed")
    raising(RuntimeError("Doe^John"))
    room.bench.ledger.series_work.ask(task.series)
    room.outlining.step()
    assert "Doe" not in room.task().reason
    assert "unexpected RuntimeError" in room.task().reason


def test_pixels_that_cannot_be_read_fail_the_series(room: Room) -> None:
    room.install()
    room.arrive(bright(1, (2, 2), Rows=17))
    room.outlining.step()
    assert room.task().state is TaskState.FAILED
    assert not room.outlining.step()


def test_it_waits_until_it_is_known_which_networks_there_are(bench: Bench, tmp_path: Path) -> None:
    room = Room(bench, tmp_path)
    known: list[bool] = []
    outlining = Outlining(
        bench.ledger.series_work,
        room.outliner,
        OWNER,
        bench.meter,
        lease_seconds=60,
        quiet_seconds=0,
        ready=lambda: bool(known),
    )
    room.arrive(bright(1, (2, 2)))
    assert not outlining.step()
    assert room.task().state is TaskState.PENDING
    room.install()
    known.append(True)
    assert outlining.step()
    assert room.task().regions == 1


def test_a_network_that_comes_with_its_series_is_waited_for(bench: Bench, tmp_path: Path) -> None:
    """Both may come to the ledger between a look at the networks and one at the series."""
    room = Room(bench, tmp_path)
    told = iter((True, False))
    outlining = Outlining(
        bench.ledger.series_work,
        room.outliner,
        OWNER,
        bench.meter,
        lease_seconds=60,
        quiet_seconds=0,
        ready=lambda: next(told, True),
    )
    room.arrive(bright(1, (2, 2)))
    assert not outlining.step()
    assert room.task().state is TaskState.PENDING
    room.install()
    eventually(outlining.step)
    assert room.task().regions == 1


def test_its_thread_works_and_ends(room: Room) -> None:
    room.install()
    room.arrive(bright(1, (2, 2)))
    room.outlining.start()
    eventually(lambda: room.outlining.settled)
    assert room.outlining.stop(10)
    assert room.task().regions == 1


def multiframe(frames: int, **changes: Any) -> bytes:
    """Make an image of several frames, each with a bright square of 16 pixels."""
    pixels = np.zeros((frames, 16, 16), dtype="<i2")
    pixels[:, 4:8, 4:8] = 100
    return slice_(1, PixelData=pixels.tobytes(), NumberOfFrames=frames, **changes)


def test_one_long_image_is_left_once_it_is_overtaken(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_EVERY", 0)
    room.install()
    room.arrive(multiframe(20))
    task = room.bench.ledger.series_work.reserve(OWNER, 60, 0)
    assert task is not None
    asked: list[bool] = []

    def goes_on() -> bool:
        asked.append(len(asked) < 3)
        return asked[-1]

    assert isinstance(room.outliner.look(task, goes_on), NotYet)
    assert asked == [True, True, True, False]


@pytest.mark.parametrize(("spacing", "regions"), [(0.25, 0), (2.0, 2)])
def test_sizes_of_an_enhanced_image_stand_in_its_functional_groups(
    room: Room, spacing: float, regions: int
) -> None:
    """As the service answers; 16 pixels are more than 10, but 1 mm2 is less than 4."""
    measures, shared = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [spacing, spacing]
    shared.PixelMeasuresSequence = [measures]
    room.install()
    room.arrive(multiframe(2, SharedFunctionalGroupsSequence=[shared], PixelSpacing=None))
    room.outlining.step()
    assert (room.task().state, room.task().regions) == (TaskState.DONE, regions)


def test_the_detectors_pixels_are_not_the_patients(room: Room) -> None:
    room.install()
    room.arrive(
        bright(1, (2, 2), PixelSpacing=None, ImagerPixelSpacing=[0.1, 0.1]),
    )
    room.outlining.step()
    assert room.task().regions == 1


def test_the_case_of_a_modality_does_not_matter(room: Room) -> None:
    room.install()
    with warnings.catch_warnings(action="ignore"):
        room.arrive(bright(1, (2, 2), Modality="ct"), Modality="ct")
    room.outlining.step()
    assert (room.task().state, room.task().regions) == (TaskState.DONE, 1), room.task().reason
