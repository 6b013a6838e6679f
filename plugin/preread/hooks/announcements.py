"""The runner tells what it is about to store, so that the receive hook lets exactly that pass.

A marker in the data set would let a stranger skip de-identification. An announcement instead names
the SHA-256 of the bytes and is signed with a key that only this site has.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from preread.archive.signature import signature
from preread.errors import PrereadError

_KEPT = 10_000


class BadAnnouncement(PrereadError):
    """An announcement that is malformed or not signed with this site's key."""


class Announcement(BaseModel):
    """What will be stored next.

    Attributes
    ----------
    instance
        Orthanc's id of the instance that will be stored.
    source
        Orthanc's id of the instance whose generation decides (the same one in place).
    generation
        The generation of the source that was read.
    sha256
        Of the whole file, hexadecimal.
    arrival
        Of an object that came from outside and that the runner de-identified, since it took the
        receive hook too long: what was decided for it. Empty for results.
    """

    model_config = ConfigDict(alias_generator=to_pascal, extra="forbid", frozen=True)

    instance: str = Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{8}){4}$")
    source: str = Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{8}){4}$")
    generation: int = Field(ge=0)
    sha256: str = Field(alias="SHA256", pattern=r"^[0-9a-f]{64}$")
    arrival: str = ""

    def signature(self, key: bytes) -> str:
        """Return what its signature must be."""
        return signature(
            key, self.instance, self.source, self.generation, self.sha256, self.arrival
        )


class Announcements:
    """The announcements that have not been followed by their bytes yet.

    They live in memory only: if Orthanc dies, the runner's POST fails and it announces again.

    Parameters
    ----------
    key
        The key of the signature, at least 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._expected: OrderedDict[str, Announcement] = OrderedDict()

    def take(self, message: Mapping[str, object]) -> Announcement:
        """Check a message of the runner and remember it.

        Raises
        ------
        BadAnnouncement
            If a field is missing or malformed, or the signature does not fit.
        """
        fields = dict(message)
        given = fields.pop("Signature", "")
        try:
            announcement = Announcement.model_validate(fields)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
            raise BadAnnouncement(f"announcement: {where} is missing or malformed") from None
        expected = announcement.signature(self._key)
        if not isinstance(given, str) or not hmac.compare_digest(
            expected.encode("ascii"), given.encode("utf-8", "replace")
        ):
            raise BadAnnouncement("announcement: the signature was not made with this site's key")
        with self._lock:
            self._expected[announcement.instance] = announcement
            self._expected.move_to_end(announcement.instance)
            while len(self._expected) > _KEPT:
                self._expected.popitem(last=False)
        return announcement

    def match_arrival(self, data: bytes) -> Announcement | None:
        """Take out the announcement of exactly these bytes, if they are an object from outside.

        Its instance is not asked for: to find it in the bytes may take longer than there is time.
        """
        arrivals = [each for each in list(self._expected.values()) if each.arrival]
        if not arrivals:
            return None
        digest = hashlib.sha256(data).hexdigest()
        found = next((each for each in arrivals if each.sha256 == digest), None)
        if found is not None:
            self._take_out(found)
        return found

    @property
    def empty(self) -> bool:
        """Whether nothing is expected."""
        return not self._expected

    def match(self, instance: str, data: bytes) -> Announcement | None:
        """Take out the announcement of exactly these bytes, if there is one.

        The bytes are hashed only when their instance is announced: SHA-256 of a CT takes 1.3 ms.
        """
        announcement = self._expected.get(instance)
        if announcement is None or hashlib.sha256(data).hexdigest() != announcement.sha256:
            return None
        self._take_out(announcement)
        return announcement

    def _take_out(self, announcement: Announcement) -> None:
        with self._lock:
            if self._expected.get(announcement.instance) is announcement:
                del self._expected[announcement.instance]
