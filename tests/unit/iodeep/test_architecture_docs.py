"""docs/iodeep.md says of architectures what the parser does."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from preread.iodeep.architecture import ArchitectureError, Limits, parse_architecture
from preread.iodeep.architecture_files import example
from preread.iodeep.architecture_format import LAYER_NAMES, Document
from tests.unit.iodeep.test_architecture import changed, net

TEXT = (Path(__file__).parents[3] / "docs" / "iodeep.md").read_text(encoding="utf-8")


def _rows(title: str) -> list[list[str]]:
    section = TEXT.partition(f"\n{title}")[2].partition("\n\n| ")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines()[2:]]
    assert rows
    return rows


def test_every_layer_has_its_row() -> None:
    named = [name for row in _rows("### Layers") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(LAYER_NAMES)


def test_every_key_has_its_row() -> None:
    assert [row[0].strip("`") for row in _rows("## The architecture")] == [*Document.model_fields]


def test_the_limits_are_the_defaults() -> None:
    stated = {row[0].strip("`"): int(row[1]) for row in _rows("### What is refused")}
    # By the keys of the settings.
    assert stated == {name.capitalize(): value for name, value in asdict(Limits()).items()}
    assert f"U-Net has {parse_architecture(example('unet')).parameters}" in TEXT


@pytest.mark.parametrize(
    "content",
    [
        changed("skip_connection", **{"3": "16"}),
        changed("kernel", kernel5=None),
        changed("architecture", **{"7": "trippleConv"}),
        net("dense", shape=(100_000,), convolutional={"cn1": 100_000}),
    ],
)
def test_the_errors_are_those_that_are_shown(content: dict[str, object]) -> None:
    with pytest.raises(ArchitectureError) as caught:
        parse_architecture(content)
    shown = re.sub(r"(one of dsc1d, dsc2d), .*", r"\1, ...", str(caught.value))
    assert f"    {shown}\n" in TEXT
