"""`preread iodeep train`: what it makes, that it learns, that it goes on, what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from preread.iodeep.iod import IODeep
from preread.iodeep.opening import WeightsFolder, contents
from preread.iodeep.reading import decode
from preread.iodeep.validation import validate
from preread.iodeep.weights import HashOfFile
from preread.models.weights import Arrays
from preread.phantom.writing import PhantomFiles
from preread.training.errors import TrainingError
from preread.training.regions import training
from preread.training.regions.fitting import Epoch, RegionFitting
from preread.training.regions.plan import RegionPlan
from tests.unit.training.regions.conftest import (
    TINY,
    refused,
    run_train,
    write_architecture,
    write_pairs,
)

FOR_PICTURES = ("--modality", "ct", "--body-part", "Chest")


class Silent:
    """Keeps the epochs."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self.resumed = -1

    def reading(self, done: int, count: int) -> None:
        assert done <= count

    def fitting(self, epochs: int, done: int) -> None:
        self.resumed = done

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)


def _request(tmp_path: Path, name: str = "net", **changes: Any) -> training.Request:
    architecture = write_architecture(tmp_path / "net.json")
    data = tmp_path / "data"
    if not data.exists():
        write_pairs(data, 24)
    plan = {"epochs": 6, "samples": 16, "learning_rate": 0.02, "validation": 0.3, "seed": 1}
    return training.Request(
        architecture=architecture.read_text(),
        data=data,
        output=tmp_path / "models" / "iodeep" / f"{name}.dcm",
        models=tmp_path / "models",
        checkpoints=tmp_path / f"{name}.training",
        name=name,
        Modality="CT",
        BodyPartExamined="CHEST",
        device=torch.device("cpu"),
        plan=RegionPlan(**plan | changes),
    )


def _arrays(network: IODeep) -> Arrays:
    return contents(network, WeightsFolder(Path())).arrays


def _same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


def test_it_learns_to_find_the_disc(tmp_path: Path) -> None:
    watcher = Silent()
    network = training.train(_request(tmp_path, epochs=20, samples=24), watcher)
    losses = [epoch.validation_loss for epoch in watcher.epochs]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.6 * losses[0]
    dice = watcher.epochs[-1].validation_dice
    assert dice is not None
    assert dice > 0.8
    assert "24 pictures with masks" in network.Description
    assert "synthetic" not in network.Description
    assert "Dice 0." in network.Description


def test_the_object_is_valid_and_runs(tmp_path: Path) -> None:
    request = _request(tmp_path, epochs=1)
    training.train(request, Silent())
    network = decode(request.output.read_bytes())
    assert (network.Modality, network.BodyPartExamined, network.Rows) == ("CT", "CHEST", 32)
    validated = validate(network, WeightsFolder(request.models))
    kept = validated.contents.arrays
    assert kept["layers.1.0.weight"].dtype == np.float16
    assert kept["layers.1.1.running_var"].dtype == np.float32


def test_large_weights_lie_in_the_models_folder(tmp_path: Path) -> None:
    wide = {"convolutional": {"cn1": 4, "cn2": 520, "cn3": 1}}
    architecture = write_architecture(tmp_path / "net.json", **wide)
    data = write_pairs(tmp_path / "data", 4)
    for folder in (tmp_path / "models" / "iodeep", tmp_path / "elsewhere"):
        output = folder / "wide.dcm"
        done = run_train(
            architecture, data, "--output", output, *FOR_PICTURES, "--epochs", 1,
            "--samples", 2, "--validation", 0, "--float32",
        )  # fmt: skip
        assert done.exit_code == 0, (done.output, done.exception)
        weights = decode(output.read_bytes()).DnnWeights
        assert isinstance(weights, HashOfFile)
        inner = folder if folder.name == "iodeep" else folder / "iodeep"
        assert (inner / f"{weights.sha256}.safetensors").is_file()


