"""What the hooks and the routes share while Orthanc runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from preread.deidentify import Pseudonyms
from preread.hooks.escapes import Escapes
from preread.hooks.failures import Failures
from preread.hooks.receive import Memory
from preread.hooks.safekeeping import Safekeeping
from preread.hooks.supervisor import Supervisor
from preread.hooks.waiting import Pool, Waiting
from preread.ledger.arrival import Arrival
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger
from preread.models.catalogue import Catalogue
from preread.runner.status import RunnerStatus
from preread.settings import Site
from preread.wiring.ledger import open_ledger

_PATIENCE = 5.0  # seconds that a call of the API waits for the ledger's lock


@dataclass
class Context:
    """Made once, when the plugin is loaded.

    Attributes
    ----------
    site
        The settings.
    token
        Orthanc's own token for calls from inside, an ``Authorization`` header.
    escapes
        None where originals are stored as they come.
    supervisor
        None where an administrator starts the runner.
    look_at
        Decides what has to be read of a file that is stored under an Orthanc id.
    pseudonyms
        Give the UID that an object is stored under.
    waiting
        The places of calls that wait.
    conversions
        Bounds the processes that decode pictures.
    """

    site: Site
    token: str
    journal: Journal
    catalogue: Catalogue
    memory: Memory
    failures: Failures
    safekeeping: Safekeeping
    escapes: Escapes | None
    supervisor: Supervisor | None
    look_at: Callable[[bytes, str], Arrival]
    pseudonyms: Pseudonyms
    waiting: Waiting
    conversions: Pool
    _ledger: SqlLedger | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)
    _began: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since the plugin was loaded."""
        return time.monotonic() - self._began

    def ledger(self) -> SqlLedger:
        """Return the ledger, opened at its first use: only the API needs it, never a hook.

        Raises
        ------
        preread.ledger.errors.LedgerError
            If it cannot be reached; the next call tries again.
        """
        with self._opening:
            if self._ledger is None:
                self._ledger = open_ledger(self.site, busy_timeout=_PATIENCE)
            return self._ledger

    def runner_status(self) -> dict[str, Any] | None:
        """Return what the runner last wrote of itself, None if there is nothing yet."""
        told = RunnerStatus.read(self.site.folder / "runner.json")
        return None if told is None else told.to_json()
