"""The queue of networks that nobody has looked at yet, among the ledger's tasks.

A task's subject is the number of the network in the register. As the register does, it locks the
row of a network before its task.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from preread.ledger.network import Network, NetworkDescription, NetworkState
from preread.ledger.network_rows import CHECK, describe, settle, shown
from preread.ledger.schema import NetworkRow
from preread.ledger.task import TaskState
from preread.ledger.task_queue import Queue
from preread.ledger.task_schema import TaskRow


class NetworkChecks(Queue[Network]):
    """What has come to one node and was not looked at yet."""

    kind = CHECK
    _max_interruptions = 5
    _ended = "the runner ended or hung {} times while it looked at it; see its log"

    def accept(self, network: Network, described: NetworkDescription) -> bool:
        """Write down that a network can be run; False if another one has taken its place."""
        with self._database.writing() as session:
            row = self._network(session, network)
            if row is None:
                return False
            describe(row, described)
            settle(session, row, NetworkState.VALID, "", self._now(session))
            return True

    def refuse(self, network: Network, reason: str, *, untrusted: bool = False) -> bool:
        """Write down that a network cannot be run, or must not; False as `accept`."""
        state = NetworkState.UNTRUSTED if untrusted else NetworkState.INVALID
        with self._database.writing() as session:
            row = self._network(session, network)
            if row is not None:
                settle(session, row, state, reason, self._now(session))
            return row is not None

    # How it is done.

    def _row(self, session: Session, number: int, *, lock: bool = False) -> TaskRow | None:
        query = self._rows().where(TaskRow.subject == str(number))
        return session.scalar(query.with_for_update() if lock else query)

    def _shown(self, session: Session, row: TaskRow) -> Network:
        return shown(session.get_one(NetworkRow, int(row.subject)), row)

    def _network(self, session: Session, network: Network) -> NetworkRow | None:
        """Return the row of a network that is held by the one who asks."""
        row = session.get(NetworkRow, network.id, with_for_update=True)
        return row if self._held(session, network) is not None else None

    def _interrupt(self, session: Session, which: ColumnElement[bool], now: datetime) -> int:
        held = self._rows().where(TaskRow.state == TaskState.RUNNING.value, which)
        numbers = [int(row.subject) for row in session.scalars(held)]
        if numbers:
            query = select(NetworkRow).where(NetworkRow.id.in_(numbers)).order_by(NetworkRow.id)
            session.scalars(query.with_for_update()).all()
        return super()._interrupt(session, which, now)

    def _settle(
        self, session: Session, row: TaskRow, state: TaskState, reason: str, now: datetime
    ) -> None:
        if state is TaskState.FAILED:
            network = session.get_one(NetworkRow, int(row.subject))
            settle(session, network, NetworkState.INVALID, reason, now)
        else:
            super()._settle(session, row, state, reason, now)
