"""What the id in the path of a call means: Orthanc's own, the stored UID, or the sender's.

Who sent an object knows the UIDs that it had. They are answered by the pseudonym that the key makes
of them, so whoever may ask the API learns what became of a UID that they know already.
"""

from __future__ import annotations

from typing import Final

import orthanc

from preread.elements import is_orthanc_id
from preread.hooks.context import Context
from preread.ledger.job import InstanceResult, Level

LEVELS: Final = {"instances": Level.INSTANCE, "series": Level.SERIES, "studies": Level.STUDY}
_LOOKUPS: Final = {
    "instances": orthanc.LookupInstance,
    "series": orthanc.LookupSeries,
    "studies": orthanc.LookupStudy,
}


def results_of(context: Context, level: str, identifier: str) -> tuple[InstanceResult, ...]:
    """Return what the ledger knows of the instances below something; empty if it knows nothing.

    Parameters
    ----------
    context
        What the routes share.
    level
        ``instances``, ``series`` or ``studies``.
    identifier
        Orthanc's id or a UID.
    """
    ledger = context.ledger()
    found = tuple(ledger.results(LEVELS[level], identifier))
    if found or is_orthanc_id(identifier):
        return found
    pseudonym = context.pseudonyms.uid(identifier)
    return tuple(ledger.results(LEVELS[level], pseudonym)) if pseudonym != identifier else ()


def stored_as(context: Context, level: str, identifier: str) -> str:
    """Return the Orthanc id of what Orthanc stores for a UID; empty if there is nothing.

    It may have arrived a moment ago, and be on its way to the ledger.
    """
    if is_orthanc_id(identifier):
        return ""
    try:
        return _LOOKUPS[level](context.pseudonyms.uid(identifier)) or ""
    except orthanc.OrthancException:
        return ""
