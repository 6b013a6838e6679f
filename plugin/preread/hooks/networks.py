"""Networks (IODeep) that arrive: who sent them, and what becomes of those from strangers.

The receive hook is not told who sends. Of a call over HTTP Orthanc's request filter sees the user,
before and in the same thread. Of a C-STORE the AE title is seen afterwards, by the filter that
decides whether Orthanc stores what the receive hook made of the object, in the same thread too.
"""

from __future__ import annotations

import binascii
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orthanc

from preread.deidentify.quarantine import Quarantine
from preread.elements import Budget
from preread.errors import PrereadError
from preread.hooks import log
from preread.iodeep.recognising import Recognised, recognise
from preread.iodeep.trust import STRANGER, Trust
from preread.ledger.arrival import Arrival
from preread.ledger.journal import Journal

_SUCCESS = 0x0000
_COERCED = 0xB000
"""Stored, with other elements than were sent (PS3.4 Table B.2-1)."""
_OUT_OF_RESOURCES = 0xA700
_AGAIN = "a network of an AE title that is not trusted"


@dataclass(frozen=True, slots=True)
class Guest:
    """A network that is just arriving.

    Attributes
    ----------
    found
        Where it keeps what.
    trusted
        Why it is trusted; empty if it is not.
    asks_for_title
        Whether it may yet turn out to be trusted, by the AE title of its sender.
    """

    found: Recognised
    trusted: str
    asks_for_title: bool


@dataclass(frozen=True, slots=True)
class Undecided:
    """What is done with a network once the AE title of its sender is known.

    Attributes
    ----------
    arrival
        To be written down if it is trusted, with the reason.
    digest
        What it is to bear then.
    original
        What is held for another judgement if it is not; None if it is stored all the same.
    """

    arrival: Arrival
    digest: str
    original: bytes | None


class Gate:
    """Tells networks from all else, and trusted ones from others.

    Parameters
    ----------
    trust
        What the site trusts.
    """

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        # By thread: each of Orthanc's handles one object, or one request, at a time. Not in
        # threading.local, which Python empties whenever a thread of Orthanc's leaves it.
        self._users: dict[int, str] = {}
        self._undecided: dict[int, Undecided] = {}

    def enters(self, user: str) -> None:
        """Note which user's request this thread begins to handle; empty for none."""
        self._users[threading.get_ident()] = user

    def begins(self) -> None:
        """Note that this thread begins with another object."""
        self._undecided.pop(threading.get_ident(), None)

    def look(
        self, data: bytes, origin: orthanc.InstanceOrigin, budget: Budget | None = None
    ) -> Guest | None:
        """Return what is known of an object if it is a network.

        Raises
        ------
        preread.elements.OverBudget
            If that takes longer than it may.
        """
        found = recognise(data, budget)
        if found is None:
            return None
        by_dicom = origin == orthanc.InstanceOrigin.DICOM_PROTOCOL
        trusted = "" if by_dicom else self.trust.of_user(self._users.get(threading.get_ident(), ""))
        trusted = trusted or self.trust.of_contents(found)
        return Guest(found, trusted, by_dicom and not trusted and self.trust.asks_for_titles)

    def leave_undecided(self, undecided: Undecided) -> None:
        """Keep what this thread is asked for next."""
        self._undecided[threading.get_ident()] = undecided

    def take_undecided(self) -> Undecided | None:
        """Return what this thread left, once."""
        return self._undecided.pop(threading.get_ident(), None)


def as_trusted(arrival: Arrival, reason: str, digest: str) -> Arrival:
    """Describe a network that the runner is to look at: there is nothing to read or to copy."""
    return replace(
        arrival,
        models=(),
        fingerprint="",
        work=False,
        reason=f"a network (IODeep), {reason}",
        network="received",
        network_digest=digest,
    )


def as_stranger(arrival: Arrival) -> Arrival:
    """Describe a network that is never run; what else is done with any object is done with it."""
    return replace(arrival, network="untrusted", reason=STRANGER)


class UserFilter:
    """Notes the user of each request that may bring objects, before another filter judges it.

    Parameters
    ----------
    gate
        Where.
    judge
        The filter that decides.
    """

    def __init__(self, gate: Gate, judge: Callable[..., bool]) -> None:
        self._gate = gate
        self._judge = judge

    def __call__(self, uri: str, **request: Any) -> bool:
        """Let the other filter decide."""
        try:
            brings = request.get("method") in (orthanc.HttpMethod.POST, orthanc.HttpMethod.PUT)
            self._gate.enters(user_of(request.get("headers") or {}) if brings else "")
        except BaseException as error:  # noqa: BLE001 - nothing may escape into Orthanc
            log.error(f"the user of a request is not known: {type(error).__name__}")
        return self._judge(uri, **request)


def user_of(headers: Mapping[str, str]) -> str:
    """Return the user of a request that Orthanc has let in; empty if it has none.

    >>> user_of({"authorization": "Basic YWxpY2U6c2VjcmV0"})
    'alice'
    """
    given = next((value for key, value in headers.items() if key.lower() == "authorization"), "")
    scheme, _, encoded = given.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        told = binascii.a2b_base64(encoded.strip(), strict_mode=True).decode("utf-8")
    except (ValueError, UnicodeDecodeError):
        return ""
    return told.partition(":")[0]


class TitleFilter:
    """Orthanc's filter of what comes by C-STORE: takes networks of trusted AE titles as they are.

    Those of others are held, and sent in again as the object of a stranger by the process beside
    Orthanc; their sender is answered that elements were coerced.

    Parameters
    ----------
    gate
        Knows what the receive hook has just left undecided.
    journal
        Where what is trusted is written down.
    held
        Where what is not waits.
    """

    def __init__(self, gate: Gate, journal: Journal, held: Quarantine) -> None:
        self._gate = gate
        self._journal = journal
        self._held = held

    def __call__(self, dicom: orthanc.DicomInstance) -> int:
        """Return the status of the C-STORE; 0 lets Orthanc store."""
        try:
            undecided = self._gate.take_undecided()
            if undecided is None:
                return _SUCCESS
            reason = self._gate.trust.of_title(dicom.GetInstanceRemoteAet() or "")
            if reason:
                self._journal.arrive(as_trusted(undecided.arrival, reason, undecided.digest))
                return _SUCCESS
            if undecided.original is None:
                return _SUCCESS
            self._held.put(undecided.original, reason=_AGAIN, origin="C-STORE")
        except PrereadError as error:
            log.error(f"a network was not taken: {error}")
            return _OUT_OF_RESOURCES
        except BaseException as error:  # noqa: BLE001 - nothing may escape into Orthanc
            log.error(f"a network was not taken: unexpected {type(error).__name__}")
            return _OUT_OF_RESOURCES
        return _COERCED
