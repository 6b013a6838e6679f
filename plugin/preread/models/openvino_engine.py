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
import structlog

from preread.models.architectures import features_width
from preread.models.card import InvalidModelError
from preread.models.conversion_cache import ConversionCache, user_cache
from preread.models.engine import cores
from preread.models.loading import inside, load_backbone, verify_backbone
from preread.models.weights import LARGEST_INT8, name_of, read_weights

if TYPE_CHECKING:
    from collections.abc import Hashable
    from types import ModuleType

    from numpy.typing import NDArray
    from torch import nn

    from preread.models.model import Model

INT8_GRAPH: Final = "int8.xml"
INT8_CONSTANTS: Final = "int8.bin"

_log = structlog.get_logger(__name__)


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
    """Runs backbones in float32.

    Parameters
    ----------
    threads
        0 for all cores.
    cache
        Folder for converted backbones; None for the user's own cache.
    """

    name = "openvino"
    batch_hint = 1

    def __init__(self, threads: int = 0, cache: Path | None = None) -> None:
        self._openvino = import_openvino()
        self._threads = threads or cores()
        self._cache = ConversionCache(cache or user_cache() / "openvino")

    def key(self, model: Model) -> Hashable:
        """Tell backbones apart by architecture, file and size of image; see `Engine.key`."""
        card = model.card
        return card.Architecture, model.backbone_sha256, card.Preprocessing.size

    def load(self, model: Model) -> OpenVinoBackbone:
        """Verify a backbone's weights and compile it; see `Engine.load`.

        torch is imported only if the converted backbone is not in the cache.
        """
        card = model.card
        verify_backbone(model)
        height, width = card.Preprocessing.size
        version = self._openvino.get_version().split("-")[0]
        key = (
            f"{card.Architecture.value}-features-{height}x{width}-{model.backbone_sha256}-{version}"
        )

        def make() -> tuple[bytes, bytes]:
            return ir_bytes(convert(load_backbone(model), height, width))

        graph, constants = self._cache.get(key, make)
        network = read_ir(graph, constants, model.name)
        return OpenVinoBackbone(network, self._threads, self.name)


class OpenVinoInt8Engine:
    """Runs the 8-bit copy of a backbone, where there is one; else the backbone in float32.

    The copy lies beside the backbone that several models share, and is named after it; that of a
    model with a complete network lies beside its card.

    Parameters
    ----------
    threads
        0 for all cores.
    cache
        Folder for converted backbones; None for the user's own cache.
    """

    name = "openvino-int8"
    batch_hint = 1

    def __init__(self, threads: int = 0, cache: Path | None = None) -> None:
        self._float32 = OpenVinoEngine(threads, cache)
        self._threads = threads or cores()

    def key(self, model: Model) -> Hashable:
        """Tell copies apart by their digests; see `Engine.key`."""
        facts = model.card.Quantization
        if facts is None:
            return self._float32.key(model)
        card = model.card
        return card.Architecture, facts.ModelSHA256, facts.WeightsSHA256, card.Preprocessing.size

    def load(self, model: Model) -> OpenVinoBackbone:
        """Verify the 8-bit copy and compile it; see `Engine.load`."""
        facts = model.card.Quantization
        if facts is None:
            _log.warning(
                "a model without an 8-bit copy runs in float32",
                model=model.name,
                engine=self._float32.name,
            )
            return self._float32.load(model)
        places = int8_files(model)
        graph = read_weights(inside(model, places[0]), facts.ModelSHA256, LARGEST_INT8)
        constants = read_weights(inside(model, places[1]), facts.WeightsSHA256, LARGEST_INT8)
        network = read_ir(graph, constants, model.name)
        _check_shapes(network, model, name_of(places[0]))
        return OpenVinoBackbone(network, self._threads, self.name)


def int8_files(model: Model) -> tuple[Path, Path]:
    """Give where the graph and the constants of a model's 8-bit copy lie."""
    if model.card.Backbone is None:
        return model.folder / INT8_GRAPH, model.folder / INT8_CONSTANTS
    backbone = model.backbone
    return backbone.with_suffix(f".{INT8_GRAPH}"), backbone.with_suffix(f".{INT8_CONSTANTS}")


def _check_shapes(network: Any, model: Model, name: str) -> None:
    card = model.card
    expected = (
        [[1, *card.Preprocessing.shape]],
        [[1, features_width(card.Architecture)]],
    )
    found = tuple(
        [
            [axis.get_length() if axis.is_static else -1 for axis in port.partial_shape]
            for port in at
        ]
        for at in (network.inputs, network.outputs)
    )
    if found != expected:
        raise InvalidModelError(
            f"{name}: makes {found[1]} of {found[0]}, expected the features {expected[1]} of "
            f"{expected[0]}; make it again with `preread train --int8`"
        )


class OpenVinoBackbone:
    """A compiled backbone for one image at a time; see `LoadedBackbone`.

    Parameters
    ----------
    network
        As `convert` or `read_ir` give it.
    threads
        Above 0.
    engine
        What it is called in results.
    """

    def __init__(self, network: Any, threads: int, engine: str = OpenVinoEngine.name) -> None:
        openvino = import_openvino()
        self.engine = engine
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

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the features of a batch."""
        rows = [self._row(image[np.newaxis]) for image in np.ascontiguousarray(batch)]
        return np.concatenate(rows)

    def _row(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
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
