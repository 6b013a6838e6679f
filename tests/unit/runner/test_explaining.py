"""From a wish to a stored picture, with stand-ins for Orthanc and the networks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from preread.archive.announcing import Announcer
from preread.archive.pacs import PacsFailedError, PacsUnreachableError
from preread.deidentify import Pseudonyms, Secret
from preread.errors import SettingsError
from preread.findings.prediction import Prediction, Unlikeness
from preread.imaging import Preprocessing, open_image
from preread.ledger.explanation import Explanation, Wanted
from preread.ledger.job import JobState
from preread.ledger.task import TaskState
from preread.models import attention
from preread.models.card import NETWORK, BackboneFacts, DatasetFacts, InputKind, ModelCard
from preread.models.catalogue import Catalogue
from preread.models.engine_names import EngineName
from preread.models.model import Model
from preread.results import attention_picture
from preread.runner import explaining
from preread.runner.explaining import Explainer, Explaining
from preread.runner.kinds.explanations import explainer
from preread.runner.thresholds import Thresholds
from preread.sections import ExplainSettings
from tests.unit.runner.archive import KEY
from tests.unit.runner.bench import Bench, Doubling, ct, eventually

CLASSES = ("Benign", "Malignant", "Normal")
DONE, FAILED = TaskState.DONE, TaskState.FAILED
PENDING, SUPERSEDED = TaskState.PENDING, TaskState.SUPERSEDED
SECRET = Secret(b"s" * 32)


def test_networks_take_as_many_threads_as_the_settings_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(attention, "Attention", lambda *options: told.extend(options))
    monkeypatch.setattr(explaining, "Explainer", lambda *_given, **_options: None)
    models = SimpleNamespace(engine=EngineName.ONNXRUNTIME)
    settings = SimpleNamespace(runner=SimpleNamespace(threads=3), models=models)
    parts: Any = Mock(site=SimpleNamespace(settings=settings))
    explainer(parts)
    assert told == ["onnxruntime", 3]


def card(name: str, sha256: str = "a" * 64, classes: tuple[str, ...] = CLASSES) -> ModelCard:
    generated: dict[str, Any] = {"Name": "Generated"}
    dataset = DatasetFacts.model_construct(**generated)
    facts: dict[str, Any] = {
        "Name": name,
        "Version": "1.0.0",
        "Dataset": dataset,
        "Input": InputKind.HOUNSFIELD,
        "Preprocessing": Preprocessing(size=(32, 32)),
        "Classes": classes,
        "WeightsSHA256": sha256,
        "Backbone": BackboneFacts(File=NETWORK, SHA256=sha256, Precision="float32"),
    }
    return ModelCard.model_construct(**facts)


def catalogue_of(*cards: ModelCard) -> Catalogue:
    return Catalogue(Model(f"{one.Name}-folder", one, Path()) for one in cards)


def said(one: ModelCard, *frames: Sequence[float], unlike: float | None = None) -> Prediction:
    rows = frames or ((0.2, 0.7, 0.1),)
    return Prediction(
        model=one.Name,
        version=one.Version,
        dataset=one.Dataset.Name,
        weights_sha256=one.WeightsSHA256,
        backbone_sha256=one.Backbone.SHA256,
        classes=one.Classes,
        probabilities=tuple(np.mean(rows, axis=0).tolist()),
        frames=tuple(tuple(row) for row in rows),
        date=dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
        engine="stand-in",
        unlikeness=None if unlike is None else Unlikeness(unlike, 1.0),
    )


NET = card("net")


class Looking:
    """Stands in for the networks: looks at the upper left corner, and remembers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, float]] = []
        self.on_map: Callable[[], None] = lambda: None

    def map(self, model: Model, image: NDArray[np.float32], target: int) -> NDArray[np.float32]:
        self.asked.append((model.name, target, round(float(image.mean()), 3)))
        self.on_map()
        coarse = np.zeros((4, 4), dtype=np.float32)
        coarse[0, 0] = 1
        return coarse


