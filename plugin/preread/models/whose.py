"""Which model made a prediction. Pure Python: it is asked where no network is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from preread.findings.prediction import Prediction
    from preread.models.card import ModelCard
    from preread.models.model import Model


def prediction_of(card: ModelCard, predictions: Sequence[Prediction]) -> Prediction | None:
    """Find what a model, with the weights that it has now, said of an image.

    Parameters
    ----------
    card
        The model's card. Two models may share a name, and a model may have got other weights
        since: name, data set, version and weights must be the same.
    predictions
        Those of the image.
    """
    network = card.Backbone.SHA256
    wanted = (card.Name, card.Dataset.Name, card.Version, card.WeightsSHA256, network)
    for one in predictions:
        files = (one.weights_sha256, one.backbone_sha256)
        if (one.model, one.dataset, one.version, *files) == wanted:
            return one
    return None


def withheld_by(models: Iterable[Model], predictions: Sequence[Prediction]) -> dict[str, str]:
    """Tell why models gave an image no class, by the names of their folders.

    Parameters
    ----------
    models
        Those that are here; one that gave a class, or has not read the image, is left out.
    predictions
        Those of the image.
    """
    found = {model.name: prediction_of(model.card, predictions) for model in models}
    return {name: one.withheld for name, one in found.items() if one is not None and one.withheld}
