"""OpenVINO on the CPU: float32, equal to torch but for rounding, and 8 bits.

One image at a time over all cores, which on CPUs is faster than batches.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from preread.models.card import InvalidModelError
from preread.models.conversion_cache import ConversionCache, user_cache
from preread.models.engine import cores, softmax
from preread.models.weights import LARGEST_INT8, load_network, read_weights, sha256_of

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray
    from torch import nn

    from preread.models.catalogue import Model

INT8_GRAPH: Final = "int8.xml"
INT8_CONSTANTS: Final = "int8.bin"


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
    """Runs networks in float32.

    Parameters
    ----------
    threads
        0 for all cores.
    cache
        Folder for converted networks; None for the user's own cache.
    """

    name = "openvino"
    batch_hint = 1

    def __init__(self, threads: int = 0, cache: Path | None = None) -> None:
        self._openvino = import_openvino()
        self._threads = threads or cores()
        self._cache = ConversionCache(cache or user_cache() / "openvino")

    def load(self, model: Model) -> OpenVinoModel:
        """Verify a model's weights and compile its network; see `Engine.load`.

        torch is imported only if the converted network is not in the cache.
        """
        card = model.card
        data = read_weights(model.weights, card.WeightsSHA256)
        height, width = card.Preprocessing.size
        version = self._openvino.get_version().split("-")[0]
        key = (
            f"{card.Architecture.value}-{len(card.Classes)}-{height}x{width}-"
            f"{sha256_of(data)}-{version}"
        )

        def make() -> tuple[bytes, bytes]:
            network = load_network(
                model.weights, card.WeightsSHA256, card.Architecture, len(card.Classes)
            )
            return ir_bytes(convert(network, height, width))

        graph, constants = self._cache.get(key, make)
        return OpenVinoModel(read_ir(graph, constants, model.name), self._threads)


class OpenVinoInt8Engine:
    """Runs the 8-bit copy of a network that `preread train --int8` put beside its card.

    Parameters
    ----------
    threads
        0 for all cores.
    """

    name = "openvino-int8"
    batch_hint = 1

    def __init__(self, threads: int = 0) -> None:
        import_openvino()
        self._threads = threads or cores()

    def load(self, model: Model) -> OpenVinoModel:
        """Verify the 8-bit copy and compile it; see `Engine.load`."""
        facts = model.card.Quantization
        if facts is None:
            raise InvalidModelError(
                f"{model.name}/card.json: Quantization: missing, the model has no 8-bit copy; "
                'train it with --int8 or set Preread.Runner.Engine to "openvino"'
            )
        graph = read_weights(model.folder / INT8_GRAPH, facts.ModelSHA256, LARGEST_INT8)
        constants = read_weights(model.folder / INT8_CONSTANTS, facts.WeightsSHA256, LARGEST_INT8)
        return OpenVinoModel(read_ir(graph, constants, model.name), self._threads)


class OpenVinoModel:
    """A compiled network for one image at a time; see `LoadedModel`."""

    def __init__(self, network: Any, threads: int) -> None:
        openvino = import_openvino()
        compiled = openvino.Core().compile_model(
            network,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                # Without it OpenVINO takes bfloat16 where the processor has it, and is not equal.
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
            },
        )
        self._request = compiled.create_infer_request()
        self._output = compiled.output(0)

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the probabilities of a batch."""
        rows = [self._logits(image[np.newaxis]) for image in np.ascontiguousarray(batch)]
        return softmax(np.concatenate(rows))

    def _logits(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        found = self._request.infer({0: image}, share_inputs=True)
        return np.array(found[self._output], dtype=np.float32)


def convert(network: nn.Module, height: int, width: int) -> Any:
    """Convert a network in evaluation mode for batches of one image."""
    openvino = import_openvino()
    import torch  # noqa: PLC0415 - only where something must be converted

    example = torch.zeros(1, 3, height, width)
    with warnings.catch_warnings():
        # torch tells whoever traces to export instead; OpenVINO will when it can.
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(network.eval(), example_input=example)
    converted.reshape([1, 3, height, width])
    return converted


def ir_bytes(network: Any) -> tuple[bytes, bytes]:
    """Give OpenVINO's graph (XML) and constants of a network, in the precision it has."""
    openvino = import_openvino()
    with tempfile.TemporaryDirectory(prefix="preread-") as folder:
        graph = Path(folder) / "network.xml"
        openvino.save_model(network, graph, compress_to_fp16=False)
        return graph.read_bytes(), graph.with_suffix(".bin").read_bytes()


def read_ir(graph: bytes, constants: bytes, name: str) -> Any:
    """Read a graph and its constants, whose digests were verified.

    Raises
    ------
    InvalidModelError
        If OpenVINO cannot read them.
    """
    openvino = import_openvino()
    try:
        return openvino.Core().read_model(graph, constants)
    except RuntimeError:
        raise InvalidModelError(
            f"{name}: this version of OpenVINO cannot read the converted network"
        ) from None
