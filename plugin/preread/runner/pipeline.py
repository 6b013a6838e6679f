"""The way of images through the runner: four stages that overlap.

``fetch`` reserves work and gets the files, ``decode`` prepares them, ``infer`` runs the networks
on batches that may cross series, ``store`` writes the results. Bounded channels hold back the
stages that are ahead of the slowest one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from preread.archive.pacs import Pacs
from preread.errors import PrereadError
from preread.ledger.errors import LedgerError
from preread.ledger.job import Job, JobState
from preread.ledger.sql import SqlLedger
from preread.runner.answers import Answers, Wishes, explain, no_wishes
from preread.runner.channel import Channel
from preread.runner.endings import Endings
from preread.runner.hand import Hand
from preread.runner.meter import Meter
from preread.runner.outage import Outage
from preread.runner.reading import Decoder, NoImageError, Reader
from preread.runner.work import Piece, Work
from preread.runner.writing import Writer

_log = structlog.get_logger(__name__)

_RESERVED_AT_ONCE = 6
_SHORTEST_PAUSE = 0.05  # seconds between two looks at an empty ledger
_LONGEST_PAUSE = 0.5
_FILES_WEIGHT = 256 * 2**20  # bytes
_INPUTS_WEIGHT = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Stations:
    """What the stages work with."""

    ledger: SqlLedger
    pacs: Pacs
    decoder: Decoder
    reader: Reader
    writer: Writer
    meter: Meter
    wishes: Wishes = no_wishes


@dataclass(frozen=True, slots=True)
class Pace:
    """How the pipeline works.

    Attributes
    ----------
    lease_seconds
        For how long work is reserved; it is extended in time.
    decoders
        Threads that decode.
    drained
        For a run that ends by itself: tells whether nothing more is on its way to the ledger.
        None: work until `Pipeline.stop`.
    outage_seconds
        How long such a run bears an outage.
    rest_seconds
        How long an image is put off when Orthanc fails for every one.
    """

    lease_seconds: float = 120.0
    decoders: int = 1
    drained: Callable[[], bool] | None = None
    outage_seconds: float = 60.0
    rest_seconds: float = 30.0


class Pipeline:
    """Reads images until it is stopped.

    Parameters
    ----------
    owner
        What this runner calls itself in the ledger.
    stations
        What the stages work with.
    pace
        How fast, and for how long.
    wake
        Set by others when work has just reached the ledger.
    """

    def __init__(self, owner: str, stations: Stations, pace: Pace, wake: threading.Event) -> None:
        self._owner = owner
        self._ledger = stations.ledger
        self._pacs = stations.pacs
        self._decoder = stations.decoder
        self._reader = stations.reader
        self._writer = stations.writer
        self._meter = stations.meter
        self._pace = pace
        self._at_once = max(_RESERVED_AT_ONCE, stations.reader.batch_size)
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._wake = wake
        self._outage = Outage(
            stations.ledger,
            stations.pacs,
            stations.meter,
            self._stopping,
            patience=None if pace.drained is None else pace.outage_seconds,
        )
        self._failure: BaseException | None = None
        self._hand = Hand()
        self._answers = Answers(
            self._ledger, self._hand, self._meter, self._stopping, stations.wishes
        )
        self._endings = Endings(self._pacs, self._outage, self._answers, pace.rest_seconds)
        self._fetched: Channel[Work] = Channel(self._at_once, _FILES_WEIGHT)
        self._decoded: Channel[Piece] = Channel(2 * self._at_once, _INPUTS_WEIGHT)
        self._ready: Channel[Work] = Channel(2 * self._at_once, _FILES_WEIGHT)
        decoders = [("decode", self._decode)] * pace.decoders
        self._threads = [
            threading.Thread(target=self._guarded, args=(body,), name=name, daemon=True)
            for name, body in [
                ("fetch", self._feed),
                *decoders,
                ("infer", self._infer),
                ("store", self._store),
            ]
        ]
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    @property
    def in_hand(self) -> int:
        """How many images are reserved."""
        return len(self._hand)

    @property
    def failure(self) -> BaseException | None:
        """What ended the pipeline, if it was not asked to end."""
        return self._failure

    @property
    def stopping(self) -> bool:
        """Whether it was told to end, or ends by itself."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the stages."""
        for thread in (*self._threads, self._heart):
            thread.start()

    def stop(self) -> None:
        """Begin to end: the batch in hand is finished, nothing new is begun."""
        self._stopping.set()
        self._wake.set()
        self._fetched.cancel()
        self._decoded.cancel()

    def wait(self, timeout: float) -> bool:
        """Wait until it is told to end, or ends by itself."""
        return self._stopping.wait(timeout)

    def join(self, patience: float) -> bool:
        """Wait for the stages after `stop`, and give back what is not finished.

        Parameters
        ----------
        patience
            Seconds.

        Returns
        -------
        bool
            Whether all stages ended in time.
        """
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._ended.set()
        self._answers.give_back(self._hand.jobs)
        return not any(thread.is_alive() for thread in self._threads)

    def _guarded(self, body: Callable[[], None]) -> None:
        """Run a stage; a defect in one ends the process, which the plugin starts again."""
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - a stage that is silently gone stops all work
            self._failure = self._failure or error
            reason, _ = explain(error)
            self._meter.trouble(reason)
            _log.error("a stage ended", stage=threading.current_thread().name, reason=reason)
            self.stop()

    # Fetch.

    def _feed(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping.is_set():
            self._outage.sit_out()
            # Reserving a few at a time; no more, because a crash puts all that are held in doubt.
            if not self._hand.wait_below(self._at_once, _LONGEST_PAUSE):
                continue
            self._wake.clear()
            jobs = self._reserve()
            if jobs:
                pause = _SHORTEST_PAUSE
                self._fetch(jobs)
            elif not self._hand and self._is_drained():
                self.stop()
            else:
                self._wake.wait(pause)
                pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _reserve(self) -> list[Job]:
        """Reserve work; an image that was in hand when a runner died is taken by itself alone.

        So one that brings down the runner takes no others with it.
        """
        try:
            jobs = self._ledger.reserve(self._owner, self._at_once, self._pace.lease_seconds)
        except LedgerError as error:
            self._outage.note(str(error))
            return []
        chosen = [job for job in jobs if not job.interruptions]
        if not chosen and not self._hand:
            chosen = jobs[:1]
        for job in jobs:
            self._hand.take(job)
        self._answers.give_back([job for job in jobs if job not in chosen])
        return chosen

    def _fetch(self, jobs: Sequence[Job]) -> None:
        alone = bool(jobs[0].interruptions)
        for job in jobs:
            if self._stopping.is_set() or self._outage.under_way:
                self._answers.give_back(jobs)
                return
            self._fetch_one(job)
        while alone and self._hand and not self._stopping.is_set():
            self._hand.wait_below(1, _LONGEST_PAUSE)

    def _fetch_one(self, job: Job) -> None:
        try:
            with self._meter.timed("Fetch"):
                data = self._pacs.file(job.instance)
        except Exception as error:  # noqa: BLE001 - no image may end the runner
            self._endings.failed(job, error)
            return
        if data is None:
            self._answers.superseded(job)
        else:
            self._fetched.put(Work(job, data), len(data))

    def _is_drained(self) -> bool:
        if self._pace.drained is None or self._outage.under_way or not self._pace.drained():
            return False
        try:
            counts = self._ledger.counts()
        except LedgerError as error:
            self._outage.note(str(error))
            return False
        return not counts[JobState.PENDING] and not counts[JobState.RUNNING]

    # Decode.

    def _decode(self) -> None:
        while (work := self._fetched.get()) is not None:
            if work.job not in self._hand:
                continue
            if not work.job.models:
                work.frames = 0
                self._ready.put(work, len(work.data))
                continue
            try:
                self._decode_one(work)
            except NoImageError as error:
                self._answers.unread(work.job, str(error))
            except Exception as error:  # noqa: BLE001 - no image may end the runner
                self._endings.failed(work.job, error)

    def _decode_one(self, work: Work) -> None:
        pieces = self._decoder.pieces(work)
        while work.job in self._hand:
            with self._meter.timed("Decode"):
                piece = next(pieces, None)
            if piece is None or not self._decoded.put(piece, piece.weight):
                return

    # Infer.

    def _infer(self) -> None:
        try:
            while not self._stopping.is_set():
                piece = self._decoded.get()
                if piece is None:
                    break
                self._infer_batch(self._batch(piece))
        finally:
            self._ready.close()

    def _batch(self, first: Piece) -> list[Piece]:
        """Add what is there already, up to what the engine takes at once; wait for nothing."""
        batch, frames = [first], first.frames
        while frames < self._reader.batch_size:
            piece = self._decoded.get(timeout=0)
            if piece is None:
                break
            batch.append(piece)
            frames += piece.frames
        return [piece for piece in batch if piece.work.job in self._hand]

    def _infer_batch(self, batch: Sequence[Piece]) -> None:
        works = list(dict.fromkeys(piece.work for piece in batch))
        try:
            with self._meter.timed("Infer"):
                self._reader.read(batch)
        except Exception as error:  # noqa: BLE001 - no image may end the runner
            if len(works) == 1:
                self._endings.failed(works[0].job, error)
                return
            for work in works:
                self._infer_batch([piece for piece in batch if piece.work is work])
            return
        for work in works:
            if work.is_read:
                self._conclude(work)

    def _conclude(self, work: Work) -> None:
        try:
            self._reader.conclude(work)
        except PrereadError as error:
            self._endings.failed(work.job, error)
        else:
            self._ready.put(work, len(work.data))

    # Store.

    def _store(self) -> None:
        try:
            while (work := self._ready.get()) is not None:
                if work.job in self._hand:
                    self._store_one(work)
                if self._outage.under_way and self._stopping.is_set():
                    return
        finally:
            self._ready.cancel()

    def _store_one(self, work: Work) -> None:
        try:
            with self._meter.timed("Store"):
                outcome = self._writer.write(work)
        except Exception as error:  # noqa: BLE001 - no image may end the runner
            self._endings.failed(work.job, error)
            return
        self._endings.written(work, outcome)

    # All along.

    def _beat(self) -> None:
        """Extend the leases of what is in hand, well before they run out."""
        while not self._ended.wait(self._pace.lease_seconds / 3):
            jobs = self._hand.jobs
            if not jobs:
                continue
            try:
                kept = {job.id for job in self._ledger.extend(jobs, self._pace.lease_seconds)}
            except LedgerError as error:
                self._meter.trouble(str(error))
                continue
            lost = self._hand.drop([job for job in jobs if job.id not in kept])
            if lost:
                _log.info("no longer ours", jobs=len(lost))
