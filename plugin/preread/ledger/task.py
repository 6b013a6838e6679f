"""What the ledger hands out of its table of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class TaskState(StrEnum):
    """How far a task is."""

    PENDING = "pending"
    """It waits: for its turn, or for its subject to be complete."""
    RUNNING = "running"
    DONE = "done"
    UNREAD = "unread"
    """There is nothing to do, which is no failure; the reason says why."""
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """Its subject is not there any more as it was."""

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come."""
        return self in (TaskState.PENDING, TaskState.RUNNING)


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work of one kind.

    Attributes
    ----------
    id
        The ledger's number of it.
    kind
        Which kind of work.
    subject
        Orthanc's id of an image or a series, as it arrived.
    name
        Tells tasks of one kind and subject apart; empty where there is one.
    generation
        Of the image, when it was wanted; 0 where the subject has none.
    payload
        What is wanted, as the kind writes it down.
    outcome
        What came of it, as the kind writes it down; empty until it is done.
    asked
        Whether somebody waits for it.
    revision
        Raised by each change of the subject, and each time that somebody asks.
    stored
        Orthanc's ids of the objects that were stored for it.
    reason
        Why it was left, failed or superseded, or why the last try failed.
    owner, reservation
        They tell an answer of the present holder from that of a former one.
    """

    id: int
    kind: str
    subject: str
    name: str
    generation: int
    payload: Mapping[str, Any]
    outcome: Mapping[str, Any]
    asked: bool
    revision: int
    stored: tuple[str, ...]
    state: TaskState
    reason: str
    attempts: int
    owner: str
    reservation: int
    created: datetime
    updated: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it as Orthanc's API would show it."""
        return {
            "ID": self.id,
            "Kind": self.kind,
            "Subject": self.subject,
            "Name": self.name,
            "State": self.state.value,
            "Reason": self.reason,
            "Wanted": dict(self.payload),
            "Outcome": dict(self.outcome),
            "Stored": list(self.stored),
            "Attempts": self.attempts,
            "Created": self.created.isoformat(),
            "Updated": self.updated.isoformat(),
        }
