"""What a network looked at: its class activation map (Zhou and others, 2016).

Where the last layer is linear in the mean of the last feature map, as in these networks, that is
what Grad-CAM (Selvaraju and others, 2017) gives, and it needs no gradients.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.models.card import InvalidModelError
from preread.models.choosing import make_engine
from preread.models.head import Head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from preread.models.engine import Engine, LoadedBackbone
    from preread.models.model import Model

_KEPT: Final = 4  # networks; the largest takes 170 MB


class Attention:
    """Networks that are asked what they looked at, loaded when they are. For one thread.

    Parameters
    ----------
    engine
        An engine, or its name in the settings; made when the first map is asked for.
    threads
        For the arithmetic, when `engine` is a name; 0 for all cores.
    kept
        How many networks stay loaded; the one that was asked longest ago goes first.
    """

    def __init__(self, engine: Engine | str, threads: int = 0, kept: int = _KEPT) -> None:
        self._engine = engine
        self._threads = threads
        self._kept = kept
        self._networks: OrderedDict[str, tuple[LoadedBackbone, Head]] = OrderedDict()

    def map(self, model: Model, image: NDArray[np.float32], target: int) -> NDArray[np.float32]:
        """Tell which parts of an image speak for a class.

        Parameters
        ----------
        model
            Which.
        image
            float32 (C, H, W), as `preread.imaging.prepare` makes it for the model's card.
        target
            Index of the class on the card.

        Returns
        -------
        ndarray of float32
            (h, w) of the last feature map, evenly over the input: 0 where nothing speaks for the
            class, 1 where most does. All 0 if nothing does anywhere.

        Raises
        ------
        preread.models.card.InvalidModelError
            If the model's files are not what its card says, or its numbers are not finite.
        """
        backbone, head = self._network(model)
        return class_activation(backbone.maps(image[np.newaxis])[0], head.weights_of(target))

    def _network(self, model: Model) -> tuple[LoadedBackbone, Head]:
        if model.name not in self._networks:
            if isinstance(self._engine, str):
                self._engine = make_engine(self._engine, self._threads)
            while len(self._networks) >= self._kept:
                self._networks.popitem(last=False)
            self._networks[model.name] = (self._engine.load(model), Head.of(model))
        self._networks.move_to_end(model.name)
        return self._networks[model.name]


def class_activation(
    features: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weigh the last feature maps by what each counts for a class, and add them up.

    Parameters
    ----------
    features
        (D, h, w).
    weights
        (D,), a row of the last layer.

    Returns
    -------
    ndarray of float32
        (h, w), 0..1, as `Attention.map`.

    Raises
    ------
    preread.models.card.InvalidModelError
        If the result is not finite.
    """
    found = np.maximum(np.tensordot(weights, features.astype(np.float64), 1), 0)
    if not np.isfinite(found).all():
        raise InvalidModelError("the network's features are not finite; its weights are unusable")
    highest = found.max()
    relative = found / highest if highest > 0 else found
    return relative.astype(np.float32)
