"""A training that is killed and started again ends as one that never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import preread
from preread.models.card import WEIGHTS, read_card
from tests.unit.training.conftest import TwoSets, refused, trained

PLUGIN = Path(preread.__file__).parents[1]

DYING = """
import os, signal
from preread.training import checkpoint
write = checkpoint.write_atomically
def write_and_die(path, data):
    write(path, data)
    os.kill(os.getpid(), signal.SIGKILL)
checkpoint.write_atomically = write_and_die
from preread.cli import main
main()
"""
"""What ``python -m preread`` does, killed by the system once the first epoch's state is kept."""

OPTIONS = (
    "--preset", "recommended", "--split", "random", "--validation", 0.2, "--size", 32, "--threads",
    1, "--batch-size", 16,
)  # fmt: skip
TAUGHT = (*OPTIONS, "--epochs", 3, "--averaging", 0.9, "--augmentation", 1, "--distillation", 0.5)


def start(program: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(PLUGIN), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *program, "train", "--device", "cpu", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def written(folder: Path) -> dict[Path, bytes]:
    """Give what lies in the folders of models and of what they share."""
    return {
        path: path.read_bytes()
        for pattern in ("net-*/*", "backbones/*")
        for path in folder.glob(pattern)
    }


@pytest.mark.timeout(600)
def test_killed_after_an_epoch_it_ends_with_the_same_weights(
    two_sets: TwoSets, tmp_path: Path
) -> None:
    common = (two_sets.listing, *two_sets.descriptions)
    teacher = tmp_path / "teacher"
    trained(*common, *OPTIONS, "--epochs", 1, "--output", teacher)
    taught = (*common, *TAUGHT, "--teacher", teacher)
    trained(*taught, "--output", tmp_path / "straight" / "net")

    output = tmp_path / "stopped" / "net"
    dead = start(("-c", DYING), *taught, "--output", output)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    state = torch.load(output.parent / ".net.training" / "net.pt", weights_only=True)
    assert [line["epoch"] for line in state["history"]] == [1]
    # Nothing is there yet that could be taken for a model or its split.
    assert [path.name for path in output.parent.iterdir()] == [".net.training"]

    again = start(("-m", "preread"), *taught, "--output", output)
    assert again.returncode == 0, again.stderr
    assert "epoch 1:" not in again.stdout
    assert "epoch 2:" in again.stdout
    assert "epoch 3:" in again.stdout
    for file in (
        "backbones/net.onnx",
        "backbones/net.split.csv",
        f"net-Shapes/{WEIGHTS}",
        f"net-Two/{WEIGHTS}",
    ):
        straight, stopped = (tmp_path / run / file for run in ("straight", "stopped"))
        assert straight.read_bytes() == stopped.read_bytes(), file
    for name in ("net-Shapes", "net-Two"):
        one, other = (read_card(tmp_path / run / name) for run in ("straight", "stopped"))
        assert one.Metrics == other.Metrics
        assert one.Training.Epochs == other.Training.Epochs == 3


def test_a_state_of_another_training_is_refused(two_sets: TwoSets, tmp_path: Path) -> None:
    common = (two_sets.listing, *two_sets.descriptions, *OPTIONS, "--output", tmp_path / "net")
    trained(*common, "--epochs", 1)
    before = written(tmp_path)
    assert {path.parent.name for path in before} == {"backbones", "net-Shapes", "net-Two"}
    assert tmp_path / "backbones" / "net.split.csv" in before
    told = "net.pt: from other images, options or weights; remove it to start anew"
    for change in (("--epochs", 2), ("--epochs", 1, "--seed", 1), ("--epochs", 1, "--size", 40)):
        assert refused(*common, *change) == told
    # What was there is left as it was, the split with it.
    assert written(tmp_path) == before
    (tmp_path / ".net.training" / "net.pt").write_bytes(b"x")
    assert refused(*common, "--epochs", 1).startswith("net.pt: a broken checkpoint")


def test_a_teacher_that_was_changed_is_another_teacher(two_sets: TwoSets, tmp_path: Path) -> None:
    """The same backbone with another last layer teaches something else."""
    common = (two_sets.listing, *two_sets.descriptions, *OPTIONS)
    start_from = tmp_path / "start"
    trained(*common, "--epochs", 1, "--output", start_from, "--keep", "float32")
    backbone = tmp_path / "backbones" / "start.onnx"
    extraction = (*common, "--pretrained", backbone, "--transfer", "feature-extraction")
    student = (*common, "--epochs", 1, "--output", tmp_path / "student")
    for epochs in (1, 2):
        trained(
            *extraction, "--epochs", epochs, "--output", tmp_path / "teacher", "--checkpoints",
            tmp_path / f"state {epochs}", "--keep", "float32",
        )  # fmt: skip
        if epochs == 1:
            trained(*student, "--teacher", tmp_path / "teacher")
            first = read_card(tmp_path / "teacher-Two")
    second = read_card(tmp_path / "teacher-Two")
    assert first.Backbone == second.Backbone
    assert first.WeightsSHA256 != second.WeightsSHA256
    told = refused(*student, "--teacher", tmp_path / "teacher")
    assert told.startswith("student.pt: from other images, options or weights")
