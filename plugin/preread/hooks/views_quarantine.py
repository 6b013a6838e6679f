"""/preread/quarantine: what is kept outside Orthanc because it is not safe, or not yet."""

from __future__ import annotations

from typing import Any

from preread.deidentify.quarantine import DamagedError, Held, Quarantine, QuarantineError
from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError


def quarantine(context: Context, _request: Request) -> Answer:
    """Answer ``GET /preread/quarantine``: what waits for its pixels, and what cannot be made safe.

    Raises
    ------
    RestError
        500, if the folders cannot be read.
    """
    keeping = context.safekeeping
    try:
        return Answer(
            [_told(entry, "waiting") for entry in keeping.held.entries()]
            + [_told(entry, "quarantined") for entry in keeping.quarantined.entries()]
        )
    except QuarantineError as error:
        raise RestError(500, str(error)) from None


def delete(context: Context, request: Request) -> Answer:
    """Answer ``DELETE /preread/quarantine/{id}``: nobody gets that object any more.

    Raises
    ------
    RestError
        404, if there is no such entry; 409, if it is sound and waits: it will be stored.
    """
    wanted, keeping = request.groups[0], context.safekeeping
    try:
        if _found(keeping.quarantined, wanted) is not None:
            keeping.quarantined.delete(wanted)
            return Answer({})
        if _found(keeping.held, wanted) is None:
            raise _nowhere()
        if not _is_damaged(keeping.held, wanted):
            raise RestError(409, "it waits for a look at its pixels, and can be read; let it wait")
        keeping.held.delete(wanted)
    except QuarantineError as error:
        raise RestError(500, str(error)) from None
    return Answer({})


def retry(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/quarantine/{id}/retry``: it is tried once more.

    What waited for a look at its pixels waits for it again; an original takes the way of what
    arrives.

    Raises
    ------
    RestError
        404, if there is no such entry in the quarantine; 409, if it cannot be read.
    """
    keeping = context.safekeeping
    try:
        entry = _found(keeping.quarantined, request.groups[0])
        if entry is None:
            raise _nowhere()
        held = keeping.retry(entry)
    except QuarantineError as error:
        raise RestError(409, str(error)) from None
    return Answer({"ID": held}, status=202)


def _found(folder: Quarantine, wanted: str) -> Held | None:
    return next((entry for entry in folder.entries() if entry.id == wanted), None)


def _is_damaged(folder: Quarantine, identity: str) -> bool:
    """Tell whether an entry can never be read; the list knows its description only."""
    try:
        folder.read(identity)
    except DamagedError:
        return True
    return False


def _nowhere() -> RestError:
    return RestError(404, "no such entry; GET /preread/quarantine lists them")


def _told(entry: Held, state: str) -> dict[str, Any]:
    return {
        "ID": entry.id,
        "State": state,
        "Time": entry.time.isoformat(),
        "Origin": entry.origin,
        "Reason": entry.damage or entry.reason,
        "Look": entry.look,
        "Size": entry.size,
        "Tries": entry.tries,
        "LastFailure": entry.last_failure,
    }
