"""Telling the receive hook what is stored next, under this site's signature."""

from __future__ import annotations

import hashlib
import hmac


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
        digest = hashlib.sha256(data).hexdigest()
        signed = f"{instance}|{source}|{generation}|{digest}".encode("ascii")
        return {
            "Instance": instance,
            "Source": source,
            "Generation": generation,
            "SHA256": digest,
            "Signature": hmac.new(self._key, signed, hashlib.sha256).hexdigest(),
        }
