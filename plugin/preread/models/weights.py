"""Weights in safetensors files: written, verified and read. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors
import safetensors.numpy

from preread.models.architectures import HEADS, blueprint, shapes
from preread.models.card import LARGEST_WEIGHTS, InvalidModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from preread.models.card import ArchitectureName

LARGEST_INT8: Final = 512 * 1024**2
"""Bytes of an 8-bit copy."""

_HEADER_ROOM: Final = 4 * 1024**2  # bytes; names and offsets of a thousand tensors take 0.2 MB
_HALF_LARGEST: Final = float(np.finfo(np.float16).max)


def sha256_of(data: bytes) -> str:
    """Give a SHA-256 as a card states it."""
    return hashlib.sha256(data).hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that another process sees all of it or none."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def weights_bytes(network: nn.Module, *, half: bool) -> bytes:
    """Give a network's weights as the bytes of a safetensors file.

    Parameters
    ----------
    network
        Whose state dictionary is written, without the counters of batch normalisation.
    half
        float16 instead of float32.

    Raises
    ------
    InvalidModelError
        If a weight is not finite, or too large for float16.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        array = tensor.detach().cpu().numpy()
        if not np.isfinite(array).all() or (half and np.abs(array).max() > _HALF_LARGEST):
            raise InvalidModelError(f"weights: {name} is not finite or too large for the file")
        arrays[name] = np.ascontiguousarray(array, dtype=np.float16 if half else np.float32)
    return safetensors.numpy.save(arrays, metadata={"format": "pt"})


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
    name = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InvalidModelError(f"{name}: cannot be read ({error.strerror})") from None
    if len(data) > most:
        raise InvalidModelError(f"{name}: larger than the {most} bytes its network can have")
    if sha256_of(data) != sha256:
        raise InvalidModelError(f"{name}: its SHA-256 is not the one on the card; restore the file")
    return data


def parse_weights(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Take apart the bytes of a safetensors file.

    Raises
    ------
    InvalidModelError
        If it is none, or holds another number type than float16 or float32.
    """
    try:
        arrays: dict[str, NDArray[Any]] = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InvalidModelError(
            f"{name}: not a safetensors file ({type(error).__name__})"
        ) from None
    for key, array in arrays.items():
        if array.dtype not in (np.float16, np.float32):
            raise InvalidModelError(f"{name}: {key[:80]!r}: expected float16 or float32")
    return arrays


def largest_file(expected: Mapping[str, tuple[int, ...]]) -> int:
    """Give the bytes that a file of those float32 weights may have."""
    return 4 * sum(map(math.prod, expected.values())) + _HEADER_ROOM


def load_network(
    path: Path, sha256: str, architecture: ArchitectureName, classes: int
) -> nn.Module:
    """Build a network and give it verified weights, for use.

    Sizes are known before anything of them is allocated: from the architecture, not the file.

    Parameters
    ----------
    path, sha256
        The file and what the card says of it.
    architecture, classes
        What to build.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, float32.

    Raises
    ------
    InvalidModelError
        If the file is not what the card says, or does not fit the network.
    """
    network = blueprint(architecture, classes)
    expected = shapes(network)
    data = read_weights(path, sha256, largest_file(expected))
    name = f"{path.parent.name}/{path.name}"
    arrays = parse_weights(data, name)
    _check_fit(arrays, expected, name)
    _fill(network, arrays)
    return network.eval()


def load_pretrained(network: nn.Module, path: Path, architecture: ArchitectureName) -> str:
    """Give a network the weights of one trained for other classes; its last layer is kept.

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
        key: shape
        for key, shape in shapes(network).items()
        if not key.startswith(HEADS[architecture])
    }
    most = largest_file(expected) + 256 * 1024**2  # the last layer of other classes
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InvalidModelError(f"{path.name}: cannot be read ({error.strerror})") from None
    if len(data) > most:
        raise InvalidModelError(f"{path.name}: larger than the {most} bytes its network can have")
    arrays = {
        key: array
        for key, array in parse_weights(data, path.name).items()
        if not key.startswith(HEADS[architecture])
    }
    _check_fit(arrays, expected, path.name)
    _fill(network, arrays)
    return sha256_of(data)


def _check_fit(
    arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, tuple[int, ...]], name: str
) -> None:
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


def _fill(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    import torch  # noqa: PLC0415 - torch takes seconds; a process that runs without it may import this

    state = network.state_dict()
    for key, tensor in state.items():
        if key in arrays:
            state[key] = torch.from_numpy(arrays[key].astype(np.float32))
        elif tensor.is_meta:
            state[key] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    network.load_state_dict(state, assign=True)
