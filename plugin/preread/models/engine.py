"""What carries out a backbone's arithmetic, behind one interface."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from preread.models.card import InvalidModelError

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from preread.models.model import Model


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


class Engine(Protocol):
    """Loads backbones; has a name that stands in results."""

    @property
    def name(self) -> str:
        """As in the setting ``Preread.Runner.Engine``."""
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


def make_engine(name: str, threads: int = 0, cache: Path | None = None) -> Engine:
    """Make an engine by its name in the settings.

    Parameters
    ----------
    name
        ``torch``, ``openvino`` or ``openvino-int8``.
    threads
        For the arithmetic; 0 for all cores.
    cache
        Folder for networks that were converted; None for the user's own.

    Raises
    ------
    InvalidModelError
        If there is no such engine.
    """
    # Each engine's library is imported only where it is used.
    match name:
        case "torch":
            from preread.models.torch_engine import TorchEngine  # noqa: PLC0415

            return TorchEngine(threads)
        case "openvino":
            from preread.models.openvino_engine import OpenVinoEngine  # noqa: PLC0415

            return OpenVinoEngine(threads, cache)
        case "openvino-int8":
            from preread.models.openvino_engine import OpenVinoInt8Engine  # noqa: PLC0415

            return OpenVinoInt8Engine(threads, cache)
    raise InvalidModelError(
        f"Preread.Runner.Engine: {name[:40]!r}; expected torch, openvino or openvino-int8"
    )
