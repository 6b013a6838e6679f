"""What is signed of an announcement: the runner makes the signature, the receive hook checks it.

Cheap to import, since the hooks need it inside Orthanc.
"""

from __future__ import annotations

import hashlib
import hmac


def signature(
    key: bytes, instance: str, source: str, generation: int, sha256: str, arrival: str = ""
) -> str:
    """Sign what will be stored next.

    Parameters
    ----------
    key
        ``Secret.derive("announcement")``.
    instance, source
        Orthanc's ids of what will be stored, and of the instance whose generation decides.
    generation
        That of the source when it was read.
    sha256
        Of the whole file, hexadecimal.
    arrival
        What was decided for an object from outside; empty for results.

    Returns
    -------
    str
        HMAC-SHA-256, hexadecimal.
    """
    text = f"{instance}|{source}|{generation}|{sha256}"
    signed = f"{text}|{arrival}" if arrival else text
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
