"""A deeper residual network that begins as a trained shallower one.

ResNet101V2 is ResNet50V2 with more blocks in its third stage. With pre-activation a block adds to
what passes it, so that blocks whose last convolution is zero change nothing: the deeper network
begins as the function that the shallower one has learnt, and is fitted from there (function
preserving growth, as in Chen, Goodfellow and Shlens, "Net2Net", 2016).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import torch

from preread.models.card import ArchitectureName
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from torch import nn

GROWS_INTO: Final = {ArchitectureName.RESNET50_V2: ArchitectureName.RESNET101_V2}
"""From the shallower to the deeper network."""

_LAST_CONVOLUTION: Final = re.compile(r"stages\.\d+\.blocks\.\d+\.conv3\.weight")


@torch.no_grad()
def grow(shallow: nn.Module, deep: nn.Module) -> int:
    """Make a deeper network compute what a shallower one does.

    Parameters
    ----------
    shallow, deep
        Backbones; see `GROWS_INTO`. `deep` is changed in place.

    Returns
    -------
    int
        How many blocks were added.

    Raises
    ------
    TrainingError
        If the one is not a shallower form of the other.
    """
    known, wanted = shallow.state_dict(), deep.state_dict()
    if not known.keys() < wanted.keys() or any(
        known[name].shape != wanted[name].shape for name in known
    ):
        raise TrainingError(
            "grown from: expected a network of which this is a deeper form: "
            + ", ".join(f"{deeper} from {one}" for one, deeper in GROWS_INTO.items())
        )
    added = 0
    for name, tensor in wanted.items():
        if name in known:
            tensor.copy_(known[name])
        elif _LAST_CONVOLUTION.fullmatch(name):
            tensor.zero_()
            added += 1
    return added
