"""What the engines are called in settings and on the command line."""

from __future__ import annotations

from enum import StrEnum


class EngineName(StrEnum):
    """What carries out the networks' arithmetic."""

    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    TORCH = "torch"
