"""The four networks of the ensemble, whole for any number of classes, or without the last layer.

torch is imported when a network is built, not when this module is.

InceptionV3 (Szegedy and others, 2016) and MobileNetV2 (Sandler and others, 2018) are
torchvision's; ResNet50V2 and ResNet101V2, with pre-activation (He and others, "Identity mappings
in deep residual networks", 2016), are timm's. Their state dictionaries keep the names that those
libraries use, so that a weights file of theirs loads but for its last layer.

Each is a backbone, which ends in the features that pooling leaves of an image, and a last layer
that is linear in them. Several models may share a backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.models.backbones import RECORDS, ArchitectureName

if TYPE_CHECKING:
    from torch import nn


def head_shapes(architecture: ArchitectureName, classes: int) -> dict[str, tuple[int, ...]]:
    """Give the names and shapes of the last layer's weights, without building anything."""
    backbone = RECORDS[architecture]
    pixels = (1, 1) if backbone.head_is_convolution else ()
    name = backbone.head
    return {
        f"{name}.weight": (classes, backbone.width, *pixels),
        f"{name}.bias": (classes,),
    }


def is_of_head(name: str, architecture: ArchitectureName) -> bool:
    """Tell whether a weight of that name belongs to the last layer."""
    return name.startswith(f"{RECORDS[architecture].head}.")


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


def build_backbone(architecture: ArchitectureName) -> nn.Module:
    """Build a network without its last layer, with random weights, in training mode.

    Returns
    -------
    torch.nn.Module
        Takes float32 (N, 3, H, W), gives float32 (N, `Backbone.width`). In training mode the
        features have passed the network's own dropout.
    """
    return without_head(build(architecture, 1), architecture)


def without_head(network: nn.Module, architecture: ArchitectureName) -> nn.Module:
    """Take the last layer off a network, in place, and return the network.

    Its other weights keep their names. What it gives then are features (N, `Backbone.width`),
    and the last layer's weight, as a matrix, times these plus its bias are the logits.
    """
    from torch import nn  # noqa: PLC0415 - as above

    parent, _, name = RECORDS[architecture].head.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
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


def backbone_blueprint(architecture: ArchitectureName) -> nn.Module:
    """Build a network without its last layer whose weights take no memory; see `blueprint`."""
    return without_head(blueprint(architecture, 1), architecture)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Give the names and shapes of a network's weights.

    Counters of batch normalisation are left out: they matter to training alone.
    """
    return {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
