"""One odd object in a series costs it nothing but itself, and is named."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from preread.imaging import Frame, UnreadableImage
from preread.ledger.proposal import Proposal
from preread.ledger.task import TaskState
from preread.results.structure_set import regions_of
from tests.unit.iodeep.toy_networks import UID
from tests.unit.runner.bench import Bench
from tests.unit.runner.test_outlining import OPEN, Room, bright, multiframe
from tests.unit.runner.test_proposing import slice_


def colour_capture(number: int) -> bytes:
    """Make a picture of a screen, as some scanners put it among the slices."""
    dataset = pydicom.dcmread(BytesIO(bright(number)))
    for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"):
        del dataset[keyword]
    del dataset.PixelSpacing
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.full((16, 16, 3), 255, dtype=np.uint8).tobytes()
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def truncated(number: int) -> bytes:
    """Make a slice of fewer pixels than it says: stored before such were refused."""
    return slice_(number, PixelData=bytes(64), InstanceNumber=number)


def without(number: int, keyword: str) -> bytes:
    dataset = pydicom.dcmread(BytesIO(bright(number, (2, 2))))
    del dataset[keyword]
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def localizer(number: int) -> bytes:
    kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return bright(number, (2, 2), ImageType=kind, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])


ODD = {
    "localizer": (localizer(2), "localizer"),
    "no frame of reference": (without(2, "FrameOfReferenceUID"), "FrameOfReferenceUID"),
    "no position": (without(2, "ImagePositionPatient"), "ImagePositionPatient"),
    "truncated": (truncated(2), "PixelData"),
    "colour capture": (colour_capture(2), "FrameOfReferenceUID"),
}


@pytest.fixture
def room(bench: Bench, tmp_path: Path) -> Room:
    made = Room(bench, tmp_path)
    made.install()
    return made


def proposal_of(room: Room) -> Proposal:
    found = room.bench.ledger.proposals.find(room.task().proposal)
    assert found is not None, room.task()
    return found


@pytest.mark.parametrize("first", [True, False], ids=["first", "between"])
@pytest.mark.parametrize("kind", ODD)
def test_the_others_get_their_regions_and_the_odd_one_is_named(
    room: Room, kind: str, first: bool
) -> None:
    data, words = ODD[kind]
    odd = [room.arrive(data)] if first else []
    usual = [room.arrive(bright(1, (2, 2)))]
    odd = odd or [room.arrive(data)]
    usual.append(room.arrive(bright(3, (5, 5))))
    assert room.outlining.step()
    task = room.task()
    assert (task.state, task.regions) == (TaskState.DONE, 2), task.reason
    assert [one.instance for one in task.skipped] == odd
    assert words.lower() in task.skipped[0].reason.lower()
    assert task.to_json()["Skipped"] == [{"ID": odd[0], "Reason": task.skipped[0].reason}]
    proposal = proposal_of(room)
    assert proposal.skipped == task.skipped
    assert proposal.to_json()["Skipped"] == task.to_json()["Skipped"]
    assert [image.instance for image in proposal.images] == usual


def test_what_is_named_is_forgotten_once_it_is_right(room: Room) -> None:
    room.arrive(bright(1, (2, 2)))
    room.arrive(truncated(2))
    room.outlining.step()
    assert len(room.task().skipped) == 1
    room.arrive(bright(2, (2, 2)))
    room.outlining.step()
    assert (room.task().regions, room.task().skipped) == (2, ())


class BreakingOff:
    """An image whose third frame cannot be decoded."""

    def __init__(self, data: bytes) -> None:
        self._image = OPEN(data)
        self.number_of_frames = self._image.number_of_frames

    @property
    def frames(self) -> Iterator[Frame]:
        for number, frame in enumerate(self._image.frames):
            if number == 2:
                raise UnreadableImage("frame 2 cannot be decoded")
            yield frame


def test_a_frame_that_cannot_be_read_costs_the_whole_image(bench: Bench, tmp_path: Path) -> None:
    """Who reads of an image that it was looked at must not have to ask how far."""
    room = Room(bench, tmp_path, opened=BreakingOff)  # type: ignore[arg-type]
    room.install()
    odd = room.arrive(multiframe(3, SOPInstanceUID="2.25.777", FrameOfReferenceUID=None))
    room.arrive(multiframe(1, SOPInstanceUID="2.25.778", FrameOfReferenceUID=None))
    room.outlining.step()
    assert room.task().regions == 1
    assert [one.instance for one in room.task().skipped] == [odd]


def test_a_frame_of_reference_for_each_slice(room: Room) -> None:
    """As LIDC-IDRI-0001 has it: one item for each, and each region names its own."""
    files = [bright(number, (2, 2), FrameOfReferenceUID=f"2.25.5{number}") for number in (1, 2, 3)]
    instances = [room.arrive(data) for data in files]
    room.outlining.step()
    assert (room.task().regions, room.task().skipped) == (3, ()), room.task().reason
    stored = room.bench.archive.files[proposal_of(room).place.instance]
    dataset = pydicom.dcmread(BytesIO(stored))
    items = dataset.ReferencedFrameOfReferenceSequence
    assert [one.FrameOfReferenceUID for one in items] == ["2.25.51", "2.25.52", "2.25.53"]
    headers = [pydicom.dcmread(BytesIO(room.bench.archive.files[name])) for name in instances]
    for item, header in zip(items, headers, strict=True):
        (study,) = item.RTReferencedStudySequence
        (series,) = study.RTReferencedSeriesSequence
        listed = [one.ReferencedSOPInstanceUID for one in series.ContourImageSequence]
        assert listed == [header.SOPInstanceUID]
    frames = [one.ReferencedFrameOfReferenceUID for one in dataset.StructureSetROISequence]
    assert frames == ["2.25.51", "2.25.52", "2.25.53"]
    assert len(regions_of(dataset, headers)) == 3


def test_a_series_of_localizers_is_left_also_if_somebody_asks(room: Room) -> None:
    instance = room.arrive(localizer(1))
    room.outlining.step()
    assert room.task().state is TaskState.UNREAD
    assert "localizer" in room.task().reason
    room.bench.ledger.series_work.ask(room.task().series, instance, UID)
    room.outlining.step()
    assert room.task(instance).state is TaskState.UNREAD


def test_where_no_image_has_a_place_all_of_them_are_looked_at(room: Room) -> None:
    for number in (1, 2):
        room.arrive(without(number, "ImagePositionPatient"))
    room.outlining.step()
    assert (room.task().regions, room.task().skipped) == (2, ()), room.task().reason
    stored = room.bench.archive.files[proposal_of(room).place.instance]
    assert pydicom.dcmread(BytesIO(stored)).Modality == "SR"


def test_odd_headers_are_found_before_a_network_runs(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.arrive(without(1, "FrameOfReferenceUID"))
    room.arrive(bright(2))
    ran: list[int] = []
    look = room.outliner._predictor.regions

    def counted(network: Any, frames: Any, **more: Any) -> Any:
        seen = list(frames)
        ran.append(len(seen))
        return look(network, seen, **more)

    monkeypatch.setattr(room.outliner._predictor, "regions", counted)
    room.outlining.step()
    assert ran == [1]


def test_only_what_is_sound_is_fetched_once(room: Room) -> None:
    for number in (1, 2, 3):
        room.arrive(bright(number, (2, 2)))
    room.bench.archive.calls.clear()
    room.outlining.step()
    fetched = [about for name, about in room.bench.archive.calls if name == "file"]
    # The first one also tells which network is for the series.
    assert len(fetched) <= 4
