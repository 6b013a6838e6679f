"""Pictures with a bright disc in them, and a network small enough to find it in seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from preread.cli import app
from preread.phantom import Acquisition, Kind, make_volume
from preread.phantom.writing import PhantomFiles, write_phantom

SIDE = 32
TINY: dict[str, Any] = {
    "input_shape": {"input_shape0": SIDE, "input_shape1": SIDE, "input_shape2": 1},
    "architecture": {
        "1": "doubleConv",
        "2": "Maxpool2d",
        "3": "doubleConv",
        "4": "dropout",
        "5": "Upsample",
        "6": "cnn2d",
    },
    "convolutional": {"cn1": 4, "cn2": 8, "cn3": 1},
    "kernel": {"kernel1": 3, "kernel2": 3, "kernel3": 1},
    "pooling": {"pool1": 2},
    "padding": {"padding": 1},
    "skip_connection": {"1": "5"},
    "data_format": "channels_last",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: always the same, and no slower for networks and images so small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_architecture(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(TINY | changes))
    return path


def write_pairs(folder: Path, count: int, seed: int = 0, side: int = 48) -> Path:
    """Draw grey pictures with a bright disc each, but for every third; a folder for each four."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    for number in range(count):
        inner = folder / f"patient-{number // 4}"
        inner.mkdir(parents=True, exist_ok=True)
        row, column = random.integers(12, side - 12, size=2)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < 8**2
        disc &= number % 3 != 2
        drawn = np.clip(60 + 120 * disc + random.normal(0, 10, disc.shape), 0, 255)
        Image.fromarray(drawn.astype(np.uint8)).save(inner / f"{number}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(inner / f"{number}.mask.png")
    return folder


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    """Write a small chest, in which some lesions are shown."""
    volume = make_volume(Kind.CHEST, 3, Acquisition(slice_thickness=10.0, size=96))
    return write_phantom(volume, tmp_path_factory.mktemp("phantoms"))


def run_train(*arguments: object) -> Result:
    """Run ``preread iodeep train`` in this process."""
    given = ("iodeep", "train", *arguments, "--device", "cpu", "--threads", 1)
    return CliRunner().invoke(app, [str(argument) for argument in given])


def refused(*arguments: object) -> str:
    """Run it; it must fail with one line. Give that line."""
    done = run_train(*arguments)
    assert done.exit_code == 1, (done.output, done.exception)
    told = done.stderr.removesuffix("\n")
    assert told.startswith("preread iodeep train: "), told
    assert "\n" not in told
    return told.removeprefix("preread iodeep train: ")
