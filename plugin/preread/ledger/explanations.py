"""The queue of what is to be explained, among the ledger's tasks.

As everywhere in the ledger, an instance's row is locked before the rows that refer to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from preread.ledger.asking import KIND, ask
from preread.ledger.explanation import Explanation, Wanted
from preread.ledger.lending import end
from preread.ledger.schema import STORED, InstanceRow
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState
from preread.ledger.task_queue import OVERTAKEN, Queue
from preread.ledger.task_schema import TaskRow

_MOST_WITHDRAWN: Final = 100


class Explanations(Queue[Explanation]):
    """What networks are to show of themselves, on one node."""

    kind = KIND
    _states = tuple(state for state in TaskState if state is not TaskState.UNREAD)
    _max_attempts = 3
    _remembers_who_asked = True
    _ended = "the runner ended {} times while it made this map; see its log"

    # What the API needs.

    def ask(self, instance: str, wanted: Sequence[Wanted]) -> list[Explanation]:
        """Have classes of an image explained, in its current generation.

        What was explained before is explained again; its map takes the place of the old one.

        Parameters
        ----------
        instance
            Orthanc's id; nothing is written down for one that is unknown or deleted.
        wanted
            Each once.
        """
        with self._database.writing() as session:
            row = session.scalar(
                select(InstanceRow)
                .where(
                    InstanceRow.node == self._node,
                    InstanceRow.instance == instance,
                    InstanceRow.deleted.is_(False),
                )
                .with_for_update()
            )
            if row is None:
                return []
            rows = ask(session, row, wanted, self._now(session))
            return [self._shown(session, one) for one in rows]

    def of(self, instance: str) -> list[Explanation]:
        """Return what is to be seen, or will be, of the current pixels of an image.

        Parameters
        ----------
        instance
            Orthanc's id.
        """
        query = self._with_image().where(
            TaskRow.subject == instance,
            InstanceRow.deleted.is_(False),
            InstanceRow.generation == TaskRow.generation,
        )
        with self._database.reading() as session:
            return [self._shown(session, row) for row in session.scalars(query)]

    # What the runner needs.

    def done(
        self, explanation: Explanation, place: ObjectIdentity, probability: float | None
    ) -> bool:
        """Write down where a map is stored, and which probability it shows, if any.

        Returns
        -------
        bool
            False if it is no longer held.
        """

        def write(row: TaskRow) -> None:
            row.stored, row.outcome = place.instance, place.to_json()
            row.payload = row.payload | {"Probability": probability}

        return self._finish(explanation, TaskState.DONE, write=write)

    def superseded(self, explanation: Explanation) -> bool:
        """Write down that the image is not the one any more that was to be explained."""
        return self._finish(explanation, TaskState.SUPERSEDED, OVERTAKEN)

    def withdrawn(self) -> list[Explanation]:
        """Return maps that are stored and should not be.

        Their image was deleted or has other pixels now, or they could not be made anew.
        """
        query = (
            self._with_image()
            .where(
                STORED,
                or_(
                    InstanceRow.deleted.is_(True),
                    InstanceRow.generation != TaskRow.generation,
                    TaskRow.state == TaskState.FAILED.value,
                ),
            )
            .limit(_MOST_WITHDRAWN)
        )
        with self._database.reading() as session:
            return [self._shown(session, row) for row in session.scalars(query)]

    def forget_map(self, explanation: Explanation) -> None:
        """Write down that a map is not stored any more."""
        with self._database.writing() as session:
            row = session.get(TaskRow, explanation.id, with_for_update=True)
            stored = explanation.map
            if row is not None and stored is not None and row.stored == stored.instance:
                row.stored, row.outcome = "", {}
                if row.state == TaskState.DONE.value:
                    end(row, TaskState.SUPERSEDED, OVERTAKEN, self._now(session))

    # How it is done.

    def _with_image(self) -> Select[TaskRow]:
        same = (InstanceRow.node == TaskRow.node) & (InstanceRow.instance == TaskRow.subject)
        return self._rows().join(InstanceRow, same)

    def _shown(self, session: Session, row: TaskRow) -> Explanation:  # noqa: ARG002 - others need it
        return Explanation(
            id=row.id,
            instance=row.subject,
            generation=row.generation,
            wanted=Wanted.from_json(row.payload),
            asked=row.asked,
            state=TaskState(row.state),
            reason=row.reason,
            attempts=row.attempts,
            map=ObjectIdentity.from_json(row.outcome) if row.stored else None,
            owner=row.owner,
            reservation=row.reservation,
            updated=row.updated,
        )
