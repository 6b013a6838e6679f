"""What carries out a backbone's arithmetic, behind one interface."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    from numpy.typing import NDArray

    from preread.models.model import Model


FEATURES: Final = "features"
MAP: Final = "map"
"""The outputs of a network in ONNX: (N, D), and (N, D, h, w) of which those are the mean."""


class LoadedBackbone(Protocol):
    """A backbone that is ready; used from one thread at a time."""

    @property
    def engine(self) -> str:
        """Name of the engine that does the arithmetic, as it stands in results."""
        ...

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the features of a batch.

        Parameters
        ----------
        batch
            float32 (N, C, H, W), as `preread.imaging.prepare` makes it; N is 1 or more.

        Returns
        -------
        ndarray of float32
            (N, D), what pooling leaves of each image.
        """
        ...

    def maps(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give what pooling takes the mean of: the last feature maps of a batch.

        Returns
        -------
        ndarray of float32
            (N, D, h, w), evenly over the images.
        """
        ...


class Engine(Protocol):
    """Loads backbones; has a name that stands in results."""

    @property
    def name(self) -> str:
        """As in the setting ``Preread.Models.Engine``."""
        ...

    @property
    def batch_hint(self) -> int:
        """How many images at once are fastest."""
        ...

    def key(self, model: Model) -> Hashable:
        """Give what two models have in common when `load` gives the same for both."""
        ...

    def load(self, model: Model) -> LoadedBackbone:
        """Verify the file of a model's backbone and make it ready.

        Raises
        ------
        preread.models.card.InvalidModelError
            If a file is not what the card says, or the engine cannot run the backbone.
        """
        ...


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
