"""The register of networks that are kept as DICOM objects, in the same database as the ledger.

Instances enter it with the events of the journal, files as the runner finds them. What was received
waits among the ledger's tasks until the runner has looked at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger.arrival import Event, EventKind
from preread.ledger.counting import count
from preread.ledger.inserting import add_unless_there
from preread.ledger.network import Network, NetworkState
from preread.ledger.network_rows import look_at, new, settle, shown
from preread.ledger.on_node import OnNode
from preread.ledger.schema import NetworkRow

_GONE: Final = "it was deleted, or something else took its place"
_NO_FILE: Final = "the file is not there any more"
_IN_FOLDER: Final = "it lies in the models folder"


class Networks(OnNode):
    """The networks of one node."""

    # What the API, and who chooses a network, need.

    def all(self) -> list[Network]:
        """Return all that are there, the latest arrived first."""
        query = (
            select(NetworkRow)
            .where(
                NetworkRow.node == self._node,
                NetworkRow.state != NetworkState.DELETED.value,
            )
            .order_by(NetworkRow.arrived.desc(), NetworkRow.id.desc())
        )
        with self._database.reading() as session:
            return [shown(row) for row in session.scalars(query)]

    def valid(self) -> list[Network]:
        """Return those that can be run; of several with one DnnUID the latest arrived."""
        found: dict[str, Network] = {}
        for network in self.all():
            if network.state is NetworkState.VALID and network.described is not None:
                found.setdefault(network.described.DnnUID, network)
        return list(found.values())

    def of(self, DnnUID: str) -> Network | None:  # noqa: N803 - the attribute's own name
        """Return the one that is run under a DnnUID; None if there is none."""
        return next(
            (each for each in self.valid() if each.described and each.described.DnnUID == DnnUID),
            None,
        )

    def counts(self) -> dict[NetworkState, int]:
        """Return how many are in each state."""
        with self._database.reading() as session:
            return count(session, NetworkRow.state, NetworkState, NetworkRow.node == self._node)

    # What the runner needs; `preread.ledger.network_checks` has what it looks at.

    def reconsider(self) -> int:
        """Have those looked at again that are invalid: weights may have come, limits changed."""
        query = (
            select(NetworkRow)
            .where(NetworkRow.node == self._node, NetworkRow.state == NetworkState.INVALID.value)
            .order_by(NetworkRow.id)
            .with_for_update()
        )
        with self._database.writing() as session:
            now = self._now(session)
            rows = list(session.scalars(query))
            for row in rows:
                look_at(session, row, row.digest, row.trust, now)
            return len(rows)

    def keep_files(self, files: Mapping[str, str]) -> None:
        """Bring the register in line with the files of the models folder.

        Parameters
        ----------
        files
            The SHA-256 of each, by name.
        """
        query = (
            select(NetworkRow)
            .where(NetworkRow.node == self._node, NetworkRow.file != "")
            .order_by(NetworkRow.id)
            .with_for_update()
        )
        with self._database.writing() as session:
            now = self._now(session)
            rows = {row.file: row for row in session.scalars(query)}
            for name, row in rows.items():
                if name not in files and row.state != NetworkState.DELETED.value:
                    settle(session, row, NetworkState.DELETED, _NO_FILE, now)
            for name, digest in files.items():
                known = rows.get(name)
                if known is None:
                    known = new(self._node, now)
                    known.file = name
                    if not add_unless_there(session, known):
                        known = session.scalars(query.where(NetworkRow.file == name)).one()
                if known.digest == digest and known.state != NetworkState.DELETED.value:
                    continue
                look_at(session, known, digest, _IN_FOLDER, now)
                known.arrived = now


def take(session: Session, node: str, events: Sequence[Event], now: datetime) -> None:
    """Take instances into the register, and out of it, as they arrive and are deleted.

    Runs inside the transaction in which the ledger takes the events.

    Parameters
    ----------
    events
        The last of each instance that says something new.
    """
    known = _known(session, node, [event.instance for event in events])
    for event in events:
        row = known.get(event.instance)
        arrival = event.arrival
        if event.kind is EventKind.DELETED or arrival is None or not arrival.network:
            if row is not None and row.state != NetworkState.DELETED.value:
                settle(session, row, NetworkState.DELETED, _GONE, now)
                row.generation = event.generation
            continue
        if row is None:
            row = new(node, now)
            row.instance = event.instance
            session.add(row)
        is_trusted = arrival.network == NetworkState.RECEIVED.value
        trust = arrival.reason if is_trusted else ""
        look_at(session, row, arrival.network_digest, trust, now)
        if not is_trusted:
            settle(session, row, NetworkState.UNTRUSTED, arrival.reason, now)
        row.generation = event.generation
        row.SOPInstanceUID = arrival.SOPInstanceUID
        row.arrived = event.time
    session.flush()


def _known(session: Session, node: str, instances: Iterable[str]) -> dict[str, NetworkRow]:
    query = (
        select(NetworkRow)
        .where(NetworkRow.node == node, NetworkRow.instance.in_(list(instances)))
        .order_by(NetworkRow.id)
        .with_for_update()
    )
    return {row.instance: row for row in session.scalars(query)}
