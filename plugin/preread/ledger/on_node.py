"""What the parts of the ledger have in common: one node's rows, in one database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from preread.ledger.database import Database


class OnNode:
    """A part of the ledger of one node.

    Every method is one transaction and raises `preread.ledger.errors.LedgerError` if it cannot be
    carried out.

    Parameters
    ----------
    database
        The ledger's.
    node
        The Orthanc whose rows these are; in a shared database each has its own name.
    clock
        The time in UTC; None for that of the database.
    """

    def __init__(
        self, database: Database, node: str, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._node = node
        self._clock = clock

    def _now(self, session: Session) -> datetime:
        return self._database.now(session) if self._clock is None else self._clock()
