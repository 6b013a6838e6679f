"""The journal's list of what was not taken, or should not have been stored.

Everything here works on a connection of the caller, in its transaction.
"""

from __future__ import annotations

import sqlite3
from typing import Final

_KEPT: Final = 1000
_LONGEST: Final = 1000


def refuse(database: sqlite3.Connection, seconds: float, origin: str, reason: str) -> None:
    """Add one entry; the last 1000 are kept.

    Parameters
    ----------
    seconds
        When, since 1970, UTC.
    origin
        Where the object came from: C-STORE, REST, ...
    reason
        Why, free of any value of the data set.
    """
    database.execute(
        "INSERT INTO refusal (time, origin, reason) VALUES (?, ?, ?)",
        (seconds, origin[:_LONGEST], reason[:_LONGEST]),
    )
    database.execute("DELETE FROM refusal WHERE id <= (SELECT MAX(id) FROM refusal) - ?", (_KEPT,))
