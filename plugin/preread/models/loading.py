"""A model's files put together: its network, which others may share, and what is its own.

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
from preread.models.one_file import check_one_file
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


def read_network(model: Model, most: int = LARGEST_WEIGHTS) -> bytes:
    """Read the file of a model's network, and verify it.

    Parameters
    ----------
    model
        Whose card names the file and its digest.
    most
        Bytes that it may have.

    Returns
    -------
    bytes
        ONNX.

    Raises
    ------
    InvalidModelError
        If it cannot be read, is larger, lies elsewhere than in the folder of models, is not what
        the card says, or has numbers in another file.
    """
    data = read_weights(inside(model, model.backbone), model.backbone_sha256, most)
    check_one_file(data, name_of(model.backbone))
    return data


def read_own(model: Model) -> Parts:
    """Read what a model does not share: its last layer, and what tells images that are unlike.

    Returns
    -------
    Parts
        The last layer's weights fit the card's classes. The backbone is empty.

    Raises
    ------
    InvalidModelError
        If the file is not what the card says, or its last layer does not fit.
    """
    card = model.card
    expected = head_shapes(card.Architecture, len(card.Classes))
    most = largest_file(expected) + NOVELTY_ROOM
    data = read_weights(inside(model, model.weights), card.WeightsSHA256, most)
    name = name_of(model.weights)
    parts = split_arrays(parse_weights(data, name), card.Architecture)
    check_fit(parts.head | parts.backbone, expected, name)
    return parts


def load_backbone(model: Model) -> nn.Module:
    """Build the network of a model without its last layer, for use with torch.

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
    fill(network, backbone_arrays(model, shapes(network)))
    return network.eval()


def load_whole(model: Model) -> nn.Module:
    """Build the whole network of a model from all its files, for use; see `load_backbone`.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, float32; gives logits (N, classes), which no temperature divides.
    """
    return fill(
        blueprint(model.card.Architecture, len(model.card.Classes)), whole_arrays(model)
    ).eval()


def whole_arrays(model: Model) -> Arrays:
    """Give all weights of a model in float32, by the names of its network in torch.

    Raises
    ------
    InvalidModelError
        As `load_backbone`.
    """
    expected = shapes(backbone_blueprint(model.card.Architecture))
    return backbone_arrays(model, expected) | read_own(model).head


def backbone_arrays(model: Model, expected: dict[str, tuple[int, ...]]) -> Arrays:
    """Give the weights of a model's network but for the last layer; see `whole_arrays`.

    Parameters
    ----------
    expected
        Names and shapes, as `preread.models.architectures.shapes` gives them.
    """
    # torch's extra brings what reads ONNX.
    from preread.models.onnx_weights import arrays_of  # noqa: PLC0415

    data = read_network(model, largest_file(expected))
    name = name_of(model.backbone)
    arrays = arrays_of(data, model.card.Architecture, name)
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
