"""What a runner needs to look at a series: files of its networks, and memory."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from preread.imaging import Image, open_image
from preread.iodeep.iod import IODeep
from preread.iodeep.opening import FOLDER, WeightsFolder
from preread.iodeep.weights import Safetensors
from preread.iodeep.writing import encode
from preread.ledger.series_task import TaskState
from preread.runner.network_objects import NetworkGoneError
from preread.runner.outliner import Found
from tests.unit.iodeep.toy_networks import pointwise
from tests.unit.runner.bench import Bench
from tests.unit.runner.test_outlining import Room, bright, multiframe


def _weights(network: IODeep) -> bytes:
    assert isinstance(network.DnnWeights, Safetensors)
    return network.DnnWeights.data


@pytest.mark.parametrize("what", ["missing", "another", "without its weights"])
def test_a_series_is_left_to_a_runner_that_has_the_networks_files(
    bench: Bench, tmp_path: Path, what: str
) -> None:
    beside = Room(bench, tmp_path)
    beside.install()
    path = tmp_path / FOLDER / "toy.dcm"
    weights = WeightsFolder(tmp_path).keep(_weights(pointwise(16, 16)))
    path.write_bytes(encode(replace(pointwise(16, 16), DnnWeights=weights)))
    beside.settle()
    here = tmp_path / "elsewhere"
    (here / FOLDER).mkdir(parents=True)
    if what == "another":
        (here / FOLDER / path.name).write_bytes(encode(pointwise(16, 16, DnnName="other")))
    elif what == "without its weights":
        (here / FOLDER / path.name).write_bytes(path.read_bytes())
    elsewhere = Room(bench, here, defers=True)
    beside.arrive(bright(1, (2, 2)))
    assert elsewhere.outlining.step()
    assert (beside.task().state, beside.task().attempts) == (TaskState.PENDING, 0)
    # The one beside Orthanc looks, or says what keeps it from that.
    outcome = beside.outliner.look(beside.task())
    assert isinstance(outcome, Found)
    for file in (tmp_path / FOLDER).iterdir():
        file.unlink()
    with pytest.raises(NetworkGoneError, match=r"toy\.dcm"):
        beside.outliner.look(beside.task())


def test_images_are_open_one_after_the_other(bench: Bench, tmp_path: Path) -> None:
    alive: set[int] = set()
    counts: list[int] = []

    def opened(data: bytes) -> Image:
        made = open_image(data, max_bytes=2**24)
        alive.add(id(made))
        weakref.finalize(made, alive.discard, id(made))
        counts.append(len(alive))
        return made

    room = Room(bench, tmp_path, opened=opened)
    room.install()
    for number in range(1, 20):
        room.arrive(bright(number, (2, 2)))
    room.outlining.step()
    assert (room.task().state, room.task().regions) == (TaskState.DONE, 19)
    assert counts == [1] * 19


def test_an_image_too_large_says_which_setting_to_raise(bench: Bench, tmp_path: Path) -> None:
    room = Room(bench, tmp_path, opened=partial(open_image, max_bytes=2**12))
    room.install()
    room.arrive(bright(1, (2, 2)))
    room.arrive(multiframe(20, SOPInstanceUID="2.25.777"))
    room.outlining.step()
    assert room.task().state is TaskState.FAILED
    assert "Preread.Runner.MaxImageMegabytes" in room.task().reason
