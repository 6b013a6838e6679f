"""Which model made a prediction. Pure Python: it is asked where no network is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.models.card import ModelCard
    from preread.models.prediction import Prediction


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
    wanted = (card.Name, card.Dataset.Name, card.Version, card.WeightsSHA256)
    for one in predictions:
        if (one.model, one.dataset, one.version, one.weights_sha256) == wanted:
            return one
    return None
