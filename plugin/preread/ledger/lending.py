"""How rows of a queue are lent, held, given back and brought to an end.

All queues of the ledger have one shape: Reserve and Acknowledge. A row that is lent has an owner, a
number of the reservation and a time until which it is held; what is told of it counts only if its
present holder tells it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from preread.ledger.schema import Lendable
from preread.ledger.task import TaskState

FIRST_BACKOFF: Final = 2.0  # seconds
_LONGEST_REASON: Final = 1000


class Lent(Protocol):
    """What tells an answer of the present holder from that of a former one."""

    @property
    def id(self) -> int:
        """The ledger's number of it."""
        ...

    @property
    def owner(self) -> str:
        """Who holds it."""
        ...

    @property
    def reservation(self) -> int:
        """How often it had been lent by then."""
        ...


def waiting(now: datetime) -> dict[str, Any]:
    """Return the columns of a row that nobody has held yet and that may be lent at once."""
    return {
        "state": TaskState.PENDING.value,
        "reason": "",
        "attempts": 0,
        "interruptions": 0,
        "owner": "",
        "reservation": 0,
        "not_before": now,
        "lease_until": None,
        "created": now,
        "updated": now,
    }


def lend(row: Lendable, owner: str, lease_seconds: float, now: datetime) -> None:
    """Make somebody the holder of a row."""
    row.state = TaskState.RUNNING.value
    row.owner = owner
    row.reservation += 1
    row.lease_until = now + timedelta(seconds=lease_seconds)
    row.updated = now


def is_held(row: Lendable, lent: Lent) -> bool:
    """Tell whether what was lent is held still, by the one to whom it was lent."""
    return row.state == TaskState.RUNNING.value and (
        (row.owner, row.reservation) == (lent.owner, lent.reservation)
    )


def end(row: Lendable, state: StrEnum, reason: str, now: datetime) -> None:
    """Write down what became of a row, and that nobody holds it."""
    row.state = state.value
    row.reason = reason[:_LONGEST_REASON]
    row.owner = ""
    row.lease_until = None
    row.updated = now


def give_back(row: Lendable, reason: str, now: datetime, pause: float = 0.0) -> None:
    """Have a row lent again, after a pause in seconds."""
    end(row, TaskState.PENDING, reason, now)
    row.not_before = now + timedelta(seconds=pause)


def interrupt(row: Lendable, most: int, now: datetime) -> bool:
    """Take a row back from a holder that is gone; True, and nothing else, if too many are gone.

    Parameters
    ----------
    most
        Interruptions that are too many.
    """
    row.interruptions += 1
    if row.interruptions >= most:
        return True
    give_back(row, row.reason, now)
    return False
