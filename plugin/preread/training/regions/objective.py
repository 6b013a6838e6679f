"""What a network that draws regions is fitted to: cross entropy of each pixel, and Dice."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_SMOOTH: Final = 1.0  # pixels; without it a batch without lesions would have no Dice
_LEAST: Final = 1e-6


def as_logits(outputs: Tensor, *, probabilities: bool) -> Tensor:
    """Give what a network put out as logits, if it puts out probabilities."""
    return torch.logit(outputs.clamp(_LEAST, 1 - _LEAST)) if probabilities else outputs


def region_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Give the mean binary cross entropy plus 1 - Dice of the batch.

    The cross entropy says where each pixel is wrong; the Dice coefficient, of all pixels of the
    batch together, does not depend on how many pixels are no lesion (Milletari and others,
    "V-Net", 2016).

    Parameters
    ----------
    logits, truth
        Of the same shape; truth from 0 to 1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    found = torch.sigmoid(logits)
    shared, both = (found * truth).sum(), found.sum() + truth.sum()
    return entropy + 1 - (2 * shared + _SMOOTH) / (both + _SMOOTH)