class Room:
    """The thread's parts on a table; `step` makes one picture."""

    def __init__(self, bench: Bench, *, copies: bool = False) -> None:
        self.bench = bench
        self.looking = Looking()
        self.queue = bench.ledger.explanations
        self.catalogue = catalogue_of(NET)
        self.copies = copies
        self.explaining = self.made()

    def made(self, owner: str = "runner") -> Explaining:
        explainer = Explainer(
            self.bench.ledger,
            self.bench.archive,
            Announcer(KEY),
            self.catalogue,
            self.looking,  # type: ignore[arg-type]  # a stand-in
            partial(open_image, max_bytes=2**24),
            Pseudonyms(SECRET),
            copies=Doubling() if self.copies else None,
        )
        return Explaining(self.queue, explainer, owner, self.bench.meter)

    def read(self, data: bytes, *predictions: Prediction) -> str:
        """Have an image read, and return Orthanc's id of it."""
        instance = self.bench.arrive(data)
        (job,) = self.bench.ledger.reserve("reader", 1, 60)
        assert self.bench.ledger.acknowledge(job, predictions or [said(NET)])
        return instance

    def ask(self, instance: str, label: str = "Malignant", frame: int = 0) -> Explanation:
        (asked,) = self.queue.ask(instance, [Wanted("net-folder", label, frame, 0.7)])
        return asked

    def only(self, instance: str) -> Explanation:
        (found,) = self.queue.of(instance)
        return found

    def pictures(self) -> dict[str, Dataset]:
        """Return what is stored of ours, by Orthanc's id."""
        read = {
            one: pydicom.dcmread(BytesIO(data)) for one, data in self.bench.archive.files.items()
        }
        return {one: data for one, data in read.items() if "ATTENTION_MAP" in data.ImageType}


@pytest.fixture
def room(bench: Bench) -> Room:
    return Room(bench)


def test_a_picture_lies_in_the_study_of_its_image(room: Room) -> None:
    instance = room.read(ct(1, level=30))
    room.ask(instance)
    assert room.explaining.step()
    found = room.only(instance)
    assert found.state is DONE
    assert found.wanted.probability == pytest.approx(0.7)
    ((name, picture),) = room.pictures().items()
    assert found.map is not None
    assert (found.map.instance, found.map.SOPInstanceUID) == (name, picture.SOPInstanceUID)
    assert (picture.StudyInstanceUID, picture.PatientID) == ("2.25.3", "pseudonym")
    assert found.map.SeriesInstanceUID == picture.SeriesInstanceUID != "2.25.2"
    assert picture.SeriesDescription == "Preread attention: net Malignant"
    colour = picture.pixel_array[:512, :512].astype(int)
    assert np.ptp(colour[20, 20]) > 30  # where it looked
    assert np.ptp(colour[400, 400]) == 0
    assert room.looking.asked[0][:2] == ("net-folder", 1)
    assert not room.explaining.step()


def test_asking_again_takes_the_place_of_the_first(room: Room) -> None:
    instance = room.read(ct(1))
    for _ in range(2):
        room.ask(instance)
        assert room.explaining.step()
    assert len(room.pictures()) == 1
    room.ask(instance, "Benign")
    assert room.explaining.step()
    assert len(room.pictures()) == 2


def test_the_frame_that_is_meant_is_explained(room: Room) -> None:
    rows = [(0.2, 0.7, 0.1), (0.1, 0.9, 0.0), (0.5, 0.4, 0.1)]
    instance = room.read(ct(1, frames=3, level=20), said(NET, *rows))
    for frame in (0, 2):
        room.ask(instance, frame=frame)
        assert room.explaining.step()
    assert room.looking.asked[0][2] < room.looking.asked[1][2]
    by_frame = {
        one.SourceImageSequence[0].ReferencedFrameNumber for one in room.pictures().values()
    }
    assert by_frame == {1, 3}
    assert [one.wanted.probability for one in room.queue.of(instance)] == [0.7, 0.4]


def test_the_copy_is_drawn_over_and_the_original_left_alone(bench: Bench) -> None:
    room = Room(bench, copies=True)
    original = ct(1, level=90)
    instance = room.read(original)
    copy = pydicom.dcmread(BytesIO(Doubling().deidentify(original).data))
    copy.PixelData = np.full((16, 16), 10, dtype="<i2").tobytes()  # something was blanked
    file = BytesIO()
    copy.save_as(file, enforce_file_format=True)
    bench.archive.arrive(file.getvalue())
    room.ask(instance)
    assert room.explaining.step()
    (picture,) = room.pictures().values()
    assert picture.StudyInstanceUID == "2.25.93"
    assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == copy.SOPInstanceUID
    assert picture.pixel_array[400, 400].max() < 40  # the copy's pixels
    assert room.looking.asked[0][2] > 0.5  # what was read is what is explained
    assert bench.archive.files[instance] == original


