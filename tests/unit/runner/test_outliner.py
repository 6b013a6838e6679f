"""What a runner needs to look at a series: files of its networks, and memory."""

from __future__ import annotations

import hashlib
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from preread.imaging import Image, open_image
from preread.iodeep.iod import IODeep
from preread.iodeep.opening import FOLDER, WeightsFolder
from preread.iodeep.weights import PathOfFile, Safetensors
from preread.iodeep.writing import encode
from preread.ledger.network import Network
from preread.ledger.task import TaskState
from preread.runner.network_objects import AnotherObjectError, NetworkGoneError
from preread.runner.outcomes import NotYet
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
    assert "waits for a runner that can open its network" in beside.task().reason
    assert not elsewhere.outlining.step()  # not before its pause has passed
    # The one beside Orthanc looks, or says what keeps it from that.
    outcome = beside.outliner.look(beside.task())
    assert isinstance(outcome, Found)
    for file in (tmp_path / FOLDER).iterdir():
        file.unlink()
    with pytest.raises(NetworkGoneError, match=r"toy\.dcm"):
        beside.outliner.look(beside.task())


def by_path(folder: Path, weight: float) -> bytes:
    """Lay weights into a folder under a name that stays the same; return the network's file."""
    network = pointwise(16, 16, weight=weight)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / FOLDER / "weights.safetensors").write_bytes(_weights(network))
    path = PathOfFile(f"{FOLDER}/weights.safetensors")
    return encode(replace(network, DnnWeights=path))


def test_other_weights_of_the_same_name_are_not_run_elsewhere(bench: Bench, tmp_path: Path) -> None:
    beside = Room(bench, tmp_path)
    data = by_path(tmp_path, 40)
    (tmp_path / FOLDER / "toy.dcm").write_bytes(data)
    beside.settle()
    here = tmp_path / "elsewhere"
    by_path(here, 50)
    (here / FOLDER / "toy.dcm").write_bytes(data)
    beside.arrive(bright(1, (2, 2)))
    assert Room(bench, here, defers=True).outlining.step()
    assert "its weights are not those that lie beside Orthanc" in beside.task().reason
    by_path(here, 40)
    assert isinstance(Room(bench, here, defers=True).outliner.look(beside.task()), Found)


def test_a_proposal_names_the_weights_that_ran(bench: Bench, tmp_path: Path) -> None:
    room = Room(bench, tmp_path)
    data = by_path(tmp_path, 40)
    (tmp_path / FOLDER / "toy.dcm").write_bytes(data)
    room.settle()
    by_path(tmp_path, 50)
    room.arrive(bright(1, (2, 2)))
    assert room.outlining.step()
    proposal = bench.ledger.proposals.find(room.task().proposal)
    assert proposal is not None
    ran = hashlib.sha256((tmp_path / FOLDER / "weights.safetensors").read_bytes()).hexdigest()
    assert proposal.network.weights_sha256 == ran


def test_a_network_in_orthanc_that_another_took_the_place_of_fails_everywhere(
    bench: Bench, tmp_path: Path
) -> None:
    beside = Room(bench, tmp_path)
    beside.install()
    beside.arrive(bright(1, (2, 2)))
    elsewhere = Room(bench, tmp_path, defers=True)

    def read(network: Network) -> IODeep:
        raise AnotherObjectError("another object is stored under its name")

    elsewhere.objects.read = read  # type: ignore[method-assign]
    network = replace(bench.ledger.networks.valid()[0], file="", instance="somewhere")
    described = network.described
    assert described is not None
    with pytest.raises(AnotherObjectError):
        elsewhere.outliner._opened(network, described)
    assert isinstance(
        elsewhere.outliner._opened(replace(network, file="toy.dcm"), described), NotYet
    )


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
    room.arrive(bright(1, (2, 2), FrameOfReferenceUID=None))
    room.arrive(multiframe(20, SOPInstanceUID="2.25.777"))
    room.outlining.step()
    assert (room.task().state, room.task().regions) == (TaskState.DONE, 1)
    [left_out] = room.task().skipped
    assert "Preread.Runner.MaxImageMegabytes" in left_out.reason
