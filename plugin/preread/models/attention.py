"""What a network looked at: Grad-CAM (Selvaraju and others, 2017) of its last feature map.

torch and captum are imported when the first map is asked for: a runner that nobody asks for one
never loads them for this.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.models.card import ArchitectureName, InvalidModelError
from preread.models.engine import cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import nn

    from preread.models.model import Model

LAST_FEATURES: Final = {
    ArchitectureName.INCEPTION_V3: "Mixed_7c",
    ArchitectureName.MOBILENET_V2: "features.18",
    ArchitectureName.RESNET101_V2: "norm",
    ArchitectureName.RESNET50_V2: "norm",
}
"""The module whose output is averaged over the image just before the last layer."""

_KEPT: Final = 4  # networks; the largest takes 170 MB


def _whole_network(model: Model) -> nn.Module:
    """Put a model's network together; the one place that knows how."""
    from preread.models.loading import load_whole  # noqa: PLC0415 - see the module's docstring

    return load_whole(model)


class Attention:
    """Networks that are asked what they looked at, loaded when they are. For one thread.

    Parameters
    ----------
    load
        Gives a model's whole network, verified, in evaluation mode.
    kept
        How many networks stay loaded; the one that was asked longest ago goes first.
    threads
        For the arithmetic, of the whole process; 0 for all cores. Set with the first network.
    """

    def __init__(
        self,
        load: Callable[[Model], nn.Module] = _whole_network,
        kept: int = _KEPT,
        threads: int = 0,
    ) -> None:
        self._load = load
        self._kept = kept
        self._threads: int | None = threads or cores()
        self._networks: OrderedDict[str, nn.Module] = OrderedDict()

    def map(self, model: Model, image: NDArray[np.float32], target: int) -> NDArray[np.float32]:
        """Tell which parts of an image speak for a class.

        Parameters
        ----------
        model
            Which.
        image
            float32 (C, H, W), as `preread.imaging.prepare` makes it for the model's card.
        target
            Index of the class on the card.

        Returns
        -------
        ndarray of float32
            (h, w) of the last feature map, evenly over the input: 0 where nothing speaks for the
            class, 1 where most does. All 0 if nothing does anywhere.

        Raises
        ------
        preread.models.card.InvalidModelError
            If the model's files are not what its card says, or its numbers are not finite.
        """
        return grad_cam(self._network(model), LAST_FEATURES[model.card.Architecture], image, target)

    def _network(self, model: Model) -> nn.Module:
        if model.name not in self._networks:
            self._set_threads()
            while len(self._networks) >= self._kept:
                self._networks.popitem(last=False)
            # Gradients are wanted of the feature map alone, and those of weights take memory.
            self._networks[model.name] = self._load(model).requires_grad_(requires_grad=False)
        self._networks.move_to_end(model.name)
        return self._networks[model.name]

    def _set_threads(self) -> None:
        if self._threads is not None:
            import torch  # noqa: PLC0415 - see the module's docstring

            torch.set_num_threads(self._threads)
            self._threads = None


def grad_cam(
    network: nn.Module, layer: str, image: NDArray[np.float32], target: int
) -> NDArray[np.float32]:
    """Weigh a layer's feature maps by their mean gradients for one class, and add them up.

    Parameters
    ----------
    network
        In evaluation mode; gives logits.
    layer
        Name of the module.
    image
        float32 (C, H, W).
    target
        Index of the logit.

    Returns
    -------
    ndarray of float32
        (h, w), 0..1, as `Attention.map`.

    Raises
    ------
    preread.models.card.InvalidModelError
        If the result is not finite.
    """
    import torch  # noqa: PLC0415 - see the module's docstring
    from captum.attr import LayerGradCam  # noqa: PLC0415 - as torch

    images = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)[np.newaxis])
    method = LayerGradCam(network, network.get_submodule(layer))
    weighed = method.attribute(images, target=target, relu_attributions=True)
    found: NDArray[np.float64] = weighed.detach()[0, 0].numpy().astype(np.float64)
    if not np.isfinite(found).all():
        raise InvalidModelError("the network's gradients are not finite; its weights are unusable")
    highest = found.max()
    relative = found / highest if highest > 0 else found
    return relative.astype(np.float32)
