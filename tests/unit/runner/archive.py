"""An archive in memory that treats announced files as Orthanc with our receive hook does."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Mapping
from typing import Any

from preread.archive.pacs import (
    Kept,
    PacsRefusedError,
    PacsUnreachableError,
    Refused,
    Stored,
    StoreOutcome,
    Superseded,
)
from preread.elements import read_header, resource_ids

KEY = b"k" * 32


def id_of(data: bytes) -> str:
    header = read_header(data)
    return resource_ids(
        header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
    ).instance


class Archive:
    """What `preread.archive.pacs.Pacs` promises.

    Attributes
    ----------
    files
        What is stored, by Orthanc's id.
    generations
        Of each instance that arrived from outside, as the journal has them; None: deleted.
    down
        Nobody answers.
    on_call
        Called before each call with its name and what it is about; may raise.
    """

    def __init__(self, *, overwrite: bool = True, key: bytes = KEY) -> None:
        self._key = key
        self.files: dict[str, bytes] = {}
        self.generations: dict[str, int | None] = {}
        self.overwrite = overwrite
        self.down = False
        self.on_call: Callable[[str, str], None] = lambda _name, _about: None
        self.calls: list[tuple[str, str]] = []
        self.stores = 0
        self.changes: list[dict[str, Any]] = []
        self._announced: dict[str, Mapping[str, object]] = {}
        self._lock = threading.Lock()

    def arrive(self, data: bytes) -> tuple[str, int]:
        """Store a file from outside."""
        instance = id_of(data)
        self.files[instance] = data
        self.generations[instance] = (self.generations.get(instance) or 0) + 1
        return instance, self.generations[instance] or 0

    def remove(self, instance: str) -> None:
        """Delete an instance from outside."""
        self.files.pop(instance, None)
        self.generations[instance] = None

    def answers(self) -> bool:
        return not self.down

    def file(self, instance: str) -> bytes | None:
        self._call("file", instance)
        return self.files.get(instance)

    def exists(self, instance: str) -> bool:
        self._call("exists", instance)
        return instance in self.files

    def delete(self, instance: str) -> bool:
        self._call("delete", instance)
        return self.files.pop(instance, None) is not None

    def json(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Answer what Orthanc's list of changes does."""
        self._call("json", path)
        if path == "/changes?last":
            return {"Last": self.changes[-1]["Seq"] if self.changes else 0}
        since, limit = int((query or {})["since"]), int((query or {})["limit"])
        found = [change for change in self.changes if change["Seq"] > since]
        return {"Changes": found[:limit], "Done": len(found) <= limit}

    def announce(self, announcement: Mapping[str, object]) -> None:
        self._call("announce", str(announcement["Instance"]))
        parts = [announcement[key] for key in ("Instance", "Source", "Generation", "SHA256")]
        text = "|".join(str(part) for part in parts)
        signature = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        if signature != announcement["Signature"]:
            raise PacsRefusedError("the signature was not made with this site's key")
        self._announced[str(announcement["Instance"])] = announcement

    def store(self, data: bytes) -> StoreOutcome:
        instance = id_of(data)
        self._call("store", instance)
        announced = self._announced.pop(instance, None)
        if announced is None or announced["SHA256"] != hashlib.sha256(data).hexdigest():
            return Refused("Orthanc answers HTTP 400: it was not announced")
        if self.generations.get(str(announced["Source"])) != announced["Generation"]:
            return Superseded()
        if instance in self.files and not self.overwrite:
            return Kept(instance)
        with self._lock:
            self.files[instance] = data
            self.stores += 1
        return Stored(instance)

    def _call(self, name: str, about: str) -> None:
        self.calls.append((name, about))
        if self.down:
            raise PacsUnreachableError(f"{name}: Orthanc does not answer")
        self.on_call(name, about)
