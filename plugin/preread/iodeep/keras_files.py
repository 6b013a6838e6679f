"""Files of weights that Keras has written, looked through before Keras reads them.

HDF5 can refer to other files and hold datasets that are far larger than the file. Such a file is
refused, and so is one with much more in it than the network has weights.
"""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from preread.errors import PrereadError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES: Final = (".weights.h5", ".keras")

_MEMBER: Final = "model.weights.h5"  # of a .keras file, which is a zip archive
_COPIES: Final = 3  # the weights, and the two moments that an optimizer may keep of each
_ROOM: Final = 16 * 1024**2  # bytes for names and structure
_BYTES_EACH: Final = 8
_DEEPEST: Final = 32
_MOST_ENTRIES: Final = 100_000


class KerasError(PrereadError):
    """Keras is not installed, or a file of weights is none or does not fit."""


@contextmanager
def weights_of(path: Path, values: int) -> Iterator[Path]:
    """Give the HDF5 file with the weights, which is inside a ``.keras`` file.

    Parameters
    ----------
    path
        ``.weights.h5`` or ``.keras``.
    values
        How many numbers the network has, by which the file is judged.

    Raises
    ------
    KerasError
        If it is neither, too large, or refers to anything outside itself.
    """
    most = _COPIES * _BYTES_EACH * values + _ROOM
    if not path.name.endswith(SUFFIXES):
        raise KerasError(f"{path.name}: expected a name that ends in {' or '.join(SUFFIXES)}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            weights = path
            if path.name.endswith(".keras"):
                weights = Path(folder) / _MEMBER
                weights.write_bytes(_unpacked(path, most))
            elif path.stat().st_size > most:
                raise KerasError(f"{path.name}: is too large for this architecture")
            _look_through(weights, path.name, most)
        except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise KerasError(
                f"{path.name}: is not a file of weights of Keras ({type(error).__name__})"
            ) from None
        yield weights


def _unpacked(path: Path, most: int) -> bytes:
    with zipfile.ZipFile(path) as archive, archive.open(_MEMBER) as member:
        # No more is unpacked than this, whatever the archive says of the size.
        content = member.read(most + 1)
    if len(content) > most:
        raise KerasError(f"{path.name}: is too large for this architecture")
    return content


def _look_through(weights: Path, name: str, most: int) -> None:
    """Refuse links, outside or virtual storage, and more values than the file may have."""
    import h5py  # noqa: PLC0415 - of the optional extra

    with h5py.File(weights, "r") as file:
        entries = stored = 0
        waiting: list[tuple[Any, int]] = [(file, 0)]
        while waiting:
            group, depth = waiting.pop()
            for key in group:
                entries += 1
                if depth > _DEEPEST or entries > _MOST_ENTRIES:
                    raise KerasError(f"{name}: holds too many groups for a file of weights")
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    raise KerasError(f"{name}: holds a link, which no file of weights needs")
                item = group[key]
                if isinstance(item, h5py.Group):
                    waiting.append((item, depth + 1))
                    continue
                if item.is_virtual or item.external:
                    raise KerasError(f"{name}: refers to data outside itself")
                stored += item.nbytes
                if stored > most:
                    raise KerasError(f"{name}: is too large for this architecture")
