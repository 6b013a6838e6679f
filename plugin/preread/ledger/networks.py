"""The register of networks that are kept as DICOM objects, in the same database as the ledger.

Instances enter it with the events of the journal, files as the runner finds them. The runner
reserves what was received, looks at it, and writes down what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger.arrival import Event, EventKind
from preread.ledger.counting import count
from preread.ledger.inserting import add_unless_there
from preread.ledger.network import Network, NetworkDescription, NetworkState
from preread.ledger.on_node import OnNode
from preread.ledger.schema import RECEIVED, NetworkRow

_MOST_ATTEMPTS: Final = 5
_LONGEST_REASON: Final = 1000
_GONE: Final = "it was deleted, or something else took its place"
_NO_FILE: Final = "the file is not there any more"
_IN_FOLDER: Final = "it lies in the models folder"
_ENDED: Final = (
    f"the runner ended or hung {_MOST_ATTEMPTS} times while it looked at it; see its log"
)
_DESCRIBED: Final = (
    "DnnUID", "DnnName", "Modality", "BodyPartExamined", "SamplesPerPixel",
    "PhotometricInterpretation", "Rows", "Columns", "Description", "Layout", "created",
    "parameters", "weights_sha256",
)  # fmt: skip
_COUNTED: Final = ("SamplesPerPixel", "Rows", "Columns", "parameters")


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
            return [_shown(row) for row in session.scalars(query)]

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

    # What the runner needs.

    def reserve(self, lease_seconds: float) -> Network | None:
        """Lend the next one that nobody has looked at; None if there is none.

        One that has ended several runners is invalid from then on.

        Parameters
        ----------
        lease_seconds
            After which it is lent again if nothing has been written down of it.
        """
        with self._database.writing() as session:
            now = self._now(session)
            query = (
                select(NetworkRow)
                .where(NetworkRow.node == self._node, RECEIVED, NetworkRow.not_before <= now)
                .order_by(NetworkRow.attempts, NetworkRow.id)
                .limit(_MOST_ATTEMPTS)
                .with_for_update(skip_locked=True)
            )
            for row in session.scalars(query):
                if row.attempts >= _MOST_ATTEMPTS:
                    _settle(row, NetworkState.INVALID, _ENDED, now)
                    continue
                row.attempts += 1
                row.not_before = now + timedelta(seconds=lease_seconds)
                row.updated = now
                session.flush()
                return _shown(row)
            return None

    def accept(self, network: Network, described: NetworkDescription) -> bool:
        """Write down that a network can be run; False if another one has taken its place."""
        with self._database.writing() as session:
            row = self._held(session, network)
            if row is None:
                return False
            for name in _DESCRIBED:
                setattr(row, name, getattr(described, name))
            row.body_parts = list(described.body_parts)
            _settle(row, NetworkState.VALID, "", self._now(session))
            return True

    def refuse(self, network: Network, reason: str, *, untrusted: bool = False) -> bool:
        """Write down that a network cannot be run, or must not; False as `accept`."""
        state = NetworkState.UNTRUSTED if untrusted else NetworkState.INVALID
        with self._database.writing() as session:
            row = self._held(session, network)
            if row is not None:
                _settle(row, state, reason, self._now(session))
            return row is not None

    def release(self, network: Network, pause: float) -> bool:
        """Give one back untouched, to be lent after a pause in seconds."""
        with self._database.writing() as session:
            row = self._held(session, network)
            if row is not None:
                row.attempts = max(0, row.attempts - 1)
                row.not_before = self._now(session) + timedelta(seconds=pause)
            return row is not None

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
                _begin(row, row.digest, row.trust, now)
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
                    _settle(row, NetworkState.DELETED, _NO_FILE, now)
            for name, digest in files.items():
                known = rows.get(name)
                if known is None:
                    made = _new(self._node, now)
                    made.file = name
                    _begin(made, digest, _IN_FOLDER, now)
                    if add_unless_there(session, made):
                        continue
                    known = session.scalars(query.where(NetworkRow.file == name)).one()
                if known.digest == digest and known.state != NetworkState.DELETED.value:
                    continue
                _begin(known, digest, _IN_FOLDER, now)
                known.arrived = now

    # How it is done.

    def _held(self, session: Session, network: Network) -> NetworkRow | None:
        """Return the row of a network that is the one that was lent."""
        row = session.get(NetworkRow, network.id, with_for_update=True)
        same = row is not None and (
            row.state == NetworkState.RECEIVED.value
            and (row.generation, row.digest) == (network.generation, network.digest)
            and row.attempts == network.attempts
        )
        return row if same else None


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
                _settle(row, NetworkState.DELETED, _GONE, now)
                row.generation = event.generation
            continue
        if row is None:
            row = _new(node, now)
            row.instance = event.instance
            session.add(row)
        is_trusted = arrival.network == NetworkState.RECEIVED.value
        _begin(row, arrival.network_digest, arrival.reason if is_trusted else "", now)
        if not is_trusted:
            _settle(row, NetworkState.UNTRUSTED, arrival.reason, now)
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


def _new(node: str, now: datetime) -> NetworkRow:
    texts = dict.fromkeys((name for name in _DESCRIBED if name not in _COUNTED), "")
    return NetworkRow(
        node=node,
        instance="",
        file="",
        SOPInstanceUID="",
        generation=0,
        digest="",
        body_parts=[],
        arrived=now,
        **texts,
        **dict.fromkeys(_COUNTED, 0),
    )


def _begin(row: NetworkRow, digest: str, trust: str, now: datetime) -> None:
    """Have a row looked at as if it were new."""
    row.digest = digest
    row.trust = trust
    row.attempts = 0
    row.not_before = now
    _settle(row, NetworkState.RECEIVED, "", now)


def _settle(row: NetworkRow, state: NetworkState, reason: str, now: datetime) -> None:
    row.state = state.value
    row.reason = reason[:_LONGEST_REASON]
    row.updated = now


def _shown(row: NetworkRow) -> Network:
    described = None
    if row.state == NetworkState.VALID.value:
        described = NetworkDescription(
            body_parts=tuple(row.body_parts),
            **{name: getattr(row, name) for name in _DESCRIBED},
        )
    return Network(
        id=row.id,
        instance=row.instance,
        file=row.file,
        SOPInstanceUID=row.SOPInstanceUID,
        generation=row.generation,
        digest=row.digest,
        trust=row.trust,
        state=NetworkState(row.state),
        reason=row.reason,
        described=described,
        arrived=row.arrived,
        updated=row.updated,
        attempts=row.attempts,
    )
