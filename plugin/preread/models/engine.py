"""What carries out a network's arithmetic, behind one interface."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from preread.models.card import InvalidModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.models.catalogue import Model


class LoadedModel(Protocol):
    """A network that is ready; used from one thread at a time."""

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the probabilities of a batch.

        Parameters
        ----------
        batch
            float32 (N, C, H, W), as `preread.imaging.prepare` makes it; N is 1 or more.

        Returns
        -------
        ndarray of float64
            (N, classes), 0..1, each row of sum 1.
        """
        ...


class Engine(Protocol):
    """Loads models; has a name that stands in results."""

    @property
    def name(self) -> str:
        """As in the setting ``Preread.Runner.Engine``."""
        ...

    @property
    def batch_hint(self) -> int:
        """How many images at once are fastest."""
        ...

    def load(self, model: Model) -> LoadedModel:
        """Verify a model's files and make it ready.

        Raises
        ------
        preread.models.card.InvalidModelError
            If a file is not what the card says, or the engine cannot run the model.
        """
        ...


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
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

            return OpenVinoInt8Engine(threads)
    raise InvalidModelError(
        f"Preread.Runner.Engine: {name[:40]!r}; expected torch, openvino or openvino-int8"
    )
