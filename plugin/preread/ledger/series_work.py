"""The queue of series in which networks look for regions, among the ledger's tasks.

A series enters it with each arrival and deletion of an image, and is lent once nothing has changed
in it for a while, or at once if somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from preread.ledger.series_task import SeriesTask
from preread.ledger.skipped import SkippedImage
from preread.ledger.task import TaskState
from preread.ledger.task_queue import Queue
from preread.ledger.task_schema import TaskRow

KIND: Final = "regions"


class SeriesWork(Queue[SeriesTask]):
    """The series of one node."""

    kind = KIND
    _ended = "the runner ended {} times while it looked at this; see its log"

    def ask(self, series: str, scope: str = "", network: str = "") -> SeriesTask:
        """Have a series, or one image of it, looked at now, as it is.

        Parameters
        ----------
        series
            Orthanc's id.
        scope
            Orthanc's id of the one image; empty for all.
        network
            DnnUID; empty for the network that fits.
        """
        name = f"{scope}|{network}" if scope or network else ""
        payload = {"Instance": scope, "DnnUID": network}
        with self._database.writing() as session:
            row = self._put(session, series, name, payload, self._now(session))
            return self._shown(session, row)

    def of(self, number: int) -> SeriesTask | None:
        """Return one, by the ledger's number."""
        return self._one(number)

    def of_series(self, series: Sequence[str]) -> list[SeriesTask]:
        """Return what is known of series, by Orthanc's ids, in the order of the first request."""
        return self._of_subjects(series)

    def done(
        self,
        task: SeriesTask,
        ran: str,
        regions: int,
        proposal: str = "",
        skipped: Sequence[SkippedImage] = (),
    ) -> bool:
        """Write down what a network found and left out; False if it is no longer held."""

        def write(row: TaskRow) -> None:
            row.outcome = {
                "DnnUID": ran,
                "Regions": regions,
                "Proposal": proposal,
                "Skipped": [one.to_json() for one in skipped],
            }

        return self._finish(task, TaskState.DONE, write=write)

    def leave(self, task: SeriesTask, reason: str) -> bool:
        """Write down that no network looks at it, for a reason that is no failure."""

        def write(row: TaskRow) -> None:
            row.outcome = {}

        return self._finish(task, TaskState.UNREAD, reason, write)

    def _shown(self, session: Session, row: TaskRow) -> SeriesTask:  # noqa: ARG002 - others need it
        outcome = row.outcome
        return SeriesTask(
            id=row.id,
            series=row.subject,
            scope=row.payload.get("Instance", ""),
            network=row.payload.get("DnnUID", ""),
            asked=row.asked,
            revision=row.revision,
            state=TaskState(row.state),
            reason=row.reason,
            ran=outcome.get("DnnUID", ""),
            regions=outcome.get("Regions", 0),
            proposal=outcome.get("Proposal", ""),
            skipped=tuple(map(SkippedImage.from_json, outcome.get("Skipped", ()))),
            attempts=row.attempts,
            owner=row.owner,
            reservation=row.reservation,
            created=row.created,
            updated=row.updated,
        )
