"""The tasks of any one kind of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from preread.ledger.database import Database
from preread.ledger.schema import STORED, InstanceRow
from preread.ledger.task import Task, TaskState
from preread.ledger.task_queue import OVERTAKEN, Queue
from preread.ledger.task_schema import TaskRow

_MOST_LISTED: Final = 100


class Tasks(Queue[Task]):
    """The tasks of any one kind; see `Queue`.

    Parameters
    ----------
    database, node, clock
        As of all parts of the ledger.
    kind
        Which.
    """

    def __init__(
        self,
        database: Database,
        node: str,
        clock: Callable[[], datetime] | None = None,
        *,
        kind: str,
    ) -> None:
        super().__init__(database, node, clock)
        self.kind = kind

    def ask(self, subject: str, name: str = "", payload: Mapping[str, Any] | None = None) -> Task:
        """Have something done with a subject now, as it is.

        Parameters
        ----------
        subject
            Orthanc's id of an image or a series.
        name
            Tells several tasks of a subject apart.
        payload
            What is wanted; plain JSON.
        """
        with self._database.writing() as session:
            row = self._put(session, subject, name, payload or {}, self._now(session))
            return self._shown(session, row)

    def of(self, number: int) -> Task | None:
        """Return one, by the ledger's number."""
        return self._one(number)

    def of_subjects(self, subjects: Sequence[str]) -> list[Task]:
        """Return what is known of subjects, in the order of the first request."""
        return self._of_subjects(subjects)

    def done(self, task: Task, outcome: Mapping[str, Any], stored: Sequence[str] = ()) -> bool:
        """Write down what came of it; False if it is no longer held.

        Parameters
        ----------
        task
            Which.
        outcome
            Plain JSON.
        stored
            Orthanc's ids of the objects that tell of it.
        """

        def write(row: TaskRow) -> None:
            row.outcome, row.stored = dict(outcome), " ".join(stored)

        return self._finish(task, TaskState.DONE, write=write)

    def leave(self, task: Task, reason: str) -> bool:
        """Write down that there is nothing to do, for a reason that is no failure."""

        def write(row: TaskRow) -> None:
            row.outcome = {}

        return self._finish(task, TaskState.UNREAD, reason, write)

    def superseded(self, task: Task, reason: str = OVERTAKEN) -> bool:
        """Write down that the subject is not there any more as it was."""
        return self._finish(task, TaskState.SUPERSEDED, reason)

    def withdrawn(self) -> list[Task]:
        """Return those whose object is stored and should not be.

        No image of the subject is there any more, there is nothing to tell, or it failed.
        """
        of_subject = or_(
            InstanceRow.series == TaskRow.subject, InstanceRow.instance == TaskRow.subject
        )
        there = select(InstanceRow.id).where(
            InstanceRow.node == self._node, InstanceRow.deleted.is_(False), of_subject
        )
        ended = (TaskState.UNREAD.value, TaskState.FAILED.value, TaskState.SUPERSEDED.value)
        query = (
            self._rows()
            .where(STORED, or_(~there.exists(), TaskRow.state.in_(ended)))
            .limit(_MOST_LISTED)
        )
        with self._database.reading() as session:
            return [self._shown(session, row) for row in session.scalars(query)]

    def forget(self, task: Task) -> None:
        """Write down that a task's object is not stored any more."""
        with self._database.writing() as session:
            row = session.get(TaskRow, task.id, with_for_update=True)
            if row is not None and tuple(row.stored.split()) == task.stored:
                row.stored = ""

    def _shown(self, session: Session, row: TaskRow) -> Task:  # noqa: ARG002 - other kinds need it
        return task_of(row)


def task_of(row: TaskRow) -> Task:
    """Return a row as it is handed out, whatever its kind."""
    return Task(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        name=row.name,
        generation=row.generation,
        payload=row.payload,
        outcome=row.outcome,
        asked=row.asked,
        revision=row.revision,
        stored=tuple(row.stored.split()),
        state=TaskState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        owner=row.owner,
        reservation=row.reservation,
        created=row.created,
        updated=row.updated,
    )
