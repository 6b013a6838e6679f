"""What the seed paper reports, for comparison: `paper.json`, which nothing here measured."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from preread.models.card_facts import Count, Part

if TYPE_CHECKING:
    from preread.models.card import ArchitectureName


class PaperSet(Part):
    """One data set of the paper; figures are in the order of `Paper.Figures`."""

    Name: str
    Classes: Count
    TrainingImages: Count
    TestImages: Count
    Models: dict[str, tuple[float, float, float, float]]


class Paper(Part):
    """The paper's table.

    Attributes
    ----------
    Protocol
        How it was measured there.
    Figures
        Which, by the names that they have here.
    Sets
        By the short names that they have here.
    """

    Title: str
    Protocol: str
    Figures: tuple[str, ...]
    Sets: dict[str, PaperSet]

    def of(self, set_name: str, architecture: ArchitectureName | None) -> dict[str, float]:
        """Give the figures of a network on a set; empty where the paper has none."""
        known = self.Sets.get(set_name)
        row = known.Models.get(architecture.value) if known and architecture else None
        return dict(zip(self.Figures, row, strict=True)) if row else {}

    def best(self, set_name: str) -> float | None:
        """Give the highest micro-accuracy of a single network on a set."""
        known = self.Sets.get(set_name)
        return max(row[0] for row in known.Models.values()) if known else None


@cache
def paper() -> Paper:
    """Read the paper's table."""
    data = files("preread.training.evaluation").joinpath("paper.json").read_bytes()
    return Paper.model_validate_json(data)
