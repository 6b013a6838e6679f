"""The thread that moves what the hooks wrote down into the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from preread.archive.pacs import Pacs, PacsError
from preread.ledger.errors import JournalError, LedgerError
from preread.ledger.forwarder import Forwarder, reconcile
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger
from preread.runner.meter import Meter

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.05  # seconds
_LONGEST_PAUSE = 0.5
_LONGEST_TROUBLE_PAUSE = 5.0
_RECONCILE_EVERY = 5.0
_UNDER_WAY = 5.0
"""Seconds for which an arriving instance is left to Orthanc, which may be storing it."""


class Forwarding:
    """Moves events as long as the runner lives, and settles what a crash of Orthanc left open.

    Parameters
    ----------
    journal, ledger
        From where to where.
    pacs
        Tells whether an instance was stored after all.
    meter
        Takes note of trouble.
    moved
        Called when events have reached the ledger.
    """

    def __init__(
        self,
        journal: Journal,
        ledger: SqlLedger,
        pacs: Pacs,
        meter: Meter,
        moved: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._pacs = pacs
        self._meter = meter
        self._moved = moved
        self._forwarder = Forwarder(journal, ledger)
        self._stopping = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forward", daemon=True)

    @property
    def settled(self) -> bool:
        """Whether the last look at the journal found nothing to move and nothing in doubt."""
        return self._settled.is_set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(patience)

    def _run(self) -> None:
        pause, since_reconciled = _SHORTEST_PAUSE, _RECONCILE_EVERY
        while not self._stopping.wait(pause):
            since_reconciled += pause
            try:
                if since_reconciled >= _RECONCILE_EVERY:
                    since_reconciled = 0.0
                    self._reconcile()
                moved = self._forwarder.step()
            except (JournalError, LedgerError) as error:
                pause = self._troubled(str(error), pause)
            except Exception as error:  # noqa: BLE001 - no event may end the way of all others
                _log.error("unexpected", exc_info=error)
                pause = self._troubled(f"forwarding: unexpected {type(error).__name__}", pause)
            else:
                if moved:
                    self._settled.clear()
                    self._moved()
                    pause = 0.0
                else:
                    self._note_settled()
                    pause = min(max(1.5 * pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)

    def _reconcile(self) -> None:
        try:
            settled = reconcile(self._journal, self._pacs.exists, older_than_seconds=_UNDER_WAY)
        except PacsError as error:
            self._meter.trouble(str(error))
            return
        if settled:
            _log.info("settled what was arriving when Orthanc ended", instances=settled)

    def _note_settled(self) -> None:
        if self._journal.arriving(0.0, limit=1):
            self._settled.clear()
        else:
            self._settled.set()

    def _troubled(self, reason: str, pause: float) -> float:
        self._settled.clear()
        self._meter.trouble(reason)
        _log.warning("events wait in the journal", reason=reason)
        return min(max(2 * pause, _LONGEST_PAUSE), _LONGEST_TROUBLE_PAUSE)
