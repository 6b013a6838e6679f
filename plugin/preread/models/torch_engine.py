"""The reference: torch, eager, float32, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from preread.models.engine import cores, softmax
from preread.models.weights import load_network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from preread.models.catalogue import Model

_BATCH: Final = 8


class TorchEngine:
    """Runs networks as torch does without any compilation.

    Parameters
    ----------
    threads
        For the arithmetic, of the whole process; 0 for all cores.
    channels_last
        Memory layout; faster on CPUs, and equal but for rounding.
    """

    name = "torch"
    batch_hint = _BATCH

    def __init__(self, threads: int = 0, *, channels_last: bool = True) -> None:
        torch.set_num_threads(threads or cores())
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def load(self, model: Model) -> TorchModel:
        """Verify a model's weights and build its network; see `Engine.load`."""
        card = model.card
        network = load_network(
            model.weights, card.WeightsSHA256, card.Architecture, len(card.Classes)
        )
        return TorchModel(network, self._format)


class TorchModel:
    """A network in evaluation mode; see `LoadedModel`."""

    def __init__(self, network: nn.Module, memory_format: torch.memory_format) -> None:
        self._network = network.to(memory_format=memory_format)
        self._format = memory_format

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the probabilities of a batch."""
        with torch.inference_mode():
            images = torch.from_numpy(batch).contiguous(memory_format=self._format)
            return softmax(self._network(images).numpy())
