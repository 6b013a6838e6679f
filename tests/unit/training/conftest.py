"""A small data set that a network can learn: discs, bars and checks with noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from typer.testing import CliRunner, Result

from preread.imaging import Preprocessing
from preread.training.command import train
from preread.training.data_set import DataSet
from preread.training.listing import read_listing
from preread.training.network import Network
from preread.training.splits import Split, SplitKind, split_sets

SIDE = 64
KINDS = ("bar", "check", "disc")

app = typer.Typer()
app.command()(train)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: always the same, and no slower for networks and images so small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_train(*arguments: object) -> Result:
    """Run ``preread train`` in this process, without a GPU unless told so."""
    given = ("--device", "cpu", *arguments)
    return CliRunner().invoke(app, [str(argument) for argument in given])


def trained(*arguments: object) -> Result:
    """Run ``preread train``, which must succeed."""
    done = run_train(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done


def refused(*arguments: object) -> str:
    """Run ``preread train``, which must fail with one line; give that line."""
    done = run_train(*arguments)
    assert done.exit_code == 1, (done.output, done.exception)
    assert isinstance(done.exception, SystemExit)
    told = done.stderr.removesuffix("\n")
    assert told.startswith("preread train: "), told
    assert "\n" not in told
    return told.removeprefix("preread train: ")


def picture(kind: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one picture of a class, at a random place."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    y, x = random.integers(20, 44, size=2)
    match kind:
        case "disc":
            shape = (rows - y) ** 2 + (columns - x) ** 2 < 14**2
        case "bar":
            shape = (abs(rows - y) < 4) | (abs(rows - y - 14) < 3)
        case _:
            shape = ((rows + y) // 8 + (columns + x) // 8) % 2 == 0
    noisy = 60 + 130 * shape + random.normal(0, 12, (SIDE, SIDE))
    drawn: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return drawn


def write_pictures(folder: Path, counts: dict[str, int], seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    for kind, count in counts.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(picture(kind, random)).save(folder / kind / f"{number:03}.png")
    return folder


def told_of(**changes: Any) -> dict[str, Any]:
    """Give what a description of a model that knows the shapes says."""
    return {
        "Name": "Shapes",
        "Classes": {"disc": "Disc", "bar": "Bar", "check": "Check"},
        "Dataset": {"Name": "Shapes", "License": "CC0", "Attribution": "drawn by a test"},
        "Limits": ["Knows three shapes."],
        "License": "CC0",
        "Attribution": "none",
        "AppliesTo": {"Modality": ["CT"], "BodyPartExamined": ["CHEST"]},
    } | changes


def describe(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(told_of(**changes)))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", {"bar": 24, "check": 24, "disc": 24})


@pytest.fixture
def description(tmp_path: Path) -> Path:
    return describe(tmp_path / "description.json")


@dataclass(frozen=True)
class TwoSets:
    """Pictures in a CSV: all of them are in ``Shapes``, and in ``Two`` half of the bars and checks.

    Attributes
    ----------
    descriptions
        The options that name one description for each set.
    """

    root: Path
    listing: Path
    descriptions: tuple[object, ...]


@pytest.fixture(scope="session")
def two_sets(tmp_path_factory: pytest.TempPathFactory) -> TwoSets:
    folder = tmp_path_factory.mktemp("two sets")
    root = write_pictures(folder / "pictures", dict.fromkeys(KINDS, 20))
    lines = ["file,Shapes,Two"]
    for kind in KINDS:
        for path in sorted((root / kind).iterdir()):
            two = kind if kind != "disc" and int(path.stem) % 2 else ""
            lines.append(f"{kind}/{path.name},{kind},{two}")
    listing = folder / "sets.csv"
    listing.write_text("\n".join(lines) + "\n")
    one = describe(folder / "one.json", Set="Shapes")
    other = describe(folder / "other.json", Set="Two", Classes={"check": "Check", "bar": "Bar"})
    return TwoSets(root, listing, ("--description", one, "--description", other, "--root", root))


@pytest.fixture(scope="session")
def two_set_data(two_sets: TwoSets) -> DataSet:
    return read_listing(two_sets.listing, two_sets.root, Preprocessing(size=(32, 32)))


@pytest.fixture(scope="session")
def two_set_split(two_set_data: DataSet) -> Split:
    return split_sets(two_set_data, SplitKind.RANDOM, test=0.25, validation=0.2, seed=1)


class Tiny(Network):
    """A network with all that matters to fitting: convolutions, batch normalisation, dropout."""

    backbone: nn.Sequential

    def __init__(self, outputs: int) -> None:
        nn.Module.__init__(self)
        self.backbone = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.head = nn.Linear(64, outputs)

    def block(self, number: int) -> nn.Sequential:
        """Give a block: convolution, batch normalisation, rectifier."""
        block = self.backbone[number]
        assert isinstance(block, nn.Sequential)
        return block


def tiny(outputs: int = 5, seed: int = 3) -> Tiny:
    torch.manual_seed(seed)
    return Tiny(outputs)
