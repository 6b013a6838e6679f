"""The reference: torch, eager, float32, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from preread.models.backbones import RECORDS
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
    """Runs networks as torch does without any compilation, of weights read back from ONNX.

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
        """Verify the file of a network and build it; see `Engine.load`."""
        layer = RECORDS[model.card.Architecture].last_features
        return TorchBackbone(load_backbone(model), layer, self._format)


class TorchBackbone:
    """A network in evaluation mode; see `LoadedBackbone`."""

    engine = TorchEngine.name

    def __init__(self, network: nn.Module, layer: str, memory_format: torch.memory_format) -> None:
        self._network = network.to(memory_format=memory_format)
        self._layer = network.get_submodule(layer)
        self._format = memory_format

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the features of a batch."""
        with torch.inference_mode():
            images = torch.from_numpy(batch).contiguous(memory_format=self._format)
            found: NDArray[np.float32] = self._network(images).numpy()
            return found

    def maps(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the last feature maps of a batch."""
        seen: list[Any] = []
        handle = self._layer.register_forward_hook(lambda _m, _i, given: seen.append(given))
        try:
            self.features(batch)
        finally:
            handle.remove()
        found: NDArray[np.float32] = seen[0].contiguous().numpy()
        return found
