"""A small data set that a network can learn: discs, bars and checks with noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

SIDE = 64


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


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", {"bar": 24, "check": 24, "disc": 24})


@pytest.fixture
def description(tmp_path: Path) -> Path:
    told: dict[str, Any] = {
        "Name": "Shapes",
        "Classes": {"disc": "Disc", "bar": "Bar", "check": "Check"},
        "Dataset": {"Name": "Shapes", "License": "CC0", "Attribution": "drawn by a test"},
        "Limits": ["Knows three shapes."],
        "License": "CC0",
        "Attribution": "none",
        "AppliesTo": {"Modality": ["CT"], "BodyPartExamined": ["CHEST"]},
    }
    path = tmp_path / "description.json"
    path.write_text(json.dumps(told))
    return path
