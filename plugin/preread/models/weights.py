"""Weights in safetensors files: written, verified and read. Nothing is ever unpickled.

A file holds a whole network, or a backbone that several models share, or what a model has besides
one: its last layer. Tensors named ``novelty.*`` belong to no network; they tell images unlike the
training data. Float32 is written. Float16 is read too, and 8-bit whole numbers, as older files have
them: such a tensor has a companion ``<name>.scale`` of float32, one number for each output channel
(the first axis), by which it is multiplied.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from preread.models.architectures import is_of_head, shapes
from preread.models.card import LARGEST_WEIGHTS, InvalidModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from preread.models.card import ArchitectureName

Arrays = dict[str, "NDArray[Any]"]

NOVELTY: Final = "novelty."
"""How the names of tensors begin that belong to no network."""
SCALE: Final = ".scale"
"""What the name of an 8-bit tensor's companion ends in."""

_HEADER_ROOM: Final = 4 * 1024**2  # bytes; names and offsets of a thousand tensors take 0.2 MB
NOVELTY_ROOM: Final = 32 * 1024**2
"""Bytes that ``novelty.*`` may take in a file."""


class Parts(NamedTuple):
    """What a file of weights holds, set apart.

    Attributes
    ----------
    backbone, head
        The last layer and all that is before it, by the names of the state dictionary.
    novelty
        What belongs to no network.
    """

    backbone: Arrays
    head: Arrays
    novelty: Arrays


def sha256_of(data: bytes) -> str:
    """Give a SHA-256 as a card states it."""
    return hashlib.sha256(data).hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that all of it is there or none, to another process and after a power cut."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            # The new name may reach the disk before the content does.
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def split_state(network: nn.Module, architecture: ArchitectureName) -> tuple[Arrays, Arrays]:
    """Take a whole network's weights apart, as float32.

    Returns
    -------
    tuple of dict
        Those of the backbone and those of the last layer, without the counters of batch
        normalisation.
    """
    parts = split_arrays(_state_of(network), architecture)
    return parts.backbone, parts.head


def split_arrays(arrays: Mapping[str, NDArray[Any]], architecture: ArchitectureName) -> Parts:
    """Set apart what a file holds, by its names."""
    parts = Parts({}, {}, {})
    for name, array in arrays.items():
        if name.startswith(NOVELTY):
            parts.novelty[name] = array
        elif is_of_head(name, architecture):
            parts.head[name] = array
        else:
            parts.backbone[name] = array
    return parts


def weights_bytes(weights: nn.Module | Mapping[str, NDArray[Any]]) -> bytes:
    """Give weights as the bytes of a safetensors file of float32.

    Parameters
    ----------
    weights
        A network, whose state dictionary is written without the counters of batch normalisation;
        or arrays by name. Those named ``novelty.*`` keep their own number type.

    Raises
    ------
    InvalidModelError
        If a weight is not finite.
    """
    arrays: Arrays = {}
    given = weights if isinstance(weights, Mapping) else _state_of(weights)
    for name, array in given.items():
        if not np.isfinite(array).all():
            raise InvalidModelError(f"weights: {name} is not finite")
        kind = array.dtype if name.startswith(NOVELTY) else np.float32
        arrays[name] = np.ascontiguousarray(array, dtype=kind)
    return safetensors.numpy.save(arrays, metadata={"format": "pt"})


