"""Weights that a network starts from: a file of one's own, or the library's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from preread.models.backbones import RECORDS
from preread.models.card import CARD, ArchitectureName, read_card
from preread.models.weights import weights_bytes, write_atomically
from preread.training.errors import TrainingError
from preread.training.request import BACKBONES
from preread.training.split_file import split_digest
from preread.user_cache import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import nn

LIBRARY: Final = "library"
"""Instead of a file: the ImageNet weights of torchvision or timm."""

_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)
"""Of ImageNet's colours in 0..1, which torchvision takes off before its MobileNetV2."""


def pretrained_file(given: str | None, architecture: ArchitectureName) -> Path | None:
    """Find the file of weights that `--pretrained` names, fetching the library's once.

    Parameters
    ----------
    given
        None, a path, or `LIBRARY`.
    architecture
        For the library's.

    Raises
    ------
    TrainingError
        If there is no such file, or the library's weights cannot be fetched.
    """
    if given is None:
        return None
    if given != LIBRARY:
        path = Path(given)
        if not path.is_file():
            raise TrainingError(
                f"--pretrained {path.name}: no such file; expected one, or {LIBRARY!r}"
            )
        return path
    path = user_cache() / "pretrained" / f"{architecture.value}.safetensors"
    if not path.is_file():
        try:
            weights = _fetch(architecture)
        except Exception as error:  # noqa: BLE001 - each library fails in its own ways without a network
            raise TrainingError(
                f"--pretrained {LIBRARY}: the weights of {architecture.value} cannot be fetched "
                f"({type(error).__name__}); give a file instead"
            ) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, weights_bytes(weights))
    return path


def check_same_split(path: Path, split_sha256: str) -> None:
    """Refuse weights that were trained on another split, as far as that is told beside them.

    It is told by a split's file, by the card of a model in the same folder, and by the cards of the
    models that share a backbone.

    Parameters
    ----------
    path
        The weights.
    split_sha256
        Of the split that a network is trained on from there.

    Raises
    ------
    TrainingError
        If one of them tells of another split, or a card of none.
    preread.models.card.InvalidModelError
        If a card cannot be used.
    """
    for name, told in _splits_beside(path.resolve()):
        if told != split_sha256:
            raise TrainingError(
                f"--pretrained {path.name}: {name} tells of another split, so that it may have "
                "seen what this network is measured on; train it on the same split, or keep "
                "weights that saw none of these images in a folder of their own"
            )


def _splits_beside(path: Path) -> Iterator[tuple[str, str | None]]:
    """Give the SHA-256 of each split that is told beside a file, with what tells it."""
    for split in (path.with_name("split.csv"), path.with_name(f"{path.stem}.split.csv")):
        if split.is_file():
            yield split.name, split_digest(split)
    if (path.parent / CARD).is_file():
        yield f"{path.parent.name}/{CARD}", read_card(path.parent).Training.SplitSHA256
    if path.parent.name == BACKBONES:
        for place in sorted(path.parent.parent.glob(f"*/{CARD}")):
            card = read_card(place.parent)
            if card.Backbone.File == f"{BACKBONES}/{path.name}":
                yield f"{place.parent.name}/{CARD}", card.Training.SplitSHA256


def _fetch(architecture: ArchitectureName) -> nn.Module | dict[str, NDArray[Any]]:
    """Have the library fetch its weights, which are read without running what they may hold."""
    name = RECORDS[architecture].published
    if name:
        import timm  # noqa: PLC0415 - takes seconds

        network: nn.Module = timm.create_model(name, pretrained=True)
        return network
    from torchvision import models  # type: ignore[import-untyped]  # noqa: PLC0415 - takes seconds

    published = {
        ArchitectureName.MOBILENET_V2: models.MobileNet_V2_Weights.IMAGENET1K_V2,
        ArchitectureName.INCEPTION_V3: models.Inception_V3_Weights.IMAGENET1K_V1,
    }[architecture]
    state = published.get_state_dict(weights_only=True, check_hash=True, progress=False)
    # InceptionV3 is published with a second classifier, which is for training from nothing.
    arrays = {
        name: tensor.numpy()
        for name, tensor in state.items()
        if not name.startswith("AuxLogits.") and not name.endswith("num_batches_tracked")
    }
    if architecture is ArchitectureName.MOBILENET_V2:
        return with_own_range(arrays, "features.0.0.weight", "features.0.1.running_mean")
    return arrays  # InceptionV3 was published for images in -1..1


def with_own_range(
    arrays: Mapping[str, NDArray[Any]], kernel: str, mean: str
) -> dict[str, NDArray[Any]]:
    """Make weights for images less ImageNet's mean colour weights for images in -1..1.

    The first convolution takes over the scale of each colour, and the mean of the batch
    normalisation behind it the shift: the same but at the border, where a convolution sees zeros
    that now mean another grey.

    Parameters
    ----------
    arrays
        All weights.
    kernel, mean
        Names of the first convolution's kernel (N, 3, H, W), which has no bias, and of the mean
        (N,) that is taken off its output.
    """
    scale = 0.5 / np.array(_STD)
    shift = (0.5 - np.array(_MEAN)) / np.array(_STD)
    old = arrays[kernel].astype(np.float64)
    constant = np.einsum("nchw,c->n", old, shift)
    return {
        **arrays,
        kernel: (old * scale[:, None, None]).astype(np.float32),
        mean: (arrays[mean] - constant).astype(np.float32),
    }
