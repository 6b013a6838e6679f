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
from preread.ledger.opening import open_ledger
from preread.models.catalogue import Catalogue
from preread.runner.comparing import Comparing
from preread.runner.forwarding import Forwarding
from preread.runner.holding import Holding
from preread.runner.meter import Meter
from preread.runner.network_checking import NetworkChecking
from preread.runner.status import FORWARDER

if TYPE_CHECKING:
    from preread.archive.pacs import Pacs
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
            ledger = open_ledger(site)
            checking = NetworkChecking.of(site, ledger, pacs, f"beside {ledger.node}", meter)
            # Before any image: the network that a series is for may lie in the folder.
            checking.look_into_folder()
            forwarding = Forwarding(journal, ledger, pacs, meter, lambda: None)
            forwarding.start()
            secret = Secret.load_or_create(site.key_file, journal.key_fingerprint)
            holding = Holding.of(site, secret, pacs, meter, _catalogue(site))
            if holding is not None:
                holding.start()
            comparing = Comparing.of(site, secret, journal, ledger, pacs, meter)
            if comparing is not None:
                comparing.start()
            checking.start()
            _log.info("forwarding", ledger=ledger.node)
            while not asked.wait(_TICK):
                meter.write()
            checking.stop(2.0)
            if holding is not None:
                holding.stop(2.0)
            if comparing is not None:
                comparing.stop(2.0)
            forwarding.stop(2.0)
            ledger.close()
    except PrereadError as error:
        _log.error("cannot forward", reason=str(error))
        raise
    return 0


def _catalogue(site: Site) -> Catalogue:
    """Read the cards of the models, to choose from for what is de-identified here."""
    return Catalogue.load(site.models_folder, site.settings.models.run)
