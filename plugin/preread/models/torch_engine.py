"""The reference: torch, eager, float32, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from preread.models.engine import cores
from preread.models.loading import load_backbone

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from preread.models.model import Model

_BATCH: Final = 8


class TorchEngine:
    """Runs backbones as torch does without any compilation.

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

    def key(self, model: Model) -> Hashable:
        """Tell backbones apart by architecture and file; see `Engine.key`."""
        return model.card.Architecture, model.backbone_sha256

    def load(self, model: Model) -> TorchBackbone:
        """Verify a backbone's weights and build it; see `Engine.load`."""
        return TorchBackbone(load_backbone(model), self._format)


class TorchBackbone:
    """A backbone in evaluation mode; see `LoadedBackbone`."""

    engine = TorchEngine.name

    def __init__(self, network: nn.Module, memory_format: torch.memory_format) -> None:
        self._network = network.to(memory_format=memory_format)
        self._format = memory_format

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the features of a batch."""
        with torch.inference_mode():
            images = torch.from_numpy(batch).contiguous(memory_format=self._format)
            found: NDArray[np.float32] = self._network(images).numpy()
            return found
