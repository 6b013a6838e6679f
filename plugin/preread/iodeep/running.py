"""A network of an IODeep instance as it runs: OpenVINO on the CPU, in float32."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from preread.iodeep.openvino_network import build
from preread.iodeep.prediction_output import Meaning
from preread.iodeep.validation import validate
from preread.models.engine import cores
from preread.models.openvino_engine import import_openvino

if TYPE_CHECKING:
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
    threads
        For the arithmetic; 0 for all cores.

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

    def __init__(
        self, network: IODeep, folder: WeightsFolder, limits: Limits | None, threads: int = 0
    ) -> None:
        # Sizes are known to fit before anything of them is allocated.
        validated = validate(network, folder, limits)
        self.architecture = validated.architecture
        self.meaning = Meaning(validated.architecture)
        self.weights_sha256 = validated.contents.sha256
        core = import_openvino().Core()
        self._compiled = core.compile_model(
            build(validated.architecture, validated.contents.arrays),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                # Without it OpenVINO takes bfloat16 where the processor has it.
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": threads or cores(),
                "NUM_STREAMS": 1,
            },
        )
        self._request = self._compiled.create_infer_request()
        self._output = self._compiled.output(0)
        self._lock = threading.Lock()

    def __call__(self, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run it on a batch; safe to use by threads, of which one runs it at a time.

        Parameters
        ----------
        tensors
            (N, *input_shape) float32.

        Returns
        -------
        ndarray of float32
            (N, *output_shape).
        """
        with self._lock:
            found = self._request.infer({0: np.ascontiguousarray(tensors)}, share_inputs=True)
            return np.array(found[self._output], dtype=np.float32)

    def rest(self) -> None:
        """Give back the memory that batches took on their way; the next one takes it anew."""
        with self._lock:
            self._compiled.release_memory()
