"""A network of an IODeep instance as it runs: torch on the CPU, in evaluation mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from preread.iodeep.prediction_output import Meaning
from preread.iodeep.torch_network import build
from preread.iodeep.validation import validate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from preread.iodeep.architecture import Limits
    from preread.iodeep.iod import IODeep
    from preread.iodeep.opening import WeightsFolder


class RunningNetwork:
    """A network that is built and has its weights.

    Parameters
    ----------
    network
        What the object says.
    folder
        Where a reference to its weights leads.
    limits
        Of what a network may take; None for the defaults.

    Attributes
    ----------
    architecture
        Of the network.
    meaning
        How its output is read.
    weights_sha256
        Of the bytes of its weights.

    Raises
    ------
    preread.errors.PrereadError
        If it cannot be built, its weights do not fit, or it gives neither masks nor boxes.
    """

    def __init__(self, network: IODeep, folder: WeightsFolder, limits: Limits | None) -> None:
        validated = validate(network, folder, limits)
        self.architecture = validated.architecture
        self.meaning = Meaning(validated.architecture)
        self.weights_sha256 = validated.contents.sha256
        # Sizes are known to fit before anything of them is allocated, and no random weights are
        # drawn for what is replaced at once.
        with torch.device("meta"):
            module = build(validated.architecture)
        module.to_empty(device="cpu")
        arrays = {
            name: torch.from_numpy(array).to(torch.float32)
            for name, array in validated.contents.arrays.items()
        }
        module.load_state_dict(arrays, strict=False)  # but for the counters of training
        self._module = module.eval().to(memory_format=torch.channels_last)

    def __call__(self, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run it on a batch.

        Parameters
        ----------
        tensors
            (N, *input_shape) float32.

        Returns
        -------
        ndarray of float32
            (N, *output_shape).
        """
        with torch.inference_mode():
            output: NDArray[np.float32] = self._module(torch.from_numpy(tensors)).numpy()
        return output