def _state_of(network: nn.Module) -> Arrays:
    return {
        name: np.asarray(tensor.detach().cpu().numpy(), dtype=np.float32)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def read_weights(path: Path, sha256: str, most: int = LARGEST_WEIGHTS) -> bytes:
    """Read a file of weights and verify it.

    Parameters
    ----------
    path
        The file.
    sha256
        What the card says of it.
    most
        Bytes that it may have.

    Raises
    ------
    InvalidModelError
        If it cannot be read, is larger, or is not what the card says.
    """
    name = name_of(path)
    data = _bounded(path, name, most)
    if sha256_of(data) != sha256:
        raise InvalidModelError(f"{name}: its SHA-256 is not the one on the card; restore the file")
    return data


def _bounded(path: Path, name: str, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InvalidModelError(f"{name}: cannot be read ({error.strerror})") from None
    if len(data) > most:
        raise InvalidModelError(f"{name}: larger than the {most} bytes its network can have")
    return data


def name_of(path: Path) -> str:
    """Give what a file is called in errors: its name and its folder's."""
    return f"{path.parent.name}/{path.name}"


def parse_weights(data: bytes, name: str) -> Arrays:
    """Take apart the bytes of a safetensors file.

    Returns
    -------
    dict of str to ndarray
        float16 or float32, as in the file; what it holds in 8 bits becomes float32.

    Raises
    ------
    InvalidModelError
        If it is none, holds another number type than float16, float32 or int8, or an 8-bit tensor
        without a fitting scale.
    """
    try:
        arrays: Arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InvalidModelError(
            f"{name}: not a safetensors file ({type(error).__name__})"
        ) from None
    for key, array in arrays.items():
        if array.dtype not in (np.float16, np.float32, np.int8):
            raise InvalidModelError(f"{name}: {key[:80]!r}: expected float16, float32 or int8")
    for key in sorted(key for key, array in arrays.items() if array.dtype == np.int8):
        arrays[key] = _dequantised(
            arrays[key], arrays.pop(key + SCALE, None), f"{name}: {key[:80]}"
        )
    return arrays


def _dequantised(
    whole: NDArray[np.int8], scale: NDArray[Any] | None, name: str
) -> NDArray[np.float32]:
    if scale is None:
        raise InvalidModelError(f"{name}: 8-bit numbers without their {SCALE}")
    if scale.dtype != np.float32 or whole.ndim < 2 or scale.shape != whole.shape[:1]:
        raise InvalidModelError(
            f"{name}{SCALE}: {scale.dtype} of shape {scale.shape}, expected float32 of shape "
            f"{whole.shape[:1]} for a tensor of two dimensions or more"
        )
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise InvalidModelError(f"{name}{SCALE}: expected finite numbers above 0")
    real: NDArray[np.float32] = whole * scale.reshape(-1, *[1] * (whole.ndim - 1))
    return real


def largest_file(expected: Mapping[str, tuple[int, ...]]) -> int:
    """Give the bytes that a file of those float32 weights may have."""
    return 4 * sum(map(math.prod, expected.values())) + _HEADER_ROOM


def check_fit(
    arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, tuple[int, ...]], name: str
) -> None:
    """Check that arrays are the weights of a network.

    Raises
    ------
    InvalidModelError
        If one is missing, strange, of another shape, or holds numbers that are not finite.
    """
    missing, strange = expected.keys() - arrays.keys(), arrays.keys() - expected.keys()
    if missing:
        raise InvalidModelError(f"{name}: {min(missing)} is missing ({len(missing)} in all)")
    if strange:
        raise InvalidModelError(f"{name}: {min(strange)[:80]!r} is no weight of this network")
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise InvalidModelError(f"{name}: {key}: shape {arrays[key].shape}, expected {shape}")
        if not np.isfinite(arrays[key]).all():
            raise InvalidModelError(f"{name}: {key}: holds numbers that are not finite")


def load_pretrained(network: nn.Module, path: Path, architecture: ArchitectureName) -> str:
    """Give a network the weights of one trained for other classes; its last layer is kept.

    Parameters
    ----------
    network
        In place.
    path
        A complete network of any number of classes, or a backbone alone, in safetensors or ONNX.
    architecture
        Of both.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    InvalidModelError
        If the file cannot be read or does not fit the network.
    """
    expected = {
        key: shape for key, shape in shapes(network).items() if not is_of_head(key, architecture)
    }
    most = largest_file(expected) + 256 * 1024**2  # the last layer of other classes
    data = _bounded(path, path.name, most)
    if path.suffix == ".onnx":
        # torch's extra brings what reads ONNX.
        from preread.models.onnx_weights import arrays_of  # noqa: PLC0415

        arrays = arrays_of(data, architecture, path.name)
    else:
        arrays = split_arrays(parse_weights(data, path.name), architecture).backbone
    check_fit(arrays, expected, path.name)
    fill(network, arrays)
    return sha256_of(data)


def fill(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Give a network weights that fit it, in float32, in place; return it."""
    import torch  # noqa: PLC0415 - torch takes seconds; a process that runs without it may import this

    state = network.state_dict()
    for key, tensor in state.items():
        if key in arrays:
            state[key] = torch.from_numpy(arrays[key].astype(np.float32))
        elif tensor.is_meta:
            state[key] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    network.load_state_dict(state, assign=True)
    return network
