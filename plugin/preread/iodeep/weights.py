"""The value of DnnWeights, and the numbers that it stands for.

It is ``sha256:`` and a hash, or a relative path, of a file in the models folder; or base64 of
safetensors; or, in the prototype's files, base64 of ``torch.save``. Nothing else is taken: no
pickle, no address on a network, no path out of the folder.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np
import safetensors
import safetensors.numpy

from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.torch_saved import is_torch_saved, torch_arrays

if TYPE_CHECKING:
    from preread.models.weights import Arrays

LARGEST_INSIDE: Final = 100 * 1000**2
"""Bytes of weights that are read from within an object."""
LARGEST_WRITTEN: Final = 4 * 1000**2
"""Bytes of weights that are written into one: WADO-RS repeats them with the metadata."""

_ATTRIBUTE: Final = "DnnWeights"
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|\\\\")
_PATH: Final = re.compile(r"(?:\w[\w.-]{0,127}/){0,4}\w[\w.-]{0,127}", flags=re.ASCII)
_SUFFIXES: Final = (".safetensors", ".pth", ".pt")
_LONGEST_REFERENCE: Final = 1024
_LARGEST_HEADER: Final = 4 * 1000**2
_EXPECTED: Final = (
    "expected sha256: and 64 hexadecimal digits, a relative path in the models folder that ends in "
    f"{', '.join(_SUFFIXES)}, or base64 of safetensors"
)


@dataclass(frozen=True, slots=True)
class HashOfFile:
    """A file of the models folder, by the SHA-256 of its content in hexadecimal digits."""

    sha256: str

    def __post_init__(self) -> None:
        if not _HASH.fullmatch(f"sha256:{self.sha256}"):
            _refuse("expected 64 lower-case hexadecimal digits after sha256:")

    def __str__(self) -> str:
        return f"sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class PathOfFile:
    """A file of the models folder, by its path below it, with slashes."""

    path: str

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path) or not self.path.endswith(_SUFFIXES):
            _refuse(
                "expected a path below the models folder, of letters, digits, dots, dashes and "
                f"underscores, that ends in {', '.join(_SUFFIXES)}"
            )

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Safetensors:
    """Weights within the object: the bytes of a safetensors file, of which the head is checked."""

    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) > LARGEST_INSIDE:
            _refuse(f"more than the {LARGEST_INSIDE} bytes that weights within an object may have")
        if not is_safetensors(self.data):
            _refuse("not the bytes of a safetensors file")

    def __str__(self) -> str:
        return f"{len(self.data)} bytes of safetensors, sha256:{sha256_of(self.data)}"


@dataclass(frozen=True, slots=True)
class TorchSaved:
    """The bytes of what torch.save wrote, not yet looked at beyond the first four."""

    data: bytes

    def __str__(self) -> str:
        return f"{len(self.data)} bytes of torch.save, sha256:{sha256_of(self.data)}"


Weights = HashOfFile | PathOfFile | Safetensors | TorchSaved


def sha256_of(data: bytes) -> str:
    """Give a SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def parse_weights_value(value: bytes) -> Weights:
    """Tell what a value of DnnWeights is.

    Parameters
    ----------
    value
        As it lies in the file, with or without padding.

    Raises
    ------
    InvalidIODeepError
        If it is too large, or none of what `preread.iodeep.weights` names.

    Examples
    --------
    >>> parse_weights_value(b"mr-lesion/weights.safetensors ")
    PathOfFile(path='mr-lesion/weights.safetensors')
    """
    if len(value) > LARGEST_INSIDE // 3 * 4 + LARGEST_INSIDE // 32:  # line breaks, too
        _refuse(f"more than the {LARGEST_INSIDE} bytes that weights within an object may have")
    value = value.strip(b" \0\r\n\t")
    if not value:
        _refuse(f"empty; {_EXPECTED}")
    if len(value) <= _LONGEST_REFERENCE:
        reference = _reference(value.decode("ascii", "replace"))
        if reference is not None:
            return reference
    data = _from_base64(value, _ATTRIBUTE)
    if is_torch_saved(data):
        return TorchSaved(data)
    if data[:1] == b"\x80" and data[-1:] == b".":
        _refuse("a pickle, which is never read; write the weights as safetensors")
    if not is_safetensors(data):
        _refuse(f"base64 of something else; {_EXPECTED}")
    return Safetensors(data)


def weights_value(weights: Weights) -> bytes:
    """Write a value of DnnWeights.

    Raises
    ------
    InvalidIODeepError
        If they are larger than what is written into an object, or are not safetensors.
    """
    if isinstance(weights, TorchSaved):
        _refuse("written by torch.save; write the weights as safetensors")
    if isinstance(weights, Safetensors):
        if len(weights.data) > LARGEST_WRITTEN:
            _refuse(
                f"{len(weights.data)} bytes; above {LARGEST_WRITTEN} weights are kept in the "
                "models folder and the object has their hash"
            )
        return base64.b64encode(weights.data)
    return str(weights).encode("ascii")


def bytes_in_base64(value: bytes, attribute: str, most: int) -> bytes:
    """Decode the base64 of an attribute.

    Raises
    ------
    InvalidIODeepError
        If it is none, or stands for more than so many bytes.
    """
    if len(value) > most // 3 * 4 + 4 + most // 32:
        _refuse(f"more than {most} bytes", attribute)
    return _from_base64(value, attribute)


def is_safetensors(data: bytes) -> bool:
    """Tell whether bytes begin as a safetensors file whose head fits into it."""
    if len(data) < 10 or data[8:9] != b"{":
        return False
    return bool(struct.unpack_from("<Q", data)[0] <= min(len(data) - 8, _LARGEST_HEADER))


def arrays_of(data: bytes) -> Arrays:
    """Read the tensors of a safetensors file, or of what torch.save wrote.

    Counters of batch normalisation are left out. For the runner: the latter needs torch.

    Returns
    -------
    dict of str to ndarray
        float32 or float16.

    Raises
    ------
    InvalidIODeepError
        If it is neither, or holds other numbers.
    """
    if is_torch_saved(data):
        return torch_arrays(data)
    if not is_safetensors(data):
        _refuse("neither safetensors nor a file of torch.save; a bare pickle is never read")
    try:
        found: Arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        _refuse(f"not a safetensors file ({type(error).__name__})")
    arrays: Arrays = {}
    for name, array in found.items():
        if name.endswith("num_batches_tracked"):
            continue
        if array.dtype not in (np.float16, np.float32, np.float64):
            _refuse(f"{name[:80]!r}: expected float16, float32 or float64")
        arrays[name] = array if array.dtype == np.float16 else array.astype(np.float32)
    return arrays


def _reference(text: str) -> HashOfFile | PathOfFile | None:
    if text.startswith("sha256:"):
        return HashOfFile(text.removeprefix("sha256:"))
    if _SCHEME.match(text):
        _refuse("an address; weights are never fetched from anywhere but the models folder")
    # Base64, too, may begin with a slash, but not that of a file as short as a path is.
    if text.endswith(_SUFFIXES) or ".." in text or (text[0] in "/~." and len(text) < 256):
        return PathOfFile(text)
    return None


def _from_base64(value: bytes, attribute: str) -> bytes:
    if any(space in value for space in (b" ", b"\0", b"\r", b"\n", b"\t")):
        value = value.translate(None, b" \0\r\n\t")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        _refuse("not base64" if attribute != _ATTRIBUTE else _EXPECTED, attribute)


def _refuse(reason: str, attribute: str = _ATTRIBUTE) -> NoReturn:
    raise InvalidIODeepError(attribute, reason)
