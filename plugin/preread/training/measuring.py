"""What a network says of the images of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from preread.training.network import outputs_of, placed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from preread.training.data_set import DataSet
    from preread.training.network import Network

_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean over the sets of log-loss (in nats) and of the share of images that are right."""

    log_loss: float
    accuracy: float


def labels_of(data: DataSet) -> Tensor:
    """Give labels as int64 (N, sets), -1 where an image is not in a set."""
    return torch.from_numpy(np.stack([one.labels for one in data.sets], axis=1))


def batch_of(data: DataSet, part: NDArray[np.int64]) -> Tensor:
    """Give images as one float32 tensor (N, C, H, W); C is 1 where all of them are grey."""
    images = [torch.from_numpy(data.images[index]) for index in part]
    channels = max(image.shape[0] for image in images)
    return torch.stack([image.expand(channels, -1, -1) for image in images])


def batches_of(data: DataSet, part: NDArray[np.int64], size: int) -> Iterator[Tensor]:
    """Give images in batches (N, 3, H, W) of at most `size`, in order."""
    for start in range(0, len(part), size):
        yield batch_of(data, part[start : start + size]).expand(-1, 3, -1, -1)


@torch.no_grad()
def features_of(
    backbone: nn.Module, data: DataSet, part: NDArray[np.int64], device: torch.device
) -> Tensor:
    """Give a backbone's features of some of the images, float32 (N, D), on the device.

    They are not of torch's inference mode, so that a layer can be fitted on them.
    """
    backbone.eval()
    rows = [backbone(placed(batch, device)).float() for batch in batches_of(data, part, _BATCH)]
    return torch.cat(rows)


@torch.inference_mode()
def logits_of_features(head: nn.Linear, features: Tensor) -> Tensor:
    """Give the last layer's logits, float32 (N, outputs), on the CPU."""
    logits: Tensor = head(features)
    return logits.cpu()


def logits_of(
    network: Network, data: DataSet, part: NDArray[np.int64], device: torch.device
) -> Tensor:
    """Give a network's logits for some of the images, float32 (N, outputs), on the CPU."""
    network.eval()
    return logits_of_features(network.head, features_of(network.backbone, data, part, device))


def measure(logits: Tensor, data: DataSet, part: NDArray[np.int64]) -> Measured:
    """Measure logits against the labels of every set."""
    labels = labels_of(data)[torch.from_numpy(part)]
    losses, accuracies = [], []
    for number, outputs in enumerate(outputs_of(data.sets)):
        inside = labels[:, number] >= 0
        if not inside.any():
            continue
        told, true = logits[inside, outputs], labels[inside, number]
        losses.append(float(functional.cross_entropy(told, true)))
        accuracies.append(float((told.argmax(dim=1) == true).float().mean()))
    return Measured(float(np.mean(losses)), float(np.mean(accuracies)))
