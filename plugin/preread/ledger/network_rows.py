"""How what is known of a network becomes rows: its own, and the task of looking at it.

Everything here runs inside a transaction of the caller, who has locked the network's row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger.lending import end
from preread.ledger.network import Network, NetworkDescription, NetworkState
from preread.ledger.schema import NetworkRow
from preread.ledger.task import TaskState
from preread.ledger.task_rows import begin, new_row
from preread.ledger.task_schema import TaskRow

CHECK: Final = "network"
"""The kind of the tasks; their subject is the network's number."""
_LONGEST_REASON: Final = 1000
_DESCRIBED: Final = (
    "DnnUID", "DnnName", "Modality", "BodyPartExamined", "SamplesPerPixel",
    "PhotometricInterpretation", "Rows", "Columns", "Description", "Layout", "created",
    "parameters", "weights_sha256",
)  # fmt: skip
_COUNTED: Final = ("SamplesPerPixel", "Rows", "Columns", "parameters")
_ENDS: Final = {
    NetworkState.VALID: TaskState.DONE,
    NetworkState.INVALID: TaskState.FAILED,
    NetworkState.UNTRUSTED: TaskState.UNREAD,
    NetworkState.DELETED: TaskState.SUPERSEDED,
}


def new(node: str, now: datetime) -> NetworkRow:
    """Make the row of a network of which nothing is known yet."""
    texts = dict.fromkeys((name for name in _DESCRIBED if name not in _COUNTED), "")
    return NetworkRow(
        node=node,
        instance="",
        file="",
        SOPInstanceUID="",
        generation=0,
        digest="",
        trust="",
        body_parts=[],
        state=NetworkState.RECEIVED.value,
        reason="",
        arrived=now,
        updated=now,
        **texts,
        **dict.fromkeys(_COUNTED, 0),
    )


def look_at(session: Session, row: NetworkRow, digest: str, trust: str, now: datetime) -> None:
    """Have a network looked at as if it were new."""
    row.digest, row.trust = digest, trust
    row.state, row.reason, row.updated = NetworkState.RECEIVED.value, "", now
    session.flush()
    task = _task(session, row)
    if task is None:
        session.add(new_row(row.node, CHECK, str(row.id), now))
    else:
        begin(task, now)
    session.flush()


def settle(
    session: Session, row: NetworkRow, state: NetworkState, reason: str, now: datetime
) -> None:
    """Write down where a network stands; whoever looks at it does so no more."""
    row.state, row.reason, row.updated = state.value, reason[:_LONGEST_REASON], now
    task = None if row.id is None else _task(session, row)
    if task is not None:
        end(task, _ENDS[state], reason, now)


def shown(row: NetworkRow, task: TaskRow | None = None) -> Network:
    """Return a network as it is handed out; the task tells who looks at it."""
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
        attempts=0 if task is None else task.interruptions + 1,
        owner="" if task is None else task.owner,
        reservation=0 if task is None else task.reservation,
    )


def describe(row: NetworkRow, described: NetworkDescription) -> None:
    """Write down what a network says of itself."""
    for name in _DESCRIBED:
        setattr(row, name, getattr(described, name))
    row.body_parts = list(described.body_parts)


def _task(session: Session, row: NetworkRow) -> TaskRow | None:
    return session.scalar(
        select(TaskRow)
        .where(TaskRow.node == row.node, TaskRow.kind == CHECK, TaskRow.subject == str(row.id))
        .with_for_update()
    )
