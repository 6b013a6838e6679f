"""How events of a journal, and requests, become jobs.

Everything here runs inside a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger import networks, task_rows
from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.job import JobState
from preread.ledger.lending import end, waiting
from preread.ledger.schema import CursorRow, InstanceRow, JobRow

SUPERSEDED = "the instance arrived again or was deleted meanwhile"
_OPEN = (JobState.PENDING.value, JobState.RUNNING.value)


def apply(
    session: Session,
    node: str,
    journal: str,
    events: Sequence[Event],
    kinds: Sequence[str],
    now: datetime,
) -> None:
    """Take events and move the cursor; series that change become tasks of some kinds."""
    cursor = session.get(CursorRow, (node, journal), with_for_update=True)
    if cursor is None:
        cursor = CursorRow(node=node, journal=journal, seq=0, updated=now)
        session.add(cursor)
        # A second forwarder of the same journal fails here instead of taking the events too.
        session.flush()
    # Only the last word on each instance matters: what was before it is superseded already.
    latest = {event.instance: event for event in _rising(events) if event.seq > cursor.seq}
    rows = _locked(session, node, latest)
    taken = [
        (event, row)
        for event in latest.values()
        if (row := _taken(session, node, rows.get(event.instance), event)) is not None
    ]
    changed = [row for _, row in taken]
    session.flush()
    networks.take(session, node, [event for event, _ in taken], now)
    images = [row for event, row in taken if event.arrival is None or not event.arrival.network]
    task_rows.series_changed(session, node, kinds, images, now)
    _supersede(session, changed, now)
    _add_jobs(session, [row for row in changed if not row.deleted], now)
    cursor.seq = max([cursor.seq, *(event.seq for event in events)])
    cursor.updated = now


def request(
    session: Session,
    node: str,
    instances: Iterable[str],
    *,
    models: Sequence[str] | None,
    fingerprint: str,
    now: datetime,
) -> dict[str, int]:
    """Find or make a job for each instance, and return their numbers by Orthanc's id."""
    rows = [row for row in _locked(session, node, instances).values() if not row.deleted]
    open_jobs = {job.instance_id: job for job in _open_jobs(session, rows)}
    made: dict[str, JobRow] = {}
    for row in rows:
        job = open_jobs.get(row.id)
        if job is None:
            chosen = list(row.models if models is None else models)
            if not chosen and not row.work:
                continue
            job = _job(row, JobState.PENDING, "", now)
            job.models = chosen
            job.fingerprint = row.fingerprint if models is None else fingerprint
            session.add(job)
        elif models is not None and job.state == JobState.PENDING.value:
            job.models, job.fingerprint = list(models), fingerprint
        made[row.instance] = job
    session.flush()
    for row in rows:
        if row.instance in made:
            row.job_id = made[row.instance].id
    return {instance: job.id for instance, job in made.items()}


def _rising(events: Sequence[Event]) -> list[Event]:
    """Order events so that the last of an instance is that of its highest generation."""
    return sorted(events, key=lambda event: (event.generation, event.seq))


def _locked(session: Session, node: str, instances: Iterable[str]) -> dict[str, InstanceRow]:
    query = (
        select(InstanceRow)
        .where(InstanceRow.node == node, InstanceRow.instance.in_(list(instances)))
        .order_by(InstanceRow.id)
        .with_for_update()
    )
    return {row.instance: row for row in session.scalars(query)}


def _taken(
    session: Session, node: str, row: InstanceRow | None, event: Event
) -> InstanceRow | None:
    """Bring a row up to date with an event; None if the event says nothing new."""
    if row is not None and event.generation <= row.generation:
        return None
    if row is None:
        if event.arrival is None:
            return None
        row = InstanceRow(node=node, instance=event.instance, received=event.time)
        session.add(row)
    if event.arrival is not None:
        _describe(row, event.arrival)
    row.generation = event.generation
    row.deleted = event.kind is EventKind.DELETED
    row.updated = event.time
    return row


def _describe(row: InstanceRow, arrival: Arrival) -> None:
    row.series = arrival.series
    row.study = arrival.study
    row.patient = arrival.patient
    row.SOPInstanceUID = arrival.SOPInstanceUID
    row.SeriesInstanceUID = arrival.SeriesInstanceUID
    row.StudyInstanceUID = arrival.StudyInstanceUID
    row.SOPClassUID = arrival.SOPClassUID
    row.Modality = arrival.Modality
    row.models = list(arrival.models)
    row.fingerprint = arrival.fingerprint
    row.reason = arrival.reason
    row.body_parts = list(arrival.body_parts)
    row.work = arrival.work


def _open_jobs(session: Session, rows: Sequence[InstanceRow]) -> Sequence[JobRow]:
    query = (
        select(JobRow)
        .where(JobRow.instance_id.in_([row.id for row in rows]), JobRow.state.in_(_OPEN))
        .order_by(JobRow.id)
        .with_for_update()
    )
    return session.scalars(query).all()


def _supersede(session: Session, rows: Sequence[InstanceRow], now: datetime) -> None:
    for job in _open_jobs(session, rows):
        end(job, JobState.SUPERSEDED, SUPERSEDED, now)
    session.flush()


def _add_jobs(session: Session, rows: Sequence[InstanceRow], now: datetime) -> None:
    jobs = [
        _job(row, JobState.PENDING, "", now)
        if row.work
        else _job(row, JobState.UNREAD, row.reason, now)
        for row in rows
    ]
    session.add_all(jobs)
    session.flush()
    for row, job in zip(rows, jobs, strict=True):
        row.job_id = job.id


def _job(row: InstanceRow, state: JobState, reason: str, now: datetime) -> JobRow:
    return JobRow(
        node=row.node,
        instance_id=row.id,
        generation=row.generation,
        models=list(row.models),
        fingerprint=row.fingerprint,
        **(waiting(now) | {"state": state.value, "reason": reason}),
    )
