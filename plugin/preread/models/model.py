"""A model that lies in the folder of models: where its files are, and which are which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preread.models.card import WEIGHTS, BackboneFacts, ModelCard

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
        """The file of its weights: the whole network or, with a backbone, what is its own."""
        return self.folder / WEIGHTS

    @property
    def backbone(self) -> Path:
        """The file of its backbone; that of its weights when it shares none."""
        shared = self.card.Backbone
        return self.weights if shared is None else self.folder.parent / shared.File

    @property
    def backbone_sha256(self) -> str:
        """SHA-256 of that file: models of which it is the same run the same backbone."""
        shared = self.card.Backbone
        return self.card.WeightsSHA256 if shared is None else shared.SHA256

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
                # Its threshold was found with features in float32, of this model's size of image.
                "Quantization": None,
                "OutOfDistribution": None,
            }
        )
        return Model(f"{self.name}'s judge", card, self.folder)
