"""/preread/quarantine: what is kept outside Orthanc because it is not safe, or not yet."""

from __future__ import annotations

from typing import Any

from preread.deidentify.quarantine import Held, QuarantineError
from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.runner.holding import AGAIN


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
        404, if there is no such entry in the quarantine.
    """
    entry = _entry(context, request)
    context.safekeeping.quarantined.delete(entry.id)
    return Answer({})


def retry(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/quarantine/{id}/retry``: it takes the way of what arrives once more.

    Raises
    ------
    RestError
        404, if there is no such entry in the quarantine; 409, if it cannot be read.
    """
    entry, keeping = _entry(context, request), context.safekeeping
    try:
        data = keeping.quarantined.read(entry.id)
        held = keeping.held.put(data, reason=AGAIN, origin=entry.origin)
        keeping.quarantined.delete(entry.id)
    except QuarantineError as error:
        raise RestError(409, str(error)) from None
    return Answer({"ID": held}, status=202)


def _entry(context: Context, request: Request) -> Held:
    wanted = request.groups[0]
    for entry in context.safekeeping.quarantined.entries():
        if entry.id == wanted:
            return entry
    raise RestError(404, "no such entry; GET /preread/quarantine lists them")


def _told(entry: Held, state: str) -> dict[str, Any]:
    return {
        "ID": entry.id,
        "State": state,
        "Time": entry.time.isoformat(),
        "Origin": entry.origin,
        "Reason": entry.damage or entry.reason,
        "Size": entry.size,
        "Tries": entry.tries,
        "LastFailure": entry.last_failure,
    }
