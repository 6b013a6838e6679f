"""Batch normalisation that was folded into the convolutions, unfolded so that it can be trained.

Weights that come from an inference format have it folded: running mean 0, variance 1. Used as
they are they work; trained, the layers would normalise by each batch's own statistics, which no
longer are 0 and 1, and what the network had learnt would be lost in the first step. Measured
statistics are put in and the scale and shift set so that the network computes what it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable


def is_folded(network: nn.Module) -> bool:
    """Tell whether all batch normalisation of a network has mean 0 and variance 1."""
    layers = _layers(network)
    return bool(layers) and all(
        layer.running_mean is not None
        and layer.running_var is not None
        and not layer.running_mean.any()
        and torch.allclose(layer.running_var, torch.ones_like(layer.running_var), atol=2e-3)
        for layer in layers
    )


@torch.no_grad()
def unfold(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give batch normalisation the statistics of real images, leaving the outputs as they are.

    Parameters
    ----------
    network
        Changed in place. Its outputs in evaluation mode stay the same but for rounding.
    batches
        float32 (N, C, H, W) each.
    """
    layers = _layers(network)
    sums = {layer: _Moments() for layer in layers}
    handles = [
        layer.register_forward_pre_hook(lambda module, inputs: sums[module].add(inputs[0]))
        for layer in layers
    ]
    training = network.training
    network.eval()
    try:
        for batch in batches:
            network(batch)
    finally:
        for handle in handles:
            handle.remove()
        network.train(training)
    for layer, moments in sums.items():
        _refit(layer, *moments.mean_and_variance())


def keep_statistics(network: nn.Module) -> None:
    """Have batch normalisation use and keep its running statistics, also in training mode."""
    for layer in _layers(network):
        layer.eval()


class _Moments:
    """First and second moments of each channel, added up in double precision."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = torch.zeros(1, dtype=torch.float64)
        self._squares = torch.zeros(1, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        # Batches are reduced in their own precision, which is fast, and added up in double.
        others = [axis for axis in range(values.ndim) if axis != 1]
        variance, mean = torch.var_mean(values.detach(), dim=others, correction=0)
        mean, variance = mean.double().cpu(), variance.double().cpu()
        count = values.numel() // values.shape[1]
        self._count += count
        self._sum = self._sum + count * mean
        self._squares = self._squares + count * (variance + mean.square())

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = self._sum / self._count
        return mean, (self._squares / self._count - mean.square()).clamp(min=0)


def _layers(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _refit(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Set new statistics and the scale and shift that keep the layer's function."""
    if layer.running_mean is None or layer.running_var is None:
        raise ValueError("batch normalisation without running statistics was never folded")
    slope = layer.weight.double() / (layer.running_var.double() + layer.eps).sqrt()
    shift = layer.bias.double() - layer.running_mean.double() * slope
    mean, variance = mean.to(slope.device), variance.to(slope.device)
    # A channel that is all but constant would get a scale near 0 and never move again.
    variance = torch.maximum(variance, torch.full_like(variance, 1e-3))
    layer.weight.copy_(slope * (variance + layer.eps).sqrt())
    layer.bias.copy_(shift + mean * slope)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)


@torch.no_grad()
def remeasure(
    network: nn.Module, batches: Iterable[Tensor], frozen: Iterable[nn.Module] = ()
) -> None:
    """Replace the running statistics by those of some images, all layers at once.

    Parameters
    ----------
    network
        Changed in place.
    batches
        float32 (N, C, H, W) each; one of a single image has no statistics and is passed over.
    frozen
        Parts of the network that stay as they are.
    """
    frozen = tuple(frozen)
    still = {layer for part in frozen for layer in _layers(part)}
    layers = [layer for layer in _layers(network) if layer not in still]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    training = network.training
    network.train()
    for part in frozen:
        part.eval()
    for layer in layers:
        layer.reset_running_stats()
    count = 0
    for batch in batches:
        if len(batch) > 1:
            count += len(batch)
            for layer in layers:
                layer.momentum = len(batch) / count  # the mean over all images
            network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.train(training)
