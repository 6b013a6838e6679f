"""From a backbone's features to what a model says: its last layer, in double precision.

The same numbers for every engine: engines differ in how they come by the features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from preread.models.backbones import RECORDS
from preread.models.card import InvalidModelError
from preread.models.loading import read_own
from preread.models.novelty import Novelty
from preread.models.weights import name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from preread.models.model import Model


class Answer(NamedTuple):
    """What a model says of a batch.

    Attributes
    ----------
    probabilities
        (N, classes), 0..1, each row of sum 1.
    novelty
        (N,), how far each image lies from the training images (`Novelty.score`); None for a model
        whose card has no threshold for it.
    """

    probabilities: NDArray[np.float64]
    novelty: NDArray[np.float64] | None = None


class Head:
    """The last layer of a model.

    Parameters
    ----------
    weight
        (classes, D), or with two further dimensions of 1.
    bias
        (classes,).
    temperature
        By which logits are divided (Guo and others, "On calibration of modern neural networks",
        2017).
    novelty
        What tells images unlike the training data, if the model can.
    """

    def __init__(
        self,
        weight: NDArray[Any],
        bias: NDArray[Any],
        temperature: float = 1.0,
        novelty: Novelty | None = None,
    ) -> None:
        self._weight = weight.reshape(len(weight), -1).astype(np.float64) / temperature
        self._bias = bias.astype(np.float64) / temperature
        self._novelty = novelty

    @classmethod
    def of(cls, model: Model) -> Head:
        """Read a model's last layer, its temperature, and what tells unlike images.

        Raises
        ------
        InvalidModelError
            If its file is not what the card says, does not fit, or lacks what the card's
            threshold is for.
        """
        card = model.card
        own = read_own(model)
        name = RECORDS[card.Architecture].head
        weight, bias = own.head[f"{name}.weight"], own.head[f"{name}.bias"]
        novelty = None
        if card.OutOfDistribution is not None:
            novelty = Novelty.from_arrays(own.novelty, name_of(model.weights))
            width = RECORDS[model.judge.card.Architecture].width
            if novelty.width != width:
                raise InvalidModelError(
                    f"{name_of(model.weights)}: novelty.mean: {novelty.width} features, "
                    f"expected {width}"
                )
        temperature = 1.0 if card.Calibration is None else card.Calibration.Temperature
        return cls(weight, bias, temperature, novelty)

    def weights_of(self, target: int) -> NDArray[np.float64]:
        """Give what each feature counts for a class: (D,)."""
        row: NDArray[np.float64] = self._weight[target]
        return row

    def answer(
        self, features: NDArray[np.float32], judged: NDArray[np.float32] | None = None
    ) -> Answer:
        """Say what the model says of images.

        Parameters
        ----------
        features
            (N, D), what its backbone makes of them.
        judged
            (N, D'), what its judge's backbone makes of them; None where it judges itself.

        Raises
        ------
        InvalidModelError
            If a feature is not finite, or there are more or fewer of them.
        """
        scores = (
            None
            if self._novelty is None
            else self._novelty.score(features if judged is None else judged)
        )
        return Answer(self.probabilities(features), scores)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the probabilities (N, classes) of images by their features (N, D).

        Raises
        ------
        InvalidModelError
            If a feature is not finite, or there are more or fewer of them.
        """
        if features.ndim != 2 or features.shape[1] != self._weight.shape[1]:
            raise InvalidModelError(
                f"the backbone gave features of shape {features.shape}, expected "
                f"{self._weight.shape[1]} for each image"
            )
        if not np.isfinite(features).all():
            raise InvalidModelError(
                "the network's features are not finite; its weights are unusable"
            )
        return softmax(features.astype(np.float64) @ self._weight.T + self._bias)


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Turn logits (N, classes) into probabilities, in double precision.

    Raises
    ------
    InvalidModelError
        If a logit is not finite.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]], dtype=np.float32)).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    if not np.isfinite(logits).all():
        raise InvalidModelError("the network's output is not finite; its weights are unusable")
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    total: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return total
