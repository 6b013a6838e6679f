"""Making an engine by its name; each one's library is imported only where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.models.card import InvalidModelError

if TYPE_CHECKING:
    from preread.models.engine import Engine


def make_engine(name: str, threads: int = 0) -> Engine:
    """Make an engine by its name in the settings.

    Parameters
    ----------
    name
        ``openvino``, ``onnxruntime`` or ``torch``.
    threads
        For the arithmetic; 0 for all cores.

    Raises
    ------
    InvalidModelError
        If there is no such engine, or its library is not installed.
    """
    match name:
        case "openvino":
            from preread.models.openvino_engine import OpenVinoEngine  # noqa: PLC0415

            return OpenVinoEngine(threads)
        case "onnxruntime":
            from preread.models.onnxruntime_engine import OnnxRuntimeEngine  # noqa: PLC0415

            return OnnxRuntimeEngine(threads)
        case "torch":
            try:
                from preread.models.torch_engine import TorchEngine  # noqa: PLC0415
            except ImportError:
                raise InvalidModelError(
                    "Preread.Models.Engine: torch is not installed; install preread with its "
                    "extra `torch`"
                ) from None
            return TorchEngine(threads)
    raise InvalidModelError(
        f"Preread.Models.Engine: {name[:40]!r}; expected openvino, onnxruntime or torch"
    )
