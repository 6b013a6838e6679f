"""Rules for devices: what they fit, what they blank, what is wrong with a file of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from preread.deidentify.pixels.boxes import Box
from preread.deidentify.pixels.regions import RegionsError, load_regions


def dataset(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def regions_of(tmp_path: Path, *entries: Any) -> Any:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(list(entries)), encoding="utf-8")
    return load_regions(path)


def test_known_devices_are_blanked() -> None:
    made = dataset(
        Modality="US",
        Manufacturer="Philips Medical Systems",
        ManufacturerModelName="iU22",
        Rows=600,
    )
    assert load_regions().boxes(made, 600, 800) == [Box(0, 0, 800, 59)]
    made.Rows = 601
    assert load_regions().boxes(made, 601, 800) == []


def test_a_manufacturer_is_a_word() -> None:
    rule = {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], "Modality": "CT"}
    assert load_regions().boxes(dataset(Manufacturer="GE MEDICAL SYSTEMS", **rule), 512, 512)
    assert load_regions().boxes(dataset(Manufacturer="ge_medical", **rule), 512, 512)
    assert not load_regions().boxes(dataset(Manufacturer="Agfa-Gevaert", **rule), 512, 512)


@pytest.mark.parametrize(
    ("blank", "box"),
    [
        ([0, 0, "100%", 30], Box(0, 0, 200, 30)),
        ([-50, -20, 50, 20], Box(150, 80, 200, 100)),
        (["50%", "12.5%", "25%", "10%"], Box(100, 12, 150, 23)),
        (["-10%", 0, 500, 500], Box(180, 0, 200, 100)),
        ([200, 0, 10, 10], None),
    ],
)
def test_rectangles(tmp_path: Path, blank: list[Any], box: Box | None) -> None:
    regions = regions_of(tmp_path, {"Modality": ["OT"], "Blank": [blank]})
    found = regions.boxes(dataset(Modality="OT"), 100, 200)
    assert found == ([] if box is None else [box])
    assert regions.boxes(dataset(Modality="CT"), 100, 200) == []
    assert regions.boxes(dataset(), 100, 200) == []


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"Modality": ["US"]}, "Blank"),
        ({"Blank": [[0, 0, 1, 1]]}, "condition"),
        ({"Modality": "US", "Blank": [[0, 0, 1, 1]]}, "Modality"),
        ({"Rows": 0, "Blank": [[0, 0, 1, 1]]}, "Rows"),
        ({"Model": "X", "Blank": [[0, 0, 1, 1]]}, "Model"),
        ({"Rows": 5, "Blank": []}, "Blank"),
        ({"Rows": 5, "Blank": [[0, 0, 1]]}, "Blank"),
        ({"Rows": 5, "Blank": [[0, 0, 0, 1]]}, "width"),
        ({"Rows": 5, "Blank": [[0, 0, "120%", 1]]}, "percents"),
        ({"Rows": 5, "Blank": [[0, 0, "x%", 1]]}, "percents"),
        ({"Rows": 5, "Blank": [[0, 0, 1.5, 1]]}, "percents"),
        ("US", "object"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path: Path, entry: Any, named: str) -> None:
    good = {"Rows": 5, "Blank": [[0, 0, 1, 1]]}
    with pytest.raises(RegionsError, match=rf"mine\.json: entry 2.*{named}"):
        regions_of(tmp_path, good, entry)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="mine"):
        load_regions(tmp_path / "mine.json")
    (tmp_path / "mine.json").write_bytes(b"\xff{")
    with pytest.raises(RegionsError, match=r"mine.json: no JSON"):
        load_regions(tmp_path / "mine.json")
    (tmp_path / "mine.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RegionsError, match="a list"):
        load_regions(tmp_path / "mine.json")
