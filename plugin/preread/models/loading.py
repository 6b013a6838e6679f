"""A model's files put together: its backbone, which others may share, and what is its own.

What needs no torch is read without it; only building a network imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.models.architectures import (
    backbone_blueprint,
    blueprint,
    head_shapes,
    shapes,
)
from preread.models.card import LARGEST_WEIGHTS, InvalidModelError
from preread.models.weights import (
    NOVELTY_ROOM,
    Arrays,
    Parts,
    check_fit,
    fill,
    largest_file,
    name_of,
    parse_weights,
    read_weights,
    split_arrays,
)

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from preread.models.model import Model


def verify_backbone(model: Model, most: int = LARGEST_WEIGHTS) -> bytes:
    """Read the file that holds a model's backbone, and verify it.

    Parameters
    ----------
    model
        Whose card names the file and its digest.
    most
        Bytes that it may have.

    Returns
    -------
    bytes
        Of the backbone's own file or, without one, of the complete network.

    Raises
    ------
    InvalidModelError
        If it cannot be read, is larger, lies elsewhere than in the folder of models, or is not
        what the card says.
    """
    return read_weights(inside(model, model.backbone), model.backbone_sha256, most)


def read_own(model: Model) -> Parts:
    """Read what a model does not share: its last layer, and what tells images that are unlike.

    Returns
    -------
    Parts
        The last layer's weights fit the card's classes. The backbone is left empty.

    Raises
    ------
    InvalidModelError
        If the file is not what the card says, or its last layer does not fit.
    """
    card = model.card
    expected = head_shapes(card.Architecture, len(card.Classes))
    shared = card.Backbone is not None
    most = largest_file(expected) + NOVELTY_ROOM if shared else LARGEST_WEIGHTS
    data = read_weights(inside(model, model.weights), card.WeightsSHA256, most)
    name = name_of(model.weights)
    parts = split_arrays(parse_weights(data, name), card.Architecture)
    check_fit(parts.head if not shared else parts.head | parts.backbone, expected, name)
    return parts._replace(backbone={})


def load_backbone(model: Model) -> nn.Module:
    """Build the network of a model without its last layer, for use.

    Sizes are known before anything of them is allocated: from the architecture, not the file.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, float32; gives features (N, D).

    Raises
    ------
    InvalidModelError
        If the file is not what the card says, or does not fit the network.
    """
    network = backbone_blueprint(model.card.Architecture)
    fill(network, _backbone_arrays(model, shapes(network)))
    return network.eval()


def load_whole(model: Model) -> nn.Module:
    """Build the whole network of a model from all its files, for use; see `load_backbone`.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, float32; gives logits (N, classes), which no temperature divides.
    """
    card = model.card
    network = blueprint(card.Architecture, len(card.Classes))
    backbone = _backbone_arrays(model, shapes(backbone_blueprint(card.Architecture)))
    return fill(network, backbone | read_own(model).head).eval()


def _backbone_arrays(model: Model, expected: dict[str, tuple[int, ...]]) -> Arrays:
    card = model.card
    most = largest_file(expected)
    if card.Backbone is None:
        most += largest_file(head_shapes(card.Architecture, len(card.Classes))) + NOVELTY_ROOM
    data = verify_backbone(model, most)
    name = name_of(model.backbone)
    arrays = parse_weights(data, name)
    if card.Backbone is None:
        arrays = split_arrays(arrays, card.Architecture).backbone
    check_fit(arrays, expected, name)
    return arrays


def inside(model: Model, path: Path) -> Path:
    """Check that a file of a model lies in the folder of models, and give its path.

    Raises
    ------
    InvalidModelError
        If it does not; a link may lead out.
    """
    root = model.folder.parent.resolve()
    if not path.resolve().is_relative_to(root):
        raise InvalidModelError(f"{name_of(path)}: leads out of the folder of models")
    return path
