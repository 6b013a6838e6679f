"""Telling the receive hook what is stored next, under this site's signature."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from preread.archive.signature import signature

if TYPE_CHECKING:
    from preread.ledger.arrival import Arrival


class Announcer:
    """Makes the announcements that `POST /preread/announcements` takes.

    Parameters
    ----------
    key
        ``Secret.derive("announcement")``: the hook checks with the same.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def announcement(
        self, instance: str, source: str, generation: int, data: bytes
    ) -> dict[str, object]:
        """Describe a file that will be stored.

        Parameters
        ----------
        instance
            Orthanc's id that the file will have.
        source
            Orthanc's id of the instance that was read; in place it is the same.
        generation
            That of the source when it was read: the file is discarded if it has risen since.
        data
            The file.
        """
        return self._signed(instance, source, generation, data, "")

    def arrival(self, arrival: Arrival, data: bytes) -> dict[str, object]:
        """Describe an object from outside that was de-identified here and will be stored.

        Parameters
        ----------
        arrival
            What was decided for it.
        data
            The file as it will be stored.
        """
        return self._signed(arrival.instance, arrival.instance, 0, data, arrival.to_json())

    def _signed(
        self, instance: str, source: str, generation: int, data: bytes, arrival: str
    ) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        return {
            "Instance": instance,
            "Source": source,
            "Generation": generation,
            "SHA256": digest,
            "Signature": signature(self._key, instance, source, generation, digest, arrival),
            **({"Arrival": arrival} if arrival else {}),
        }
