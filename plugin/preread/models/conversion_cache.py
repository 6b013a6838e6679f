"""Networks converted for OpenVINO, kept in the user's cache folder.

Conversion needs torch and takes seconds; what was converted needs neither. An entry is a folder
that appears at once or not at all, with the digests of its files: one that was damaged is made
anew. Losing the cache loses nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from preread.models.weights import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable

GRAPH: Final = "network.xml"
CONSTANTS: Final = "network.bin"
_MANIFEST: Final = "digests.json"
_LARGEST: Final = 2 * 1024**3
_MOST_ENTRIES: Final = 32

_log = structlog.get_logger(__name__)


def user_cache() -> Path:
    """Give the folder for what can be made again (XDG Base Directory Specification)."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(stated) if stated else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        base = Path("/var/cache")
    return base / "preread"


class ConversionCache:
    """Pairs of a graph and its constants, by key.

    Parameters
    ----------
    folder
        Made with mode 0700 when it is first needed. One that cannot be written is no error: then
        nothing is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, make: Callable[[], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        """Give an entry, made if it is missing or damaged.

        Parameters
        ----------
        key
            Letters, digits, dots and hyphens; all that the entry depends on.
        make
            Makes graph and constants.

        Returns
        -------
        tuple of bytes
            Graph (XML) and constants.
        """
        kept = self._read(key)
        if kept is not None:
            return kept
        made = make()
        try:
            self._write(key, *made)
        except OSError as error:
            _log.warning("converted network not kept", reason=error.strerror)
        return made

    def _read(self, key: str) -> tuple[bytes, bytes] | None:
        place = self._folder / key
        try:
            digests = json.loads((place / _MANIFEST).read_bytes()[:4096])
            files = (_bounded(place / GRAPH), _bounded(place / CONSTANTS))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            _log.warning("converted network is damaged and is made anew", entry=key)
            return None
        if digests != [sha256_of(data) for data in files]:
            _log.warning("converted network is damaged and is made anew", entry=key)
            return None
        return files

    def _write(self, key: str, graph: bytes, constants: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._folder / f".{key}.{os.getpid()}-{secrets.token_hex(4)}"
        beside.mkdir(mode=0o700)
        try:
            (beside / GRAPH).write_bytes(graph)
            (beside / CONSTANTS).write_bytes(constants)
            (beside / _MANIFEST).write_text(json.dumps([sha256_of(graph), sha256_of(constants)]))
            place = self._folder / key
            if place.exists():
                # Damaged; a folder cannot be replaced in one step while it is there.
                shutil.rmtree(place, ignore_errors=True)
            beside.rename(place)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self._prune()

    def _prune(self) -> None:
        """Drop the oldest entries: those of weights and versions that are no longer used."""
        entries = [entry for entry in self._folder.iterdir() if not entry.name.startswith(".")]
        entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in entries[_MOST_ENTRIES:]:
            shutil.rmtree(entry, ignore_errors=True)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("larger than a converted network can be")
    return data