def test_without_its_copy_nothing_is_drawn(bench: Bench) -> None:
    room = Room(bench, copies=True)
    instance = room.read(ct(1))
    room.ask(instance)
    assert room.explaining.step()
    assert "copy" in room.only(instance).reason
    assert room.only(instance).state is FAILED
    assert room.pictures() == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda room: catalogue_of(card("other")), "not there any more"),
        (lambda room: catalogue_of(card("net", "b" * 64)), "analyze it again"),
    ],
)
def test_models_that_changed(room: Room, change: Any, words: str) -> None:
    instance = room.read(ct(1))
    room.ask(instance)
    room.catalogue = change(room)
    room.explaining = room.made()
    assert room.explaining.step()
    found = room.only(instance)
    assert (found.state, words in found.reason) == (FAILED, True)
    assert room.looking.asked == []


def test_an_image_that_cannot_be_decoded_fails_for_its_reason(room: Room) -> None:
    instance = room.read(ct(1, missing=100))
    room.ask(instance)
    assert room.explaining.step()
    assert room.only(instance).state is FAILED
    assert room.only(instance).reason


def test_a_class_or_frame_that_is_not_there(room: Room) -> None:
    instance = room.read(ct(1))
    for label, frame in (("Cat", 0), ("Benign", 7)):
        room.ask(instance, label, frame)
        assert room.explaining.step()
    assert [one.state for one in room.queue.of(instance)] == [FAILED, FAILED]


def test_what_nobody_foresaw_is_tried_again_and_quotes_nothing(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)

    def broken() -> None:
        raise ValueError("Doe^Jane")

    room.looking.on_map = broken
    assert room.explaining.step()
    found = room.only(instance)
    assert (found.state, "Doe" in found.reason) == (PENDING, False)
    assert "ValueError" in found.reason


def test_orthanc_out_of_reach_blames_nobody(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)

    def on_call(_name: str, _about: str) -> None:
        raise PacsUnreachableError("down")

    room.bench.archive.on_call = on_call
    assert room.explaining.step()
    found = room.only(instance)
    assert (found.state, found.attempts) == (PENDING, 0)


def test_orthanc_that_fails_is_asked_again(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)

    def on_call(name: str, _about: str) -> None:
        if name == "store":
            raise PacsFailedError("HTTP 500")

    room.bench.archive.on_call = on_call
    assert room.explaining.step()
    found = room.only(instance)
    assert (found.state, found.attempts) == (PENDING, 1)


def test_pixels_that_are_overtaken_are_not_shown(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)
    # The newer arrival has not reached the ledger yet; the hook knows of it.
    room.looking.on_map = lambda: room.bench.archive.arrive(ct(1, level=50)) and None
    assert room.explaining.step()
    assert room.only(instance).state is SUPERSEDED
    assert room.pictures() == {}


def test_an_image_that_is_deleted_meanwhile(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)
    room.bench.delete(instance)
    assert room.explaining.step()
    assert room.queue.counts()[SUPERSEDED] == 1
    assert room.pictures() == {}


def test_pictures_go_when_their_image_goes(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)
    assert room.explaining.step()
    room.bench.delete(instance)
    room.explaining.withdraw()
    assert room.bench.archive.files == {}
    assert room.queue.withdrawn() == []


