"""A model that lies in the folder of models: where its files are, and which are which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preread.models.card import NETWORK, WEIGHTS, BackboneFacts, ModelCard

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is there.

    Attributes
    ----------
    name
        Of its folder; what settings and the ledger call it.
    card
        Its card.
    folder
        Where it lies.
    """

    name: str
    card: ModelCard
    folder: Path

    @property
    def weights(self) -> Path:
        """The file of what is its own: its last layer, and what tells unlike images."""
        return self.folder / WEIGHTS

    @property
    def backbone(self) -> Path:
        """The file of its network but for the last layer."""
        file = self.card.Backbone.File
        return (self.folder if file == NETWORK else self.folder.parent) / file

    @property
    def backbone_sha256(self) -> str:
        """SHA-256 of that file: models of which it is the same run the same backbone."""
        return self.card.Backbone.SHA256

    @property
    def judge(self) -> Model:
        """The model whose backbone's features tell images unlike the training data.

        This one, unless its card names another network: then a stand-in with that network's
        backbone and this one's preprocessing, to be given to an engine and nothing else.
        """
        told = self.card.OutOfDistribution
        if told is None or told.Judge is None:
            return self
        facts = told.Judge
        backbone = BackboneFacts(File=facts.File, SHA256=facts.SHA256, Precision=facts.Precision)
        card = self.card.model_copy(
            update={
                "Architecture": facts.Architecture,
                "Backbone": backbone,
                "OutOfDistribution": None,
            }
        )
        return Model(f"{self.name}'s judge", card, self.folder)
