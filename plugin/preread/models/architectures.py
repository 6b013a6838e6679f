"""The four networks of the ensemble, built for any number of classes.

torch is imported when a network is built, not when this module is.

InceptionV3 (Szegedy and others, 2016) and MobileNetV2 (Sandler and others, 2018) are
torchvision's; ResNet50V2 and ResNet101V2, with pre-activation (He and others, "Identity mappings
in deep residual networks", 2016), are timm's. Their state dictionaries keep the names that those
libraries use, so that a weights file of theirs loads but for its last layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preread.models.card import ArchitectureName

if TYPE_CHECKING:
    from torch import nn

HEADS: Final = {
    ArchitectureName.INCEPTION_V3: "fc",
    ArchitectureName.MOBILENET_V2: "classifier.1",
    ArchitectureName.RESNET101_V2: "head.fc",
    ArchitectureName.RESNET50_V2: "head.fc",
}
"""The last layer, whose shape depends on the number of classes."""


def build(architecture: ArchitectureName, classes: int) -> nn.Module:
    """Build a network with random weights, in training mode.

    Parameters
    ----------
    architecture
        Which.
    classes
        Number of outputs; they are logits.

    Returns
    -------
    torch.nn.Module
        Takes float32 (N, 3, H, W), gives float32 (N, classes).
    """
    # torch takes seconds and hundreds of megabytes; torchvision ships no types.
    import torchvision  # type: ignore[import-untyped]  # noqa: PLC0415

    match architecture:
        case ArchitectureName.INCEPTION_V3:
            network: nn.Module = torchvision.models.inception_v3(
                weights=None, num_classes=classes, aux_logits=False, init_weights=True
            )
        case ArchitectureName.MOBILENET_V2:
            network = torchvision.models.mobilenet_v2(weights=None, num_classes=classes)
        case ArchitectureName.RESNET50_V2:
            network = _resnet_v2("resnetv2_50", classes)
        case ArchitectureName.RESNET101_V2:
            network = _resnet_v2("resnetv2_101", classes)
    return network


def _resnet_v2(name: str, classes: int) -> nn.Module:
    import timm  # noqa: PLC0415 - as above

    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
    return network


def blueprint(architecture: ArchitectureName, classes: int) -> nn.Module:
    """Build a network whose weights have shapes but take no memory (torch's meta device)."""
    import torch  # noqa: PLC0415 - as above

    with torch.device("meta"):
        return build(architecture, classes)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Give the names and shapes of a network's weights.

    Counters of batch normalisation are left out: they matter to training alone.
    """
    return {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
