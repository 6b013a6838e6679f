"""What a network is made of, ready to be built: its document and its numbers. For the runner.

Files are read from the models folder alone; what a link leads out of it is not there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from preread.iodeep.document import parse_document
from preread.iodeep.errors import InvalidIODeepError, TorchMissingError
from preread.iodeep.torch_saved import torch_document
from preread.iodeep.weights import (
    HashOfFile,
    PathOfFile,
    Safetensors,
    TorchSaved,
    arrays_of,
    is_safetensors,
    sha256_of,
)
from preread.models.card import LARGEST_WEIGHTS
from preread.models.weights import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

    from preread.iodeep.iod import IODeep
    from preread.iodeep.weights import Weights
    from preread.models.weights import Arrays

FOLDER: Final = "iodeep"
"""Where in the models folder the weights of networks lie that came as, or go into, objects."""
MOST_FILES: Final = 1000
"""That are searched for a hash."""

_SUFFIX: Final = ".safetensors"


class Contents(NamedTuple):
    """What a network is made of.

    Attributes
    ----------
    document
        The architecture, as `json.loads` gives it.
    arrays
        The weights by name, float32 or float16.
    sha256
        Of the bytes of the weights.
    """

    document: dict[str, Any]
    arrays: Arrays
    sha256: str


class WeightsFolder:
    """The models folder, in which DnnWeights may name a file.

    Parameters
    ----------
    root
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._hashes: dict[tuple[str, int, int], str] = {}

    def read(self, reference: HashOfFile | PathOfFile, most: int = LARGEST_WEIGHTS) -> bytes:
        """Read the file that a reference means.

        Parameters
        ----------
        reference
            Its hash or its path.
        most
            Bytes that it may have.

        Raises
        ------
        InvalidIODeepError
            If there is none, it lies outside of the folder, is larger, or has another hash.
        """
        if isinstance(reference, PathOfFile):
            return _read(self._inside(self._root / reference.path), most)
        found = self._find(reference.sha256, most)
        data = b"" if found is None else _read(found, most)
        if sha256_of(data) != reference.sha256:
            _refuse(f"no file of up to {most} bytes in the models folder has the hash {reference}")
        return data

    def sha256(self, reference: PathOfFile) -> str:
        """Give the hash of the file that a path means; it is read again only when it has changed.

        Raises
        ------
        InvalidIODeepError
            If there is none, or it lies outside of the folder.
        """
        found = self._hash(self._inside(self._root / reference.path))
        if not found:
            _refuse("the file in the models folder cannot be read")
        return found

    def keep(self, data: bytes) -> HashOfFile:
        """Put a safetensors file into the folder, under its hash, unless it is there."""
        if not is_safetensors(data):
            _refuse("not the bytes of a safetensors file")
        reference = HashOfFile(sha256_of(data))
        path = self._root / FOLDER / f"{reference.sha256}{_SUFFIX}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        return reference

    def _inside(self, path: Path) -> Path:
        try:
            found = path.resolve(strict=True)
        except (OSError, RuntimeError):
            _refuse("the models folder has no such file")
        if not found.is_relative_to(self._root) or not found.is_file():
            _refuse("no file that lies within the models folder")
        return found

    def _find(self, sha256: str, most: int) -> Path | None:
        candidates = self._candidates(sha256, most)
        return next((path for path in candidates if self._hash(path) == sha256), None)

    def _candidates(self, sha256: str, most: int) -> Iterator[Path]:
        """Give the files that may have a hash, that which is named after it first."""
        named = self._root / FOLDER / f"{sha256}{_SUFFIX}"
        if named.is_file():
            yield self._inside(named)
        for count, path in enumerate(sorted(self._root.glob(f"*/*{_SUFFIX}"))):
            if count >= MOST_FILES:
                return
            is_inside = path.is_file() and path.resolve().is_relative_to(self._root)
            if is_inside and path.stat().st_size <= most:
                yield path

    def _hash(self, path: Path) -> str:
        """Give the SHA-256 of a file; it is read again only when it has changed."""
        try:
            state = path.stat()
            key = (str(path), state.st_size, state.st_mtime_ns)
            if key not in self._hashes:
                with path.open("rb") as file:
                    self._hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""  # gone meanwhile, or not ours to read: not the file that is meant
        return self._hashes[key]


def contents(network: IODeep, folder: WeightsFolder, most: int = LARGEST_WEIGHTS) -> Contents:
    """Read what a network is made of, in whatever form it has it.

    Parameters
    ----------
    network
        In any layout.
    folder
        Where references lead.
    most
        Bytes that a file of weights may have.

    Raises
    ------
    InvalidIODeepError
        Naming DnnArchitecture or DnnWeights, if it cannot be read or is not allowed; a
        `TorchMissingError` if that takes torch, which is not installed.
    """
    architecture = network.DnnArchitecture
    try:
        if isinstance(architecture, TorchSaved):
            document = torch_document(architecture.data)
        else:
            document = parse_document(architecture)
        data = weights_data(network.DnnWeights, folder, most)
        return Contents(document, arrays_of(data), sha256_of(data))
    except TorchMissingError as error:
        raise TorchMissingError(error.attribute, network.DnnUID) from None


def weights_data(weights: Weights, folder: WeightsFolder, most: int = LARGEST_WEIGHTS) -> bytes:
    """Give the bytes of a network's weights: safetensors, or what torch.save wrote.

    Raises
    ------
    InvalidIODeepError
        If they are not there or not allowed.
    """
    if isinstance(weights, Safetensors | TorchSaved):
        return weights.data
    return folder.read(weights, most)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        _refuse(f"the file in the models folder cannot be read ({error.strerror})")
    if len(data) > most:
        _refuse(f"the file in the models folder is larger than {most} bytes")
    return data


def _refuse(reason: str) -> NoReturn:
    raise InvalidIODeepError("DnnWeights", reason)
