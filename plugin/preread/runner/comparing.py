"""The thread that compares what Orthanc stored with the journal, and takes out what escaped.

The stored hook does so at once. This is for what it could not: when there was no memory for it
either, or Orthanc ended in between.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from preread.deidentify import Pseudonyms, Secret
from preread.deidentify.escaped import Archive, take_out
from preread.deidentify.quarantine import Quarantine
from preread.elements import MalformedFile, read_header
from preread.errors import PrereadError
from preread.ledger.journal import Journal
from preread.ledger.watch import moment_of
from preread.runner.meter import Meter
from preread.settings import Mode, Site

_log = structlog.get_logger(__name__)

_PAGE = 500
_BETWEEN_PAGES = 0.1  # seconds; Orthanc serves others meanwhile
_PAUSE = 5.0
_TROUBLE_PAUSE = 30.0
_SETTLED = timedelta(seconds=15)
"""How long ago something must have been stored: until then it is the hooks' own business."""
_ORIGIN = "a sender that is no longer known"


class Listed(Archive, Protocol):
    """Orthanc, with its list of changes."""

    def json(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON that a path answers to GET."""
        ...


class Knows(Protocol):
    """The ledger, as far as it is needed here."""

    def knows(self, instance: str) -> bool:
        """Tell whether any Orthanc of this ledger has told of an instance."""
        ...


@dataclass(frozen=True, slots=True)
class _Page:
    """A part of Orthanc's list of changes.

    Attributes
    ----------
    stored
        When each instance was stored that is new in it, UTC.
    last
        The sequence number of the last change.
    full
        Whether there is more.
    """

    stored: dict[str, datetime]
    last: int
    full: bool


class Comparing:
    """Works through Orthanc's list of changes, a page at a time.

    Deleted is only what nobody else can have brought: it came while the hooks were at work, the
    journal has never heard of it, no Orthanc of the same ledger has, and it does not bear this
    site's pseudonyms.

    Parameters
    ----------
    journal, ledger
        What is known.
    pacs
        Orthanc.
    quarantined
        Where the files go.
    pseudonyms
        Tell what this site has de-identified.
    meter
        Takes note of trouble.
    """

    @classmethod
    def of(
        cls, site: Site, secret: Secret, journal: Journal, ledger: Knows, pacs: Listed, meter: Meter
    ) -> Comparing | None:
        """Return what a site needs; None where originals are stored as they come."""
        if site.settings.deidentify.mode is not Mode.INCOMING:
            return None
        days = site.settings.deidentify.quarantine.days
        quarantined = Quarantine(
            site.quarantine_folder, secret.derive("quarantine"), retention_days=days
        )
        return cls(journal, ledger, pacs, quarantined, Pseudonyms(secret), meter)

    def __init__(
        self,
        journal: Journal,
        ledger: Knows,
        pacs: Listed,
        quarantined: Quarantine,
        pseudonyms: Pseudonyms,
        meter: Meter,
    ) -> None:
        self._watch = journal.watch
        self._ledger = ledger
        self._pacs = pacs
        self._quarantined = quarantined
        self._pseudonyms = pseudonyms
        self._meter = meter
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="compare", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(patience)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = _BETWEEN_PAGES if self.step() else _PAUSE
            except PrereadError as error:
                self._meter.trouble(str(error))
                _log.warning("not compared with the journal", reason=str(error))
                pause = _TROUBLE_PAUSE
            except Exception as error:  # noqa: BLE001 - one answer must not end the comparison
                _log.error("unexpected", exc_info=error)
                pause = _TROUBLE_PAUSE

    def step(self, now: datetime | None = None) -> bool:
        """Compare one page.

        Parameters
        ----------
        now
            The present time, UTC, in place of the clock's.

        Returns
        -------
        bool
            Whether another one is ready.

        Raises
        ------
        PrereadError
            If Orthanc, the journal or the ledger does not answer. The page is compared again.
        """
        page = self._page((now or datetime.now(UTC)) - _SETTLED)
        covered = [each for each, when in page.stored.items() if self._watch.covers(when)]
        for instance in sorted(self._watch.unknown(covered)):
            if self._has_escaped(instance):
                self._take_out(instance)
        if page.last != self._watch.compared:
            self._watch.compared = page.last
        return page.full

    def _page(self, until: datetime) -> _Page:
        since = self._watch.compared
        told = self._pacs.json("/changes", {"since": str(since), "limit": str(_PAGE)})
        changes = told["Changes"]
        if not changes and self._pacs.json("/changes?last")["Last"] < since:
            # The index was made anew.
            return _Page({}, 0, full=True)
        stored: dict[str, datetime] = {}
        for change in changes:
            when = moment_of(str(change["Date"]))
            if when is None or when > until:
                return _Page(stored, since, full=False)
            since = int(change["Seq"])
            if change["ChangeType"] == "NewInstance":
                stored[str(change["ID"])] = when
        return _Page(stored, since, full=not told["Done"])

    def _has_escaped(self, instance: str) -> bool:
        data = self._pacs.file(instance)
        if data is None or self._ledger.knows(instance):
            return False
        try:
            header = read_header(data)
        except MalformedFile:
            return True  # nothing of the kind comes out of de-identification
        ours = self._pseudonyms.is_ours_uid
        return not (
            self._pseudonyms.is_ours_patient(header.PatientID)
            or (ours(header.StudyInstanceUID) and ours(header.SOPInstanceUID))
        )

    def _take_out(self, instance: str) -> None:
        told = take_out(self._pacs, instance, self._quarantined, _ORIGIN)
        if told is None:
            return
        self._watch.escaped(_ORIGIN, told)
        self._meter.trouble(told)
        _log.error("escaped", reason=told)
