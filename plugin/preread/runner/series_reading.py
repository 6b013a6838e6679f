"""The work of a reader of series: fetch, read, write, deposit, and take back what is out of date.

It serves any reader and any writers; `preread.runner.kinds.reading` makes a kind of work of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from preread.archive.pacs import PacsUnreachableError, Superseded
from preread.errors import SettingsError
from preread.findings.findings import Findings
from preread.findings.reader import Facts
from preread.ledger.job import JobState, Level
from preread.results.writer import NewIdentity
from preread.runner.outcomes import Left, NotYet
from preread.runner.queue_worker import TROUBLE_PAUSE, QueueWorker
from preread.runner.series_images import OvertakenError, SeriesImages, usual_first
from preread.runner.sources import can_lie_beside, source_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from preread.findings.reader import Placed, Reader
    from preread.ledger.job import InstanceRecord
    from preread.ledger.stored import ObjectIdentity
    from preread.ledger.task import Task
    from preread.ledger.tasks import Tasks
    from preread.results.writer import Writer
    from preread.runner.parts import Parts
    from preread.runner.proposer import Proposer
    from preread.runner.sources import SourceImage

_log = structlog.get_logger(__name__)

MOST_IMAGES: Final = 5000
_ASK_EVERY: Final = 0.5  # seconds; a lease is longer
_WITHDRAW_EVERY: Final = 5.0
_WAITING: Final = 2.0  # seconds for what is still being read or copied
_OVERTAKEN: Final = 1.0
_OPEN: Final = (JobState.PENDING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Done:
    """A series was read, and what was found is stored.

    Attributes
    ----------
    outcome
        What the ledger keeps of it.
    stored
        Where the objects are, by Orthanc's ids.
    """

    outcome: dict[str, Any]
    stored: tuple[str, ...]


Outcome = Done | Left | NotYet


class SeriesReading(QueueWorker["Tasks", "Task", Outcome]):
    """Works through the queue, one series at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        The series.
    reader
        Looks at them.
    writers
        Make an object each of what it finds.
    parts
        What the site has.
    quiet_seconds
        How long nothing has come in a series that counts as complete.
    reviewed
        Whether lesions are proposed for review, in place of what the writers make.
    clock
        The time in the zone in which it is to be told.

    Raises
    ------
    preread.errors.SettingsError
        If the site wants a writer that the reader has not.
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    not_done = "series not read"

    def __init__(
        self,
        queue: Tasks,
        reader: Reader,
        writers: Sequence[Writer],
        parts: Parts,
        *,
        quiet_seconds: float,
        reviewed: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    ) -> None:
        super().__init__(
            queue,
            parts.owner,
            parts.meter,
            queue.kind,
            lease=parts.site.settings.ledger.lease_seconds,
            quiet=quiet_seconds,
            every=_WITHDRAW_EVERY,
        )
        self._reader = reader
        self._writers = _chosen(queue.kind, writers, parts.site.settings.results.writers)
        self._ledger = parts.ledger
        self._pacs = parts.pacs
        self._depositor = parts.depositor
        self._uids = parts.uids
        self._copies = parts.copies
        self._open_image = parts.open_image
        self._proposer = parts.proposer if reviewed else None
        self._proposals = parts.ledger.proposals
        self._clock = clock

    def withdraw(self) -> None:
        """Delete objects whose series is gone, or of which the reader has nothing to say now."""
        for task in self._queue.withdrawn():
            for instance in task.stored:
                self._depositor.withdraw(instance)
            self._queue.forget(task)

    def _make(self, lent: Task) -> Outcome:
        records = self._ledger.instances(Level.SERIES, lent.subject)
        obstacle = self._obstacle(records)
        if obstacle:
            return Left(obstacle)
        if self._copies is not None and any(one.state in _OPEN for one in records):
            return NotYet(_WAITING)
        images = SeriesImages(records, self._pacs, self._source, self._open_image)
        try:
            found = self._reader.read(self._while_it_stays(lent, images.frames()))
        except OvertakenError:
            return NotYet(_OVERTAKEN)
        sources, found = images.looked_at(found)
        if not sources:
            if images.first_error is not None:
                raise images.first_error
            return Left(images.skipped[0].reason)
        return self._stored(lent, found, sources, images)

    def _obstacle(self, records: Sequence[InstanceRecord]) -> str:
        if not records:
            return "its images were deleted"
        if len(records) > MOST_IMAGES:
            return f"more than {MOST_IMAGES} images"
        return self._reader.obstacle(_facts(records))

    def _source(self, instance: str, generation: int, data: bytes) -> SourceImage:
        return source_image(instance, generation, data, self._copies)

    def _while_it_stays(self, task: Task, frames: Iterable[Placed]) -> Iterator[Placed]:
        """Give frames, asking now and then whether the series still is as it was."""
        asked = time.monotonic()
        for frame in frames:
            if time.monotonic() - asked >= _ASK_EVERY:
                if self._stopping.is_set() or not self._queue.extend(task, self._lease):
                    raise OvertakenError
                asked = time.monotonic()
            yield frame

    def _stored(
        self,
        task: Task,
        found: Findings,
        sources: Sequence[SourceImage],
        images: SeriesImages,
    ) -> Outcome:
        if self._proposer is not None and found.lesions:
            return self._proposed(self._proposer, found, sources, images)
        if self._proposer is not None:
            self._proposals.supersede(task.subject, found.algorithm.uid or found.algorithm.name)
        if not can_lie_beside(sources[0], self._pacs, in_copy=self._copies is not None):
            return NotYet(_OVERTAKEN)
        headers = [source.shown for source in sources]
        made: list[ObjectIdentity] = []
        for writer in self._writers:
            dataset = writer.write(found, headers, self._identity(headers[0], writer.name))
            if dataset is None:
                continue
            place = self._deposit(dataset, sources)
            if place is None:
                for one in made:
                    self._depositor.withdraw(one.instance)
                return NotYet(_OVERTAKEN)
            made.append(place)
        stored = tuple(place.instance for place in made)
        for former in set(task.stored) - set(stored):
            self._depositor.withdraw(former)
        return Done(_told(found, images), stored)

    def _proposed(
        self,
        proposer: Proposer,
        found: Findings,
        sources: Sequence[SourceImage],
        images: SeriesImages,
    ) -> Outcome:
        proposal = proposer.propose_findings(sources, found, skipped=tuple(images.skipped))
        if isinstance(proposal, Superseded):
            return NotYet(_OVERTAKEN)
        # The review's own work keeps it, and takes it back.
        return Done(_told(found, images) | {"Proposal": proposal.place.SOPInstanceUID}, ())

    def _deposit(self, dataset: Dataset, sources: Sequence[SourceImage]) -> ObjectIdentity | None:
        """Store an object; None if a newer arrival or a deletion overtook it."""
        place = self._depositor.deposit(dataset, sources[0].instance, sources[0].generation)
        return None if isinstance(place, Superseded) else place

    def _identity(self, first: Dataset, writer: str) -> NewIdentity:
        series, purpose = str(first.SeriesInstanceUID), f"{self._queue.kind} {writer}"
        return NewIdentity(
            SOPInstanceUID=self._uids.derived_uid(series, purpose),
            SeriesInstanceUID=self._uids.derived_uid(series, f"series of {purpose}"),
            moment=self._clock(),
        )

    def _out_of_reach(self, lent: Task, error: PacsUnreachableError) -> float:
        """Have a series wait; whoever called `step` is told, and the thread pauses."""
        self._queue.release(lent, TROUBLE_PAUSE)
        raise error

    def _write_down(self, lent: Task, outcome: Outcome) -> None:
        if isinstance(outcome, NotYet):
            self._queue.release(lent, outcome.pause)
        elif isinstance(outcome, Left):
            self._queue.leave(lent, outcome.reason)
        elif self._queue.done(lent, outcome.outcome, outcome.stored):
            _log.info("series read", **self._named(lent), objects=len(outcome.stored))

    def _named(self, lent: Task) -> dict[str, Any]:
        return {"kind": lent.kind, "series": lent.subject}


