"""Whether all numbers of an ONNX file lie in the file itself.

ONNX lets a tensor name another file, and OpenVINO follows that below the folder that the process
was started in. The card's digest covers one file, so whatever names another is refused, before an
engine sees it. Only the few messages that can hold a tensor are walked, by protobuf's wire format:
a node need not have the package onnx for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preread.models.card import InvalidModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEEPEST: Final = 32
"""Messages within messages; a network of ours has four."""
_LONGEST_VARINT: Final = 10
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5

_MODEL: Final = "model"
_TENSOR: Final = "tensor"
_WITHIN: Final[Mapping[str, Mapping[int, str]]] = {
    _MODEL: {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: _TENSOR,
        6: "graph",
        10: _TENSOR,
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
"""By message and field: the messages on the way to a tensor."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def check_one_file(data: bytes, name: str) -> None:
    """Refuse a network that has numbers in another file.

    Parameters
    ----------
    data
        ONNX.
    name
        What errors call the file.

    Raises
    ------
    InvalidModelError
        If it has, or is no ONNX file.
    """
    view = memoryview(data)
    waiting: list[tuple[str, int, int, int]] = [(_MODEL, 0, len(view), 0)]
    graphs = 0
    while waiting:
        message, start, end, depth = waiting.pop()
        if depth > _DEEPEST:
            raise InvalidModelError(f"{name}: not an ONNX file (nested more than {_DEEPEST} deep)")
        for field, at, until in _fields(view, start, end, name):
            if message == _TENSOR and _is_elsewhere(field, at, until):
                raise InvalidModelError(
                    f"{name}: a tensor of it lies in another file; expected all in one"
                )
            inner = _WITHIN[message].get(field)
            if inner is not None and at < until:
                graphs += inner == "graph"
                waiting.append((inner, at, until, depth + 1))
    if not graphs:
        raise InvalidModelError(f"{name}: not an ONNX file (it has no graph)")


def _is_elsewhere(field: int, at: int, until: int) -> bool:
    """Tell whether a tensor's field names another file; `at` is the value of a number."""
    return field == _EXTERNAL_DATA or (field == _DATA_LOCATION and (until >= 0 or at != 0))


def _fields(view: memoryview, start: int, end: int, name: str) -> Iterator[tuple[int, int, int]]:
    """Give a message's fields: number, and where the value lies; of a number its value and -1."""
    at = start
    while at < end:
        key, at = _varint(view, at, end, name)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(view, at, end, name)
            yield field, value, -1
            continue
        if kind == _BYTES:
            length, at = _varint(view, at, end, name)
        elif kind in (_FOUR, _EIGHT):
            length = 4 if kind == _FOUR else 8
        else:
            raise InvalidModelError(f"{name}: not an ONNX file (wire type {kind})")
        if length > end - at:
            raise InvalidModelError(f"{name}: not an ONNX file (it ends too early)")
        if kind == _BYTES:
            yield field, at, at + length
        at += length


def _varint(view: memoryview, at: int, end: int, name: str) -> tuple[int, int]:
    value = 0
    for turn in range(_LONGEST_VARINT):
        if at >= end:
            raise InvalidModelError(f"{name}: not an ONNX file (it ends too early)")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << (7 * turn)
        if byte < 0x80:
            return value, at
    raise InvalidModelError(f"{name}: not an ONNX file (a number is too long)")
