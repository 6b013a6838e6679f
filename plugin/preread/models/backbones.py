"""What is known of each network of the ensemble: one record for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ArchitectureName(StrEnum):
    """The networks that can be built."""

    INCEPTION_V3 = "InceptionV3"
    MOBILENET_V2 = "MobileNetV2"
    RESNET101_V2 = "ResNet101V2"
    RESNET50_V2 = "ResNet50V2"


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network but for what it learnt.

    Attributes
    ----------
    head
        Name of the last layer, whose shape depends on the number of classes.
    head_is_convolution
        Whether that is a convolution of 1 by 1 pixels, as in timm's networks.
    last_features
        The module whose output is averaged over the image just before the last layer.
    width
        Number of features that it makes of an image.
    epsilon
        What its batch normalisation adds to variances.
    smallest_side
        Pixels: below this it has nothing left to pool.
    native_side
        Side of the images that it was published with, in pixels.
    published
        What timm calls its published weights; empty for torchvision's networks.
    """

    head: str
    head_is_convolution: bool
    last_features: str
    width: int
    epsilon: float
    smallest_side: int
    native_side: int
    published: str


def _resnet(published: str) -> Backbone:
    return Backbone("head.fc", True, "norm", 2048, 1e-5, 32, 224, published)


RECORDS: Final = {
    ArchitectureName.INCEPTION_V3: Backbone("fc", False, "Mixed_7c", 2048, 1e-3, 75, 299, ""),
    ArchitectureName.MOBILENET_V2: Backbone(
        "classifier.1", False, "features.18", 1280, 1e-5, 32, 224, ""
    ),
    ArchitectureName.RESNET101_V2: _resnet("resnetv2_101.a1h_in1k"),
    ArchitectureName.RESNET50_V2: _resnet("resnetv2_50.a1h_in1k"),
}