def _chosen(
    name: str, writers: Sequence[Writer], wanted: Mapping[str, Sequence[str]]
) -> tuple[Writer, ...]:
    """Leave out what the site does not want of a reader."""
    by_name = {writer.name: writer for writer in writers}
    unknown = [one for one in wanted.get(name, ()) if one not in by_name]
    if unknown:
        raise SettingsError(
            f"Preread.Results.Writers: {name} has no writer {unknown[0][:64]!r}; it has: "
            f"{', '.join(by_name) or 'none'}"
        )
    return tuple(by_name[one] for one in wanted.get(name, by_name))


def _facts(records: Sequence[InstanceRecord]) -> Facts:
    usual = usual_first(records)[0]
    return Facts(usual.Modality, usual.SOPClassUID, usual.body_parts, len(records))


def _told(found: Findings, images: SeriesImages) -> dict[str, Any]:
    """Return what the ledger keeps of findings: figures, no outline."""
    classification, algorithm = found.classification, found.algorithm
    told: dict[str, Any] = {
        "Reader": algorithm.name,
        "Version": algorithm.version,
        "SHA256": algorithm.sha256 or None,
        "Lesions": [{"Score": one.score, "Outlines": len(one.outlines)} for one in found.lesions],
        "Skipped": [one.to_json() for one in images.skipped],
    }
    if classification is not None:
        shares = classification.probabilities
        told["Class"] = classification.likeliest
        told["Withheld"] = classification.withheld
        told["Probabilities"] = dict(zip(classification.classes, shares, strict=False)) or None
    return told
