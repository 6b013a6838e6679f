"""Puts the runner together from the site's settings: its services, and a worker for each kind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from preread.deidentify import Secret
from preread.errors import SettingsError
from preread.ledger.journal import Journal
from preread.runner.comparing import Comparing
from preread.runner.forwarding import Forwarding
from preread.runner.holding import Holding
from preread.runner.kinds import images
from preread.runner.kinds.registry import kinds, series_kinds
from preread.runner.meter import Meter
from preread.runner.parts import Parts
from preread.runner.status import FILE_NAME
from preread.wiring.ledger import open_ledger
from preread.wiring.models import catalogue_of

if TYPE_CHECKING:
    from preread.archive.pacs import Pacs
    from preread.runner.kinds.kind import Worker
    from preread.settings import Site

_log = structlog.get_logger(__name__)

_LAST_PIECE = 5.0  # seconds for the piece in hand once the end was asked for


class Assembly:
    """A runner with all its parts.

    Parameters
    ----------
    site
        The settings.
    pacs
        Orthanc.
    owner
        What this runner calls itself in the ledger. What a predecessor of this name still holds
        is taken back: the caller has the lock.
    once
        Whether it ends when there is nothing left to do.

    Raises
    ------
    preread.errors.PrereadError
        If a part cannot work: the key, the ledger, a model.
    """

    def __init__(self, site: Site, pacs: Pacs, owner: str, *, once: bool = False) -> None:
        began = time.monotonic()
        self._meter = Meter(site.folder / FILE_NAME)
        # In place of what a predecessor told; no engine yet says that it is loading.
        self._meter.write()
        journal = Journal(site.journal_file) if site.journal_file.exists() else None
        secret = _secret(site, journal)
        catalogue = catalogue_of(site)
        self._ledger = open_ledger(site, series_kinds=series_kinds())
        # Before the models are loaded, which takes a while: others may take up the work.
        returned = self._ledger.release_owner(owner)
        parts = Parts(
            site=site,
            ledger=self._ledger,
            pacs=pacs,
            secret=secret,
            catalogue=catalogue,
            owner=owner,
            meter=self._meter,
            beside_orthanc=journal is not None,
            drained=self._is_settled if once else None,
        )
        self._forwarding = None
        self._services: list[Holding | Comparing | Forwarding] = []
        # Before any image: the network that a series is for may lie in the models folder.
        self._workers = workers_of(parts)
        if journal is not None:
            self._forwarding = Forwarding(journal, self._ledger, pacs, self._meter, parts.wake.set)
            services = (
                Holding.of(site, secret, pacs, self._meter, catalogue),
                Comparing.of(site, secret, journal, self._ledger, pacs, self._meter),
                self._forwarding,
            )
            self._services = [each for each in services if each is not None]
            for each in self._services:
                each.start()
        self.pipeline = images.pipeline(parts)
        _log.info(
            "ready",
            engine=self._meter.status.engine,
            models=list(catalogue.names),
            taken_back=returned,
            forwards=journal is not None,
            seconds=round(time.monotonic() - began, 1),
        )

    def start(self) -> None:
        """Begin to read images."""
        self.pipeline.start()
        for worker in self._workers:
            worker.start()
        self.tell()

    def tell(self) -> None:
        """Write the status file."""
        self._meter.write(self.pipeline.in_hand)

    def stop(self, patience: float) -> bool:
        """Finish the batch in hand, give back the rest; False if that took too long."""
        self.pipeline.stop()
        in_time = self.pipeline.join(patience)
        for worker in self._workers:
            in_time = worker.stop(_LAST_PIECE) and in_time
        for service in self._services:
            service.stop(1.0)
        self.tell()
        self._ledger.close()
        return in_time

    def _is_settled(self) -> bool:
        forwarded = self._forwarding is None or self._forwarding.settled
        return forwarded and all(worker.settled for worker in self._workers)


def workers_of(parts: Parts) -> list[Worker]:
    """Make the workers of all kinds of work that this process does, but for single images."""
    made = [kind.worker(parts) for kind in kinds() if kind.worker is not None]
    return [worker for worker in made if worker is not None]


def _secret(site: Site, journal: Journal | None) -> Secret:
    """Load the site's key; the runner never makes one."""
    if not site.key_file.exists():
        raise SettingsError(
            f"Preread.Deidentify.KeyFile: {site.key_file} is missing; Orthanc makes it at its "
            "first start, and a runner on another machine needs a copy of it"
        )
    return Secret.load_or_create(
        site.key_file, None if journal is None else journal.key_fingerprint
    )
