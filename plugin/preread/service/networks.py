"""Where a service has its networks from: a folder of files, or an Orthanc that runs Preread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import structlog

from preread.errors import PrereadError
from preread.iodeep.opening import FOLDER
from preread.iodeep.reading import LARGEST_FILE, decode
from preread.iodeep.recognising import digest_of, recognise
from preread.iodeep.weights import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from preread.archive.pacs import OrthancPacs
    from preread.iodeep.iod import IODeep

MOST_FILES: Final = 1000
"""Of a folder, that are looked at."""

_log = structlog.get_logger(__name__)


class Networks(Protocol):
    """The networks that a service offers."""

    def all(self) -> list[IODeep]:
        """Give them, the order does not matter.

        Raises
        ------
        preread.errors.PrereadError
            If they cannot be had at the moment.
        """
        ...


class _State(NamedTuple):
    size: int
    modified: int


class FolderNetworks:
    """The IODeep instances (``*.dcm``) of a folder. Who may write there is trusted.

    Files that come or change are noticed; one that is no network, or none that can be run, is
    logged and left out, as Preread's own register does.

    Parameters
    ----------
    folder
        In which they lie, not below it.
    check
        Raises a PrereadError for a network that cannot be run.
    """

    def __init__(
        self, folder: Path, check: Callable[[IODeep], object] = lambda _network: None
    ) -> None:
        self._folder = folder.resolve()
        self._check = check
        self._read: dict[Path, tuple[_State, IODeep | None]] = {}
        self._lock = threading.Lock()

    def all(self) -> list[IODeep]:
        """Give the networks of all files; of one DnnUID the newest."""
        with self._lock:
            files = sorted(self._folder.glob("*.dcm"))[:MOST_FILES]
            self._read = {file: self._known(file) for file in files}
            networks = [network for _, network in self._read.values() if network is not None]
        networks.sort(key=lambda one: one.created.isoformat() if one.created else "")
        return list({network.DnnUID: network for network in networks}.values())

    def _known(self, file: Path) -> tuple[_State, IODeep | None]:
        try:
            stat = file.stat()
        except OSError:
            return _State(0, 0), None
        state = _State(stat.st_size, stat.st_mtime_ns)
        known = self._read.get(file)
        if known is not None and known[0] == state:
            return known
        return state, self._decoded(file)

    def _decoded(self, file: Path) -> IODeep | None:
        if not file.resolve().is_relative_to(self._folder):
            _log.warning("network left out", file=file.name, reason="leads out of the folder")
            return None
        try:
            with file.open("rb") as opened:
                network = decode(opened.read(LARGEST_FILE + 1))
            self._check(network)
        except OSError as error:
            _log.warning("network left out", file=file.name, reason=error.strerror)
        except PrereadError as error:
            _log.warning("network left out", file=file.name, reason=str(error))
        else:
            return network
        return None


class OrthancNetworks:
    """The networks that an Orthanc with Preread holds for valid: it trusts them, so does this.

    Parameters
    ----------
    pacs
        The connection, to the address that was configured.
    models
        The models folder, for networks that Orthanc has as files of its own; they must be here too.
    """

    def __init__(self, pacs: OrthancPacs, models: Path) -> None:
        self._pacs = pacs
        self._folder = (models / FOLDER).resolve()
        self._kept: dict[_Entry, IODeep] = {}
        self._lock = threading.Lock()

    def all(self) -> list[IODeep]:
        """Give the networks that are valid and are here what they are there.

        Of one DnnUID that which arrived last, as there; Orthanc lists it first.
        """
        with self._lock:
            kept: dict[_Entry, IODeep] = {}
            for entry in _valid(self._pacs.json("/preread/iodeep")):
                network = self._kept.get(entry) or self._read(entry)
                if network is not None:
                    kept[entry] = network
            self._kept = kept
        found: dict[str, IODeep] = {}
        for network in kept.values():
            found.setdefault(network.DnnUID, network)
        return list(found.values())

    def _read(self, entry: _Entry) -> IODeep | None:
        data = self._file(entry.file) if entry.file else self._pacs.file(entry.instance)
        if data is None:
            return None
        try:
            if not entry.is_of(data):
                _log.warning("network left out", uid=entry.uid, reason="another one is stored")
                return None
            return decode(data)
        except PrereadError as error:
            _log.warning("network left out", uid=entry.uid, reason=str(error))
            return None

    def _file(self, name: str) -> bytes | None:
        path = (self._folder / name).resolve()
        if path.parent != self._folder:
            return None
        try:
            with path.open("rb") as file:
                return file.read(LARGEST_FILE + 1)
        except OSError:
            return None


class _Entry(NamedTuple):
    """What the register says of a network."""

    uid: str
    instance: str
    file: str
    digest: str
    updated: str

    def is_of(self, data: bytes) -> bool:
        """Tell whether these are the bytes that the register means.

        Under the UIDs of a network that is trusted Orthanc may store what somebody else has sent.
        Without a digest any network that is stored there is meant.
        """
        if self.file:
            return sha256_of(data) == self.digest
        found = recognise(data)
        return found is not None and self.digest in ("", digest_of(found))


def _valid(listed: Any) -> list[_Entry]:
    if not isinstance(listed, list):
        raise PrereadError("GET /preread/iodeep of the Orthanc: expected a list; does it run ours?")
    entries = [
        _Entry(*(str(one.get(key) or "") for key in ("DnnUID", "ID", "File", "Digest", "Updated")))
        for one in listed[:MOST_FILES]
        if isinstance(one, dict) and one.get("State") == "valid"
    ]
    return [entry for entry in entries if entry.instance or entry.file]


def described(network: IODeep) -> dict[str, Any]:
    """Give what a network says of itself, in the words of ``GET /preread/iodeep``."""
    attributes = (
        "DnnUID", "DnnName", "Modality", "BodyPartExamined", "SamplesPerPixel",
        "PhotometricInterpretation", "Rows", "Columns", "WindowCenter", "WindowWidth",
        "Description", "SOPInstanceUID",
    )  # fmt: skip
    told: dict[str, Any] = {attribute: getattr(network, attribute) for attribute in attributes}
    told["Layout"] = network.layout.value
    told["Created"] = network.created.isoformat() if network.created else None
    return told
