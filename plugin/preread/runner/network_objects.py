"""Getting networks (IODeep) of the register: from Orthanc, or from the models folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from preread.archive.pacs import Pacs
from preread.errors import PrereadError
from preread.iodeep.iod import IODeep
from preread.iodeep.opening import FOLDER
from preread.iodeep.reading import LARGEST_FILE, decode
from preread.iodeep.recognising import digest_of, recognise
from preread.ledger.network import Network

_MOST_FILES = 1000


class NetworkGoneError(PrereadError):
    """A network is not there any more."""


class AnotherObjectError(PrereadError):
    """What lies in a network's place is not what was trusted."""


class NetworkObjects:
    """The objects that networks are kept as.

    Parameters
    ----------
    pacs
        Orthanc.
    models
        The models folder; files lie in ``iodeep`` below it.
    """

    def __init__(self, pacs: Pacs, models: Path) -> None:
        self._pacs = pacs
        self._folder = models / FOLDER
        self._hashes: dict[tuple[str, int, int], str] = {}

    def read(self, network: Network) -> IODeep:
        """Read a network.

        Raises
        ------
        NetworkGoneError
            If there is nothing.
        AnotherObjectError
            If something else lies there than what was trusted.
        preread.errors.PrereadError
            If it is no valid object, or Orthanc does not give it.
        """
        return decode(self._file(network) if network.file else self._instance(network))

    def files(self) -> dict[str, str]:
        """Return the SHA-256 of each file of a network, by name; what cannot be read is left out.

        A file is read again only when it has changed.
        """
        found: dict[str, str] = {}
        for path in sorted(self._folder.glob("*.dcm"))[:_MOST_FILES]:
            try:
                state = path.stat()
                if not path.is_file() or state.st_size > LARGEST_FILE:
                    continue
                key = (path.name, state.st_size, state.st_mtime_ns)
                if key not in self._hashes:
                    with path.open("rb") as file:
                        self._hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
                found[path.name] = self._hashes[key]
            except OSError:
                continue
        return found

    def _file(self, network: Network) -> bytes:
        path = self._folder / network.file
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise NetworkGoneError(f"{network.file}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != network.digest:
            raise AnotherObjectError(f"{network.file}: it has changed")
        return data

    def _instance(self, network: Network) -> bytes:
        data = self._pacs.file(network.instance)
        if data is None:
            raise NetworkGoneError("it is not in Orthanc any more")
        if network.digest:
            found = recognise(data)
            if found is None or digest_of(found) != network.digest:
                raise AnotherObjectError(
                    "another object of the same UIDs was stored before it and is not trusted; "
                    "delete that and send the network again"
                )
        return data
