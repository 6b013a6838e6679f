"""A network in training: a backbone, and one linear layer with the classes of all sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from preread.models.architectures import build_backbone, head_shapes
from preread.models.backbones import RECORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from preread.models.card import ArchitectureName
    from preread.training.data_set import LabelSet


def outputs_of(sets: Sequence[LabelSet]) -> tuple[slice, ...]:
    """Tell which outputs are the classes of which set.

    Examples
    --------
    >>> import numpy as np
    >>> from preread.training.data_set import LabelSet
    >>> none = np.zeros(0, dtype=np.int64)
    >>> outputs_of([LabelSet("a", ("x", "y"), none), LabelSet("b", ("p", "q", "r"), none)])
    (slice(0, 2, None), slice(2, 5, None))
    """
    ends = np.cumsum([len(one.classes) for one in sets]).tolist()
    return tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))


class Network(nn.Module):
    """A backbone and its last layer.

    Parameters
    ----------
    architecture
        Of the backbone, which starts with random weights.
    outputs
        Classes of all sets together.
    """

    def __init__(self, architecture: ArchitectureName, outputs: int) -> None:
        super().__init__()
        self.backbone = build_backbone(architecture)
        self.head = nn.Linear(RECORDS[architecture].width, outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits (N, outputs) for float32 (N, 3, H, W)."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def blocks_of(backbone: nn.Module) -> tuple[nn.Module, ...]:
    """Give the blocks that a backbone is made of, in the order in which images pass them.

    They are the blocks of MobileNetV2, the stages of a ResNet, and the modules of InceptionV3.
    """
    inner = getattr(backbone, "features", None)
    if isinstance(inner, nn.Sequential):
        return tuple(inner)
    blocks: list[nn.Module] = []
    for child in backbone.children():
        stages = isinstance(child, nn.Sequential) and any(list(one.children()) for one in child)
        blocks += list(child) if stages and isinstance(child, nn.Sequential) else [child]
    return tuple(blocks)


def head_arrays(
    network: Network, outputs: slice, architecture: ArchitectureName
) -> dict[str, NDArray[np.float32]]:
    """Give the part of the last layer that belongs to one set, as the whole network names it."""
    rows = (network.head.weight[outputs], network.head.bias[outputs])
    classes = outputs.stop - outputs.start
    return {
        name: row.detach().cpu().numpy().astype(np.float32).reshape(shape)
        for (name, shape), row in zip(head_shapes(architecture, classes).items(), rows, strict=True)
    }


def placed(batch: Tensor, device: torch.device) -> Tensor:
    """Bring images to a device, in the memory layout that convolutions are fastest in."""
    return batch.to(device, memory_format=torch.channels_last)