def test_a_resumed_fit_ends_as_one_that_was_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _arrays(training.train(_request(tmp_path, "whole"), Silent()))
    stopped = _request(tmp_path, "stopped")
    epochs = 0
    real = RegionFitting._train

    def train_twice(self: RegionFitting, epoch: int) -> float:
        nonlocal epochs
        epochs += 1
        if epochs > 2:
            raise KeyboardInterrupt
        return real(self, epoch)

    with monkeypatch.context() as patched:
        patched.setattr(RegionFitting, "_train", train_twice)
        with pytest.raises(KeyboardInterrupt):
            training.train(stopped, Silent())
    watcher = Silent()
    resumed = _arrays(training.train(stopped, watcher))
    assert watcher.resumed == 2
    assert [epoch.epoch for epoch in watcher.epochs] == [3, 4, 5, 6]
    assert _same(resumed, whole)
    other = training.train(_request(tmp_path, "other", seed=2), Silent())
    assert not _same(_arrays(other), whole)


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", 24)
    architecture = write_architecture(tmp_path / "net.json")

    def command(name: str) -> list[str]:
        output = tmp_path / "iodeep" / f"{name}.dcm"
        return [
            *(sys.executable, "-m", "preread", "iodeep", "train", str(architecture)),
            *(str(tmp_path / "data"), "--output", str(output), *FOR_PICTURES),
            *("--epochs", "60", "--samples", "24", "--patience", "0", "--threads", "1"),
        ]

    killed = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)
    state = tmp_path / "iodeep" / ".killed.training" / training.CHECKPOINT
    while not state.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "iodeep" / "killed.dcm").exists()
    environment = os.environ | {"COLUMNS": "200"}
    again = subprocess.run(
        command("killed"), capture_output=True, text=True, check=True, env=environment
    )
    assert "epoch 1:" not in again.stdout
    assert "epoch 60:" in again.stdout
    subprocess.run(command("whole"), stdout=subprocess.DEVNULL, check=True)
    one, other = (
        decode((tmp_path / "iodeep" / f"{name}.dcm").read_bytes()) for name in ("killed", "whole")
    )
    assert _same(_arrays(one), _arrays(other))


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    request = _request(tmp_path, epochs=1)
    training.train(request, Silent())
    request.output.unlink()
    other = _request(tmp_path, epochs=2)
    with pytest.raises(TrainingError, match=r"state.pt: from other images, options or weights"):
        training.train(other, Silent())
    (request.checkpoints / training.CHECKPOINT).write_bytes(b"PK")
    with pytest.raises(TrainingError, match=r"state.pt: a broken checkpoint"):
        training.train(request, Silent())


def test_it_stops_early(tmp_path: Path) -> None:
    watcher = Silent()
    training.train(_request(tmp_path, epochs=200, patience=2, learning_rate=1e-7), watcher)
    losses = [epoch.validation_loss for epoch in watcher.epochs]
    assert None not in losses
    best = int(np.argmin(np.array(losses, dtype=float)))
    assert len(losses) == best + 3 < 200


def test_a_phantom_is_trained_on_and_said_to_be_synthetic(
    tmp_path: Path, phantom: PhantomFiles
) -> None:
    output = tmp_path / "models" / "iodeep" / "chest.dcm"
    done = run_train(
        write_architecture(tmp_path / "net.json"), phantom.folder.parent,
        "--output", output, "--epochs", 2, "--validation", 0, "--window", -300, 1400,
        "--description", "A test.",
    )  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    network = decode(output.read_bytes())
    assert (network.Modality, network.BodyPartExamined) == ("CT", "CHEST")
    assert (network.WindowCenter, network.WindowWidth) == (-300, 1400)
    assert network.Description.startswith("A test. Trained on 1 synthetic series, no image of a")
    assert network.DnnName == "chest"
    assert network.DnnUID in done.output
    assert "epoch 2: training loss" in done.output


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": {"1": "mystery"}}, "layer 1: mystery is not a layer"),
        (
            {"architecture": {"1": "cnn2d"}, "convolutional": {"cn1": 2}, "kernel": {"kernel1": 1}},
            "the network gives 32 x 32 x 2; expected one channel",
        ),
        (
            {"architecture": TINY["architecture"] | {"7": "tanh"}},
            "the last layer is tanh; expected sigmoid or none",
        ),
    ],
)
def test_an_architecture_that_gives_no_mask_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    if "architecture" in changes and len(changes["architecture"]) == 1:
        changes = changes | {"pooling": {}, "skip_connection": {}}
    architecture = write_architecture(tmp_path / "net.json", **changes)
    data = write_pairs(tmp_path / "data", 4)
    assert reason in refused(architecture, data, "--output", tmp_path / "x.dcm", *FOR_PICTURES)
    assert not (tmp_path / "x.dcm").exists()


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    architecture = write_architecture(tmp_path / "net.json")
    data = write_pairs(tmp_path / "data", 4)
    empty = tmp_path / "empty"
    empty.mkdir()
    output = ("--output", tmp_path / "x.dcm")
    assert "no series with outlines" in refused(architecture, empty, *output, *FOR_PICTURES)
    assert refused(architecture, data, *output) == (
        "the images do not state Modality; name it with --modality"
    )
    assert "name it with --body-part" in refused(architecture, data, *output, "--modality", "CT")
    assert "Modality: expected 1 to 16" in refused(
        architecture, data, *output, "--modality", "C/T", "--body-part", "CHEST"
    )
    (data / "patient-0" / "1.mask.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "1.mask.png: " in refused(architecture, data, *output, *FOR_PICTURES)
    (data / "patient-0" / "1.mask.png").unlink()
    assert refused(architecture, data, *output, *FOR_PICTURES) == (
        "patient-0/1.png: 1.mask.png is not beside it; it may be all black"
    )
    (tmp_path / "x.dcm").touch()
    told = refused(architecture, data, *output, *FOR_PICTURES)
    assert told == "x.dcm: there already; name another file"


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data", 3)
    for number in (0, 1):
        path = data / "patient-0" / f"{number}.mask.png"
        path.write_bytes((data / "patient-0" / "2.mask.png").read_bytes())
    architecture = write_architecture(tmp_path / "net.json")
    told = refused(architecture, data, "--output", tmp_path / "x.dcm", *FOR_PICTURES)
    assert told == "no slice with a lesion to train on; add series, or lower --validation"