def test_an_image_outside_the_training_data_is_told_in_the_picture(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    legends: list[attention_picture.Legend] = []

    def draw(shown: Any, spread: Any, legend: attention_picture.Legend) -> Any:
        legends.append(legend)
        return attention_picture.draw(shown, spread, legend)

    monkeypatch.setattr("preread.runner.explaining.draw", draw)
    instance = room.read(ct(1), said(NET, unlike=2.0))
    room.ask(instance, "Normal")
    assert room.explaining.step()
    assert room.only(instance).state is DONE
    assert [(one.probability, one.predicted) for one in legends] == [(None, False)]
    assert room.only(instance).wanted.probability is None


def test_the_thread_works_through_the_queue(room: Room) -> None:
    instances = [room.read(ct(number)) for number in range(3)]
    for instance in instances:
        room.ask(instance)
    assert not room.explaining.settled
    room.explaining.start()
    try:
        eventually(lambda: room.explaining.settled)
    finally:
        assert room.explaining.stop(10)
    assert len(room.pictures()) == 3


def test_a_killed_runner_s_picture_is_made_by_the_next(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)
    assert room.queue.reserve("runner", 300) is not None
    assert not room.explaining.step()
    assert room.made("runner").step()
    assert room.only(instance).state is DONE


def test_a_picture_is_not_read_even_if_somebody_asks(room: Room) -> None:
    instance = room.read(ct(1))
    room.ask(instance)
    assert room.explaining.step()
    (name,) = room.pictures()
    back = room.bench.arrive(room.bench.archive.files[name], models=("small",))
    room.bench.run()
    job = room.bench.job(back)
    assert (job.state, job.reason) == (JobState.UNREAD, "it shows what a network looked at")
    assert room.bench.networks.batches == []


# Thresholds.


@pytest.fixture
def wanted() -> Callable[..., list[tuple[str, str]]]:
    catalogue = catalogue_of(NET, card("other", "b" * 64, ("Dark", "Bright")))

    def make(*predictions: Prediction, **settings: Any) -> list[tuple[str, str]]:
        rule = Thresholds(ExplainSettings(**settings), catalogue)
        names = [f"{one.model}-folder" for one in predictions]
        return [(one.model, one.label) for one in rule.wanted(names, predictions)]

    return make


def test_without_a_threshold_nothing_is_explained(wanted: Any) -> None:
    assert wanted(said(NET, (0.0, 1.0, 0.0))) == []


def test_what_reaches_the_threshold_is_explained(wanted: Any) -> None:
    assert wanted(said(NET), threshold=0.7) == [("net-folder", "Malignant")]
    assert wanted(said(NET), threshold=0.71) == []
    assert wanted(said(NET), threshold=0.15) == [
        ("net-folder", "Benign"),
        ("net-folder", "Malignant"),
    ]


def test_normal_is_not_unless_it_is_named(wanted: Any) -> None:
    normal = said(NET, (0.0, 0.0, 1.0))
    assert wanted(normal, threshold=0.5) == []
    assert wanted(normal, threshold=0.5, classes=("Normal",)) == [("net-folder", "Normal")]
    assert wanted(said(NET), threshold=0.5, classes=("Normal",)) == []


def test_only_the_models_that_are_named(wanted: Any) -> None:
    other = said(card("other", "b" * 64, ("Dark", "Bright")), (0.1, 0.9))
    both = (said(NET), other)
    assert len(wanted(*both, threshold=0.5)) == 2
    assert wanted(*both, threshold=0.5, models=("other-folder",)) == [("other-folder", "Bright")]


def test_no_class_is_explained_that_was_not_given(wanted: Any) -> None:
    assert wanted(said(NET, unlike=2.0), threshold=0.1) == []
    assert wanted(said(NET, unlike=0.5), threshold=0.5) == [("net-folder", "Malignant")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": ("net",)}, "Preread.Explain.Models: there is no 'net'.*net-folder"),
        ({"classes": ("malignant",)}, "Preread.Explain.Classes: there is no 'malignant'.*Malig"),
        ({"models": ("net-folder",), "classes": ("Dark",)}, "no 'Dark'"),
    ],
)
def test_wrong_names_are_refused(wanted: Any, settings: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        wanted(said(NET), threshold=0.5, **settings)


def test_the_pipeline_writes_wishes_down_with_the_result(bench: Bench) -> None:
    instance = bench.arrive(ct(1, level=100), models=("small",))
    bench.wishes = lambda names, _: [Wanted(names[0], "Bright", 0, 1.0)]
    bench.run()
    (found,) = bench.ledger.explanations.of(instance)
    assert (found.wanted.model, found.wanted.label, found.asked) == ("small", "Bright", False)
