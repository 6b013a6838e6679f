"""ONNX Runtime: on the CPU, or on a GPU of NVIDIA's where its package for that is installed.

The GPU was not tried: no machine that this is built on has one.
"""

from __future__ import annotations

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

_GPU, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_BATCH: Final = {_GPU: 16, _CPU: 1}


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime, or say which extra brings it.

    Raises
    ------
    InvalidModelError
        If it is not installed.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - an extra
    except ImportError:
        raise InvalidModelError(
            "Preread.Models.Engine: onnxruntime is not installed; install preread with its extra "
            "`onnxruntime`, or the package onnxruntime-gpu"
        ) from None
    return onnxruntime  # type: ignore[no-any-return]  # onnxruntime has no types


class OnnxRuntimeEngine:
    """Runs networks that are ONNX, on a GPU where ONNX Runtime finds one it can use.

    Parameters
    ----------
    threads
        Of the CPU; 0 for all cores.

    Raises
    ------
    InvalidModelError
        If ONNX Runtime is not installed.
    """

    name = "onnxruntime"

    def __init__(self, threads: int = 0) -> None:
        self._runtime = import_onnxruntime()
        self._threads = threads or cores()
        there = self._runtime.get_available_providers()
        self._providers = [one for one in (_GPU, _CPU) if one in there]

    @property
    def batch_hint(self) -> int:
        """How many images at once are fastest."""
        return _BATCH[self._providers[0]]

    def key(self, model: Model) -> Hashable:
        """Tell networks apart by architecture and file; see `Engine.key`."""
        return model.card.Architecture, model.backbone_sha256

    def load(self, model: Model) -> OnnxRuntimeBackbone:
        """Verify the file of a network and make it ready; see `Engine.load`."""
        name = name_of(model.backbone)
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3  # errors
        data = read_network(model)
        try:
            session = self._runtime.InferenceSession(data, options, providers=self._providers)
        except Exception as error:  # its classes are not public  # noqa: BLE001
            raise InvalidModelError(
                f"{name}: ONNX Runtime cannot run it ({type(error).__name__})"
            ) from None
        shapes = {one.name: one.shape for one in session.get_outputs()}
        width = RECORDS[model.card.Architecture].width
        if [shapes.get(one, [])[1:2] for one in (FEATURES, MAP)] != [[width], [width]]:
            raise InvalidModelError(
                f"{name}: gives {shapes}, expected {FEATURES!r} and {MAP!r} of {width} each; make "
                "it with `preread models convert` or `preread train`"
            )
        return OnnxRuntimeBackbone(session)


class OnnxRuntimeBackbone:
    """A network that is ready; see `LoadedBackbone`."""

    engine = OnnxRuntimeEngine.name

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the features of a batch."""
        return self._asked(batch, FEATURES)

    def maps(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the last feature maps of a batch."""
        return self._asked(batch, MAP)

    def _asked(self, batch: NDArray[np.float32], output: str) -> NDArray[np.float32]:
        given = np.ascontiguousarray(batch, dtype=np.float32)
        found: NDArray[np.float32] = self._session.run([output], {self._input: given})[0]
        return found
