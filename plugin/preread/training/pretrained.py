"""Weights that a network starts from: a file of one's own, or the library's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from preread.models.card import ArchitectureName
from preread.models.conversion_cache import user_cache
from preread.models.weights import weights_bytes, write_atomically
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

LIBRARY: Final = "library"
"""Instead of a file: the ImageNet weights of torchvision or timm."""

NATIVE_SIZE: Final = {
    ArchitectureName.INCEPTION_V3: 299,
    ArchitectureName.MOBILENET_V2: 224,
    ArchitectureName.RESNET101_V2: 224,
    ArchitectureName.RESNET50_V2: 224,
}
"""Side of the input that a network was published with, in pixels."""

_TIMM: Final = {
    ArchitectureName.RESNET101_V2: "resnetv2_101.a1h_in1k",
    ArchitectureName.RESNET50_V2: "resnetv2_50.a1h_in1k",
}


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
        write_atomically(path, weights_bytes(weights, "float32"))
    return path


def _fetch(architecture: ArchitectureName) -> nn.Module | dict[str, NDArray[Any]]:
    """Have the library fetch its weights, which are read without running what they may hold."""
    if architecture in _TIMM:
        import timm  # noqa: PLC0415 - takes seconds

        network: nn.Module = timm.create_model(_TIMM[architecture], pretrained=True)
        return network
    from torchvision import models  # type: ignore[import-untyped]  # noqa: PLC0415 - takes seconds

    published = {
        ArchitectureName.MOBILENET_V2: models.MobileNet_V2_Weights.IMAGENET1K_V2,
        ArchitectureName.INCEPTION_V3: models.Inception_V3_Weights.IMAGENET1K_V1,
    }[architecture]
    state = published.get_state_dict(weights_only=True, check_hash=True, progress=False)
    # InceptionV3 is published with a second classifier, which is for training from nothing.
    return {
        name: tensor.numpy()
        for name, tensor in state.items()
        if not name.startswith("AuxLogits.") and not name.endswith("num_batches_tracked")
    }
