"""What is asked of the ledger without changing it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, distinct, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from preread.findings.prediction import Prediction
from preread.ledger import outcomes
from preread.ledger.job import (
    InstanceRecord,
    InstanceResult,
    Job,
    JobState,
    Level,
    ReadSeries,
)
from preread.ledger.schema import InstanceRow, JobRow, OutcomeRow

_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_ORTHANC: dict[Level, InstrumentedAttribute[str]] = {
    Level.INSTANCE: InstanceRow.instance,
    Level.SERIES: InstanceRow.series,
    Level.STUDY: InstanceRow.study,
}
_DICOM: dict[Level, InstrumentedAttribute[str]] = {
    Level.INSTANCE: InstanceRow.SOPInstanceUID,
    Level.SERIES: InstanceRow.SeriesInstanceUID,
    Level.STUDY: InstanceRow.StudyInstanceUID,
}


def highest_generation(session: Session, node: str) -> int:
    """Return the highest generation of any instance; 0 if there is none."""
    query = select(func.max(InstanceRow.generation)).where(InstanceRow.node == node)
    return session.scalar(query) or 0


def knows(session: Session, instance: str) -> bool:
    """Tell whether any node has told of an instance by Orthanc's id, and not of its deletion."""
    query = select(InstanceRow.id).where(
        InstanceRow.instance == instance, InstanceRow.deleted.is_(False)
    )
    return session.scalar(query.limit(1)) is not None


def generations(session: Session, node: str, after: str, limit: int) -> list[tuple[str, int]]:
    """Return instances that are not deleted with their generations, by rising Orthanc id."""
    query = (
        select(InstanceRow.instance, InstanceRow.generation)
        .where(
            InstanceRow.node == node,
            InstanceRow.instance > after,
            InstanceRow.deleted.is_(False),
        )
        .order_by(InstanceRow.instance)
        .limit(limit)
    )
    return [(instance, generation) for instance, generation in session.execute(query)]


def jobs(
    session: Session,
    node: str,
    status: JobState | None,
    limit: int,
    since: datetime | None,
    offset: int,
) -> list[Job]:
    """Return jobs, the latest changed first."""
    query = (
        select(JobRow, InstanceRow)
        .join(InstanceRow, InstanceRow.id == JobRow.instance_id)
        .where(JobRow.node == node)
        .order_by(JobRow.updated.desc(), JobRow.id.desc())
        .limit(limit)
        .offset(offset)
    )
    if status is not None:
        query = query.where(JobRow.state == status.value)
    if since is not None:
        query = query.where(JobRow.updated >= since)
    return [_job(row, instance) for row, instance in session.execute(query)]


def jobs_of(session: Session, rows: Sequence[JobRow]) -> list[Job]:
    """Return jobs for rows, in their order."""
    query = select(InstanceRow).where(InstanceRow.id.in_([row.instance_id for row in rows]))
    found = {instance.id: instance for instance in session.scalars(query)}
    return [_job(row, found[row.instance_id]) for row in rows]


def instances(session: Session, node: str, level: Level, identifier: str) -> list[InstanceRecord]:
    """Return the instances below something that are not deleted, in the order of arrival."""
    query = (
        select(InstanceRow, JobRow)
        .outerjoin(JobRow, JobRow.id == InstanceRow.job_id)
        .where(*_below(node, level, identifier))
        .order_by(InstanceRow.id)
    )
    return [_record(instance, job) for instance, job in session.execute(query)]


def results(session: Session, node: str, level: Level, identifier: str) -> list[InstanceResult]:
    """Return the same with what was found in their current pixels."""
    query = (
        select(InstanceRow.instance, OutcomeRow)
        .join(
            OutcomeRow,
            and_(
                InstanceRow.id == OutcomeRow.instance_id,
                InstanceRow.generation == OutcomeRow.generation,
            ),
        )
        .where(*_below(node, level, identifier))
        .order_by(OutcomeRow.instance_id, OutcomeRow.position)
    )
    found: dict[str, list[Prediction]] = defaultdict(list)
    for instance, outcome in session.execute(query):
        found[instance].append(outcomes.shown(outcome))
    return [
        InstanceResult(record, tuple(found[record.instance]))
        for record in instances(session, node, level, identifier)
    ]


def studies(session: Session, node: str, limit: int) -> list[ReadSeries]:
    """Return the series in which models have read images, the latest read study first."""
    current = and_(
        InstanceRow.id == OutcomeRow.instance_id, InstanceRow.generation == OutcomeRow.generation
    )
    is_here = (InstanceRow.node == node, InstanceRow.deleted.is_(False))
    latest = (
        select(InstanceRow.study, func.max(OutcomeRow.date).label("date"))
        .join(OutcomeRow, current)
        .where(*is_here)
        .group_by(InstanceRow.study)
        .order_by(func.max(OutcomeRow.date).desc(), InstanceRow.study)
        .limit(limit)
        .subquery()
    )
    query = (
        select(
            InstanceRow.study,
            InstanceRow.StudyInstanceUID,
            InstanceRow.series,
            InstanceRow.SeriesInstanceUID,
            func.count(distinct(InstanceRow.id)),
        )
        .join(OutcomeRow, current)
        .join(latest, latest.c.study == InstanceRow.study)
        .where(*is_here)
        .group_by(
            latest.c.date,
            InstanceRow.study,
            InstanceRow.StudyInstanceUID,
            InstanceRow.series,
            InstanceRow.SeriesInstanceUID,
        )
        .order_by(latest.c.date.desc(), InstanceRow.study, InstanceRow.series)
    )
    return [ReadSeries(*row) for row in session.execute(query)]


def _below(node: str, level: Level, identifier: str) -> list[ColumnElement[bool]]:
    column = (_ORTHANC if _ORTHANC_ID.fullmatch(identifier) else _DICOM)[level]
    # Nothing that is stored has a control character, and PostgreSQL refuses a NUL as a parameter.
    wanted = identifier if identifier.isprintable() else ""
    return [
        InstanceRow.node == node,
        InstanceRow.deleted.is_(False),
        column == wanted,
        column != "",
    ]


def _job(row: JobRow, instance: InstanceRow) -> Job:
    return Job(
        id=row.id,
        instance=instance.instance,
        series=instance.series,
        study=instance.study,
        SOPInstanceUID=instance.SOPInstanceUID,
        SeriesInstanceUID=instance.SeriesInstanceUID,
        StudyInstanceUID=instance.StudyInstanceUID,
        generation=row.generation,
        models=tuple(row.models),
        fingerprint=row.fingerprint,
        attempts=row.attempts,
        interruptions=row.interruptions,
        state=JobState(row.state),
        reason=row.reason,
        owner=row.owner,
        reservation=row.reservation,
        created=row.created,
        updated=row.updated,
    )


def _record(row: InstanceRow, job: JobRow | None) -> InstanceRecord:
    return InstanceRecord(
        instance=row.instance,
        series=row.series,
        study=row.study,
        patient=row.patient,
        SOPInstanceUID=row.SOPInstanceUID,
        SeriesInstanceUID=row.SeriesInstanceUID,
        StudyInstanceUID=row.StudyInstanceUID,
        SOPClassUID=row.SOPClassUID,
        Modality=row.Modality,
        models=tuple(row.models),
        fingerprint=row.fingerprint,
        reason=row.reason,
        body_parts=tuple(row.body_parts),
        work=row.work,
        generation=row.generation,
        received=row.received,
        updated=row.updated,
        job=row.job_id,
        state=None if job is None else JobState(job.state),
        state_reason="" if job is None else job.reason,
    )
