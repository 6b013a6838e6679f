"""What runs beside Orthanc when the runner is elsewhere.

It moves the journal into the ledger, cleans what is held, and looks at networks, since the models
folder beside Orthanc is the one that says which there are.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from preread import log
from preread.deidentify import Secret
from preread.errors import PrereadError
from preread.ledger.journal import Journal
from preread.runner.comparing import Comparing
from preread.runner.forwarding import Forwarding
from preread.runner.holding import Holding
from preread.runner.kinds.registry import kinds, series_kinds
from preread.runner.meter import Meter
from preread.runner.parts import Parts
from preread.runner.status import FORWARDER
from preread.wiring.ledger import open_ledger
from preread.wiring.models import catalogue_of

if TYPE_CHECKING:
    from preread.archive.pacs import Pacs
    from preread.runner.kinds.kind import Worker
    from preread.settings import Site

_log = structlog.get_logger(__name__)

_TICK = 1.0


def forward_only(site: Site, pacs: Pacs, asked: threading.Event) -> int:
    """Do what must be done beside Orthanc, and read no image.

    Parameters
    ----------
    site
        The settings.
    pacs
        Orthanc, for what a crash left open, and for networks.
    asked
        Set when it is to end.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    PrereadError
        If the journal or the ledger cannot be opened; Orthanc tries again later.
    """
    log.configure(site.log_file.with_name("forwarder.log"), console=False)
    meter = Meter(site.folder / FORWARDER)
    try:
        meter.write()
        with Journal(site.journal_file) as journal:
            ledger = open_ledger(site, series_kinds=series_kinds())
            secret = Secret.load_or_create(site.key_file, journal.key_fingerprint)
            catalogue = catalogue_of(site)
            parts = Parts(
                site=site,
                ledger=ledger,
                pacs=pacs,
                secret=secret,
                catalogue=catalogue,
                owner=f"beside {ledger.node}",
                meter=meter,
                beside_orthanc=True,
            )
            # Before any image: the network that a series is for may lie in the models folder.
            at_work: list[Worker | Holding | Comparing | Forwarding] = [*_workers(parts)]
            services = (
                Forwarding(journal, ledger, pacs, meter, lambda: None),
                Holding.of(site, secret, pacs, meter, catalogue),
                Comparing.of(site, secret, journal, ledger, pacs, meter),
            )
            at_work += [each for each in services if each is not None]
            for each in at_work:
                each.start()
            _log.info("forwarding", ledger=ledger.node)
            while not asked.wait(_TICK):
                meter.write()
            for each in at_work:
                each.stop(2.0)
            ledger.close()
    except PrereadError as error:
        _log.error("cannot forward", reason=str(error))
        raise
    return 0


def _workers(parts: Parts) -> list[Worker]:
    """Make the workers of what is done beside Orthanc alone."""
    made = [kind.worker(parts) for kind in kinds() if kind.beside_orthanc and kind.worker]
    return [worker for worker in made if worker is not None]
