"""Light random changes of a batch, drawn from a seeded generator."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

ROTATION: Final = 10.0  # degrees, either way
SCALE: Final = 0.1
SHIFT: Final = 0.06  # of half the image's side
CONTRAST: Final = 0.15
BRIGHTNESS: Final = 0.1  # of the range from black to white
NOISE: Final = 0.02  # standard deviation, of the same range

DESCRIPTION: Final = (
    f"horizontal flip of a half of them, rotation to {ROTATION:g} degrees, scale to {SCALE:.0%}, "
    f"shift to {SHIFT / 2:.0%} of the side, contrast to {CONTRAST:.0%}, brightness to "
    f"{BRIGHTNESS:.0%}, Gaussian noise to {NOISE:.0%}"
)


def augment(
    batch: Tensor, black: float, white: float, random: torch.Generator, strength: float = 1.0
) -> Tensor:
    """Change each image of a batch a little, each by its own draw.

    Parameters
    ----------
    batch
        float32 (N, C, H, W), prepared for a network.
    black, white
        What the preprocessing makes of them; what is moved in from outside is black.
    random
        Where the draws come from.
    strength
        Factor of all changes, and of how often an image is flipped.

    Returns
    -------
    torch.Tensor
        Of the same shape, between `black` and `white`.
    """
    # Sampling pads with zeros, so black is brought to zero first.
    level = (batch - black) / (white - black)
    level = moved(level, draw_places(level, random, strength))
    return lit(level, random, strength) * (white - black) + black


def draw_places(batch: Tensor, random: torch.Generator, strength: float = 1.0) -> Tensor:
    """Draw for each image of a batch from where its pixels are taken: (N, H, W, 2)."""
    count = len(batch)
    angle = _draw(count, random, math.radians(ROTATION), strength)
    scale = 1 + _draw(count, random, SCALE, strength)
    flip = torch.where(torch.rand(count, generator=random) < 0.5 * strength, -1.0, 1.0)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = (
        torch.stack((cosine * flip, -sine, _draw(count, random, SHIFT, strength)), dim=1),
        torch.stack((sine * flip, cosine, _draw(count, random, SHIFT, strength)), dim=1),
    )
    return functional.affine_grid(torch.stack(rows, dim=1), list(batch.shape), align_corners=False)


def moved(batch: Tensor, places: Tensor) -> Tensor:
    """Take pixels from the places that `draw_places` gave; what comes from outside is 0."""
    return functional.grid_sample(batch, places, align_corners=False)


def lit(level: Tensor, random: torch.Generator, strength: float = 1.0) -> Tensor:
    """Change contrast, brightness and noise of a batch between 0 (black) and 1 (white)."""
    count = len(level)
    contrast = 1 + _draw(count, random, CONTRAST, strength)
    brightness = _draw(count, random, BRIGHTNESS, strength)
    level = level * contrast.view(-1, 1, 1, 1) + brightness.view(-1, 1, 1, 1)
    noise = torch.randn(count, 1, *level.shape[2:], generator=random)
    level = level + noise * _draw(count, random, NOISE, strength).abs().view(-1, 1, 1, 1)
    return level.clamp(0, 1)


def _draw(count: int, random: torch.Generator, width: float, strength: float) -> Tensor:
    return (torch.rand(count, generator=random) * 2 - 1) * width * strength
