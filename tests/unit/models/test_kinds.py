"""Which images a model answers on."""

from pathlib import Path

import pytest

from preread.imaging import Units
from preread.models.catalogue import Catalogue
from preread.models.kinds import InputKind, kind_of, unfit
from preread.results.block import LONG_STRING, WITHHELD

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", InputKind)
@pytest.mark.parametrize("units", Units)
def test_each_other_kind_has_its_reason(kind: InputKind, units: Units) -> None:
    reason = unfit(kind, units)
    assert (reason == "") is (kind_of(units) is kind)
    assert len(f"{{ {WITHHELD} : {reason} }}") <= LONG_STRING


def test_values_of_neither_kind_are_for_no_model() -> None:
    assert kind_of(Units.MODALITY) is kind_of(Units.UNKNOWN) is None
    assert unfit(InputKind.PICTURES, Units.UNKNOWN).startswith("made for pictures")


def test_the_shipped_models_are_for_pictures_and_say_what_they_are_worth_outside() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for model in Catalogue.load(ROOT / "models"):
        assert model.card.Input is InputKind.PICTURES
        assert model.card.Outside, model.name
        for figure in model.card.Outside:
            assert f"{figure.Value:.3f}" in readme, (model.name, figure.Figure)
            assert "public" in figure.Data or "Kaggle" in figure.Data
    told = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert "figure to believe" not in told
