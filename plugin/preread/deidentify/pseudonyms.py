"""Keyed pseudonyms of patients and UIDs, which are recognised when they come back.

A pseudonym is an HMAC-SHA256 of what it stands for, and carries a keyed check part of 40 bits: who
does not have the key can neither recompute nor forge one, and who has it sees that it is one and
keeps it. So de-identifying twice changes nothing, and what a viewer saves with reference to a
de-identified study lands in it.

UIDs of results of ours have a check part of their own, so that they are told from all others.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from preread.deidentify.secret import Secret

_UID_ROOT: Final = "2.25."
_BODY_BITS: Final = 82
_CHECK_BITS: Final = 40
_CHECK_BYTES: Final = _CHECK_BITS // 8
_LOW_BITS: Final = 62

_PATIENT_PREFIX: Final = "PR"
_PATIENT_BODY: Final = 17  # letters of 5 bits
_PATIENT_FORM: Final = re.compile(r"PR([A-Z2-7]{17})([A-Z2-7]{8})")

# PS3.5 section 9.1, but for the length: what is longer was never a UID and becomes one.
_UUID_FORM: Final = re.compile(r"2\.25\.([1-9][0-9]{0,38})")


def _message(*parts: str) -> bytes:
    """Join texts so that no two lists of them give the same bytes."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join([len(part).to_bytes(8, "big") + part for part in encoded])


def _name_of(text: str) -> str:
    """Return a person's name as it is compared: without padding, empty parts and case."""
    groups = [
        "^".join(part.strip(" \0") for part in group.split("^")).rstrip("^")
        for group in text.split("=")
    ]
    return "=".join(groups).rstrip("=").casefold()


class Pseudonyms:
    """What patients and UIDs are called after de-identification.

    Parameters
    ----------
    secret
        The key.
    """

    def __init__(self, secret: Secret) -> None:
        self._uid = _keyed(secret, "uid")
        self._uid_check = _keyed(secret, "uid check")
        self._result_check = _keyed(secret, "result uid check")
        self._derived = _keyed(secret, "derived uid")
        self._patient = _keyed(secret, "patient")
        self._patient_check = _keyed(secret, "patient check")

    def uid(self, original: str) -> str:
        """Return the UID that stands for another; one that this key issued stands for itself.

        It is a UUID of version 8 (RFC 9562) under 2.25 (PS3.5 B.2): 82 bits that depend on the
        original, 40 bits that depend on those.

        Parameters
        ----------
        original
            A UID; padding does not matter. What is not a UID gets one.
        """
        original = original.strip(" \0")
        if self.is_ours_uid(original):
            return original
        digest = _digest(self._uid, _message(original))
        return _issued(digest, self._uid_check)

    def derived_uid(self, uid: str, purpose: str) -> str:
        """Return the UID of what is made from an object, another one for each purpose.

        The same for an original's UID and for its pseudonym.
        """
        digest = _digest(self._derived, _message(purpose, self.uid(uid)))
        return _issued(digest, self._result_check)

    def is_ours_uid(self, uid: str) -> bool:
        """Tell whether this key issued a UID, for whatever."""
        found = _body_and_check(uid)
        return found is not None and (
            _fits(*found, self._uid_check) or _fits(*found, self._result_check)
        )

    def is_result_uid(self, uid: str) -> bool:
        """Tell whether this key issued a UID for a result of ours, or for its series."""
        found = _body_and_check(uid)
        return found is not None and _fits(*found, self._result_check)

    def patient(
        self,
        PatientID: str,  # noqa: N803 - the standard's own keyword, as the following ones
        IssuerOfPatientID: str = "",  # noqa: N803
        PatientName: str = "",  # noqa: N803
        PatientBirthDate: str = "",  # noqa: N803
        StudyInstanceUID: str = "",  # noqa: N803
    ) -> str:
        """Return the PatientID that stands for a patient; one that this key issued stays.

        A patient is told by PatientID with its issuer; without a PatientID by name and birth date
        together; without those by the study, so that two patients never become one.

        Returns
        -------
        str
            27 characters, ``PR`` and base32: 85 bits that depend on the patient, 40 that depend on
            those.
        """
        identifier = PatientID.strip(" \0")
        name, born = PatientName.strip(" \0"), PatientBirthDate.strip(" \0")
        for known in (identifier, name if not identifier else ""):
            if self.is_ours_patient(known):
                return known
        if identifier:
            message = _message("id", identifier, IssuerOfPatientID.strip(" \0"))
        elif _name_of(name) and born:
            message = _message("name", _name_of(name), born)
        else:
            message = _message("study", self.uid(StudyInstanceUID))
        digest = _digest(self._patient, message)
        body = base64.b32encode(digest[:15]).decode("ascii")[:_PATIENT_BODY]
        return f"{_PATIENT_PREFIX}{body}{self._patient_checked(body)}"

    def is_ours_patient(self, PatientID: str) -> bool:  # noqa: N803
        """Tell whether this key issued a PatientID."""
        found = _PATIENT_FORM.fullmatch(PatientID)
        return found is not None and hmac.compare_digest(found[2], self._patient_checked(found[1]))

    def _patient_checked(self, body: str) -> str:
        digest = _digest(self._patient_check, body.encode("ascii"))
        return base64.b32encode(digest[:_CHECK_BYTES]).decode("ascii")


def _keyed(secret: Secret, purpose: str) -> hmac.HMAC:
    """Return a MAC that has taken in its key and nothing else."""
    return hmac.new(secret.derive(purpose), digestmod=hashlib.sha256)


def _digest(keyed: hmac.HMAC, message: bytes) -> bytes:
    """Return the MAC of a message; to take the key in each time costs more than all the rest."""
    mac = keyed.copy()
    mac.update(message)
    return mac.digest()


def _issued(digest: bytes, key: hmac.HMAC) -> str:
    body = int.from_bytes(digest[:11], "big") >> 88 - _BODY_BITS
    free = body << _CHECK_BITS | int.from_bytes(_check(body, key), "big")
    high, low = free >> _LOW_BITS, free & (1 << _LOW_BITS) - 1
    number = (high >> 12) << 80 | (0x8000 | high & 0xFFF) << 64 | 2 << _LOW_BITS | low
    return f"{_UID_ROOT}{number}"


def _body_and_check(uid: str) -> tuple[int, bytes] | None:
    """Return the two parts of a UUID of version 8; None for any other UID."""
    found = _UUID_FORM.fullmatch(uid)
    if found is None:
        return None
    number = int(found[1])
    high, middle, low = number >> 80, number >> 64 & 0xFFFF, number & (1 << 64) - 1
    if number >> 128 or middle >> 12 != 8 or low >> _LOW_BITS != 2:
        return None
    free = (high << 12 | middle & 0xFFF) << _LOW_BITS | low & (1 << _LOW_BITS) - 1
    check = (free & (1 << _CHECK_BITS) - 1).to_bytes(_CHECK_BYTES, "big")
    return free >> _CHECK_BITS, check


def _fits(body: int, check: bytes, key: hmac.HMAC) -> bool:
    return hmac.compare_digest(check, _check(body, key))


def _check(body: int, key: hmac.HMAC) -> bytes:
    return _digest(key, body.to_bytes(11, "big"))[:_CHECK_BYTES]
