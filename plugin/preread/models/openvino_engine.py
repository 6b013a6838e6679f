"""OpenVINO on the CPU: ONNX as it lies there, in 8 bits where it was rounded for that.

One image at a time over all cores, which on CPUs is faster than batches.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from preread.models.backbones import RECORDS
from preread.models.card import InvalidModelError
from preread.models.engine import FEATURES, MAP, cores
from preread.models.loading import read_network
from preread.models.weights import name_of

if TYPE_CHECKING:
    from collections.abc import Hashable
    from types import ModuleType

    from numpy.typing import NDArray

    from preread.models.model import Model

_EXPECTED: Final = "make it with `preread models convert` or `preread train`"


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which reports each import to its maker.

    A node that holds patients' images reports to nobody. An entry of None in `sys.modules` makes
    an import fail, and OpenVINO and NNCF then use a stub of their own.

    Matrix tiles (AMX) are left alone unless ``ONEDNN_MAX_CPU_ISA`` is set: there are virtual
    machines whose processor announces them and whose host does not let them be used, and there
    8-bit networks end the process with an illegal instruction. float32 does not use them.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # see above
    import openvino  # noqa: PLC0415 - only after the line above

    return openvino  # type: ignore[no-any-return]  # openvino has no types


class OpenVinoEngine:
    """Runs networks that are ONNX; what is not rounded in it, in float32.

    Parameters
    ----------
    threads
        0 for all cores.
    """

    name = "openvino"
    batch_hint = 1

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads or cores()

    def key(self, model: Model) -> Hashable:
        """Tell networks apart by architecture, file and size of image; see `Engine.key`."""
        card = model.card
        return card.Architecture, model.backbone_sha256, card.Preprocessing.size

    def load(self, model: Model) -> OpenVinoBackbone:
        """Verify the file of a network and compile it; see `Engine.load`."""
        network = read_onnx(
            read_network(model), model.card.Preprocessing.shape, name_of(model.backbone)
        )
        width = network.output(FEATURES).partial_shape[1]
        expected = RECORDS[model.card.Architecture].width
        if width.is_dynamic or width.get_length() != expected:
            raise InvalidModelError(
                f"{name_of(model.backbone)}: gives {width} features, expected {expected} of a "
                f"{model.card.Architecture}; {_EXPECTED}"
            )
        return OpenVinoBackbone(network, self._threads)


def read_onnx(data: bytes, shape: tuple[int, ...], name: str) -> Any:
    """Read ONNX for one image at a time.

    Parameters
    ----------
    data
        ONNX, whose digest was verified.
    shape
        (C, H, W) of an image.
    name
        What errors call the file.

    Returns
    -------
    openvino.Model
        With the outputs `FEATURES`, (1, D), and `MAP`, (1, D, h, w).

    Raises
    ------
    InvalidModelError
        If OpenVINO cannot read it, or it does not take such images or gives something else.
    """
    openvino = import_openvino()
    try:
        network = openvino.Core().read_model(data, b"")
        network.reshape([1, *shape])
        outputs = [network.output(one).partial_shape for one in (FEATURES, MAP)]
    except (RuntimeError, TypeError):
        raise InvalidModelError(
            f"{name}: OpenVINO cannot run it as a network that takes images of {shape} and gives "
            f"{FEATURES!r} and {MAP!r}; {_EXPECTED}"
        ) from None
    if [len(one) for one in outputs] != [2, 4] or outputs[0][1] != outputs[1][1]:
        raise InvalidModelError(
            f"{name}: gives {outputs}, expected features and a map of as many; {_EXPECTED}"
        )
    return network


class OpenVinoBackbone:
    """A compiled network for one image at a time; see `LoadedBackbone`.

    Parameters
    ----------
    network
        As `read_onnx` gives it.
    threads
        Above 0.
    """

    engine = OpenVinoEngine.name

    def __init__(self, network: Any, threads: int) -> None:
        openvino = import_openvino()
        compiled = openvino.Core().compile_model(
            network,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                # Without it OpenVINO takes bfloat16 where the processor has it, and is not equal.
                # What was rounded to 8 bits computes in 8 bits all the same.
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
            },
        )
        self._request = compiled.create_infer_request()
        self._features, self._map = compiled.output(FEATURES), compiled.output(MAP)

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the features of a batch."""
        return self._asked(batch, self._features)

    def maps(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the last feature maps of a batch."""
        return self._asked(batch, self._map)

    def _asked(self, batch: NDArray[np.float32], output: Any) -> NDArray[np.float32]:
        rows = []
        for image in np.ascontiguousarray(batch, dtype=np.float32):
            self._request.infer({0: image[np.newaxis]}, share_inputs=True, share_outputs=True)
            rows.append(np.array(self._request.get_tensor(output).data, dtype=np.float32))
        return np.concatenate(rows)
