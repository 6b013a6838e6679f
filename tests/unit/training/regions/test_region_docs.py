"""The networks that ship are what their objects and docs/regions.md say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from preread.iodeep.opening import WeightsFolder
from preread.iodeep.reading import decode
from preread.iodeep.selection import ImageFacts, NetworkFacts, select
from preread.iodeep.validation import validate
from preread.training.regions.describing import described
from preread.training.regions.document import read_evaluation
from preread.training.regions.tables import BEGIN, END, put_between, table

ROOT = Path(__file__).parents[4]
MODELS = ROOT / "models"
OBJECTS = sorted((MODELS / "iodeep").glob("*.dcm"))
EVALUATIONS = sorted((ROOT / "docs" / "evaluation" / "regions").glob("*.json"))
DOCUMENT = ROOT / "docs" / "regions.md"


def test_there_are_two_networks_to_choose_between() -> None:
    networks = [decode(path.read_bytes()) for path in OBJECTS]
    facts = [
        NetworkFacts(one.DnnUID, one.Modality, one.SamplesPerPixel, one.BodyPartExamined)
        for one in networks
    ]
    assert {(one.Modality, one.BodyPartExamined) for one in facts} == {
        ("CT", "CHEST"),
        ("MR", "HEAD"),
    }
    for modality, description in (("CT", "Thorax low dose"), ("MR", "Brain without contrast")):
        image = ImageFacts(Modality=modality, SamplesPerPixel=1, StudyDescription=description)
        chosen = select(image, facts)
        assert chosen.DnnUID in {one.DnnUID for one in facts if one.Modality == modality}


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: str(path.stem))
def test_an_object_is_valid_small_and_says_what_was_measured(path: Path) -> None:
    assert path.stat().st_size < 4_000_000
    network = decode(path.read_bytes())
    validated = validate(network, WeightsFolder(MODELS))
    evaluation = read_evaluation(
        ROOT / "docs" / "evaluation" / "regions" / f"{network.DnnName}.json"
    )
    assert network.DnnName == path.stem
    assert evaluation.Network.DnnUID == network.DnnUID
    assert validated.contents.sha256 == evaluation.Network.SHA256
    assert described(network, evaluation).Description == network.Description
    assert "synthetic" in network.Description
    assert all(part.Lesions for part in evaluation.Parts)


def test_the_table_is_that_of_the_evaluations() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert EVALUATIONS
    assert put_between(text, table([read_evaluation(path) for path in EVALUATIONS])) == text, (
        "run: python -m preread.training.regions.tables docs/evaluation/regions/*.json "
        "--document docs/regions.md"
    )
    assert text.index(BEGIN) < text.index(END)
