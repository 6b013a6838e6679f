"""Puts the runner together from the site's settings; the one place that knows every room."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from preread.archive.announcing import Announcer
from preread.archive.depositing import Depositor
from preread.deidentify import Deidentifier, Pseudonyms, Secret
from preread.deidentify.pixels.complete import CompleteDeidentifier
from preread.deidentify.study_patients import StudyPatients
from preread.deidentify.trail import trail_of
from preread.errors import SettingsError
from preread.imaging import open_image
from preread.iodeep.configured import configured_predictor
from preread.ledger.journal import Journal
from preread.ledger.network import NetworkState
from preread.ledger.opening import open_ledger
from preread.models.attention import Attention
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
from preread.runner.comparing import Comparing
from preread.runner.explainer import Explainer
from preread.runner.explaining import Explaining
from preread.runner.forwarding import Forwarding
from preread.runner.holding import Holding
from preread.runner.meter import Meter
from preread.runner.network_checking import NetworkChecking
from preread.runner.network_objects import NetworkObjects
from preread.runner.outliner import Outliner
from preread.runner.outlining import Outlining
from preread.runner.pipeline import Pace, Pipeline, Stations
from preread.runner.proposer import Proposer
from preread.runner.reading import Decoder, Reader
from preread.runner.reviewer import Reviewer
from preread.runner.reviewing import Reviewing
from preread.runner.status import FILE_NAME
from preread.runner.thresholds import Thresholds
from preread.runner.writing import Writer
from preread.settings import Mode

if TYPE_CHECKING:
    from preread.archive.pacs import Pacs
    from preread.ledger.sql import SqlLedger
    from preread.runner.reading import Networks
    from preread.settings import Site

_log = structlog.get_logger(__name__)

_LAST_PICTURE = 5.0  # seconds for the picture in hand once the end was asked for


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
        catalogue = Catalogue.load(site.models_folder, site.settings.models.run)
        self._ledger = open_ledger(site)
        # Before the models are loaded, which takes a while: others may take up the work.
        returned = self._ledger.release_owner(owner)
        wake = threading.Event()
        self._forwarding = None
        self._holding = None
        self._comparing = None
        self._checking = None
        if journal is not None:
            self._holding = Holding.of(site, secret, pacs, self._meter, catalogue)
            if self._holding is not None:
                self._holding.start()
            self._comparing = Comparing.of(site, secret, journal, self._ledger, pacs, self._meter)
            if self._comparing is not None:
                self._comparing.start()
            self._checking = NetworkChecking.of(site, self._ledger, pacs, owner, self._meter)
            # Before any image: the network that a series is for may lie in the folder.
            self._checking.look_into_folder()
            self._forwarding = Forwarding(journal, self._ledger, pacs, self._meter, wake.set)
            self._forwarding.start()
        thresholds = Thresholds(site.settings.explain, catalogue)
        self._explaining = Explaining(
            self._ledger.explanations,
            _explainer(site, self._ledger, pacs, secret, catalogue),
            owner,
            self._meter,
            site.settings.ledger.lease_seconds,
        )
        self._reviewing = Reviewing(
            self._ledger.reviews,
            self._ledger.proposals,
            self._ledger.stored_objects,
            _reviewer(site, self._ledger, pacs, secret),
            owner,
            self._meter,
        )
        self._outlining = Outlining(
            self._ledger.series_work,
            _outliner(site, self._ledger, pacs, secret, defers=self._checking is None and not once),
            owner,
            self._meter,
            lease_seconds=site.settings.ledger.lease_seconds,
            quiet_seconds=site.settings.iodeep.proposals.quiet_seconds,
            ready=self._networks_are_known,
        )
        ensemble = _networks(site, catalogue)
        self._meter.loaded(ensemble.engine, catalogue.names)
        self.pipeline = Pipeline(
            owner,
            Stations(
                ledger=self._ledger,
                pacs=pacs,
                decoder=_decoder(site, catalogue),
                reader=Reader(catalogue, ensemble, site.settings.runner.batch_size),
                writer=_writer(site, pacs, secret),
                meter=self._meter,
                wishes=thresholds.wanted,
            ),
            Pace(
                lease_seconds=site.settings.ledger.lease_seconds,
                # One keeps pace with networks on the same cores; a GPU wants more.
                decoders=max(1, min(4, (os.cpu_count() or 1) // 2)),
                drained=self._is_settled if once else None,
            ),
            wake,
        )
        _log.info(
            "ready",
            engine=ensemble.engine,
            models=list(catalogue.names),
            taken_back=returned,
            forwards=journal is not None,
            seconds=round(time.monotonic() - began, 1),
        )

    def start(self) -> None:
        """Begin to read images."""
        self.pipeline.start()
        self._explaining.start()
        self._reviewing.start()
        if self._checking is not None:
            self._checking.start()
        self._outlining.start()
        self.tell()

    def tell(self) -> None:
        """Write the status file."""
        self._meter.write(self.pipeline.in_hand)

    def stop(self, patience: float) -> bool:
        """Finish the batch in hand, give back the rest; False if that took too long."""
        self.pipeline.stop()
        in_time = self.pipeline.join(patience)
        in_time = self._explaining.stop(_LAST_PICTURE) and in_time
        if self._checking is not None:
            in_time = self._checking.stop(_LAST_PICTURE) and in_time
        in_time = self._outlining.stop(_LAST_PICTURE) and in_time
        in_time = self._reviewing.stop(_LAST_PICTURE) and in_time
        if self._holding is not None:
            self._holding.stop(1.0)
        if self._comparing is not None:
            self._comparing.stop(1.0)
        if self._forwarding is not None:
            self._forwarding.stop(1.0)
        self.tell()
        self._ledger.close()
        return in_time

    def _is_settled(self) -> bool:
        forwarded = self._forwarding is None or self._forwarding.settled
        return (
            forwarded
            and self._explaining.settled
            and self._reviewing.settled
            and (self._checking is None or self._checking.settled)
            and self._outlining.settled
        )

    def _networks_are_known(self) -> bool:
        if self._checking is not None:
            return self._checking.settled
        # The runner beside Orthanc looks at them.
        return not self._ledger.networks.counts()[NetworkState.RECEIVED]


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


def _networks(site: Site, catalogue: Catalogue) -> Networks:
    settings = site.settings
    return Ensemble(catalogue, settings.models.engine.value, settings.runner.threads)


def _explainer(
    site: Site, ledger: SqlLedger, pacs: Pacs, secret: Secret, catalogue: Catalogue
) -> Explainer:
    is_copied = site.settings.deidentify.mode is Mode.COPY
    return Explainer(
        ledger,
        pacs,
        Announcer(secret.derive("announcement")),
        catalogue,
        Attention(site.settings.models.engine.value, site.settings.runner.threads),
        partial(open_image, max_bytes=site.settings.runner.max_image_megabytes * 2**20),
        Pseudonyms(secret),
        # By the header alone: the copy itself, with clean pixels, is in Orthanc.
        copies=_header_alone(site, secret) if is_copied else None,
    )


def _outliner(
    site: Site, ledger: SqlLedger, pacs: Pacs, secret: Secret, *, defers: bool
) -> Outliner:
    settings = site.settings.iodeep.proposals
    return Outliner(
        ledger,
        pacs,
        NetworkObjects(pacs, site.models_folder),
        configured_predictor(site),
        proposer(site, ledger, pacs, secret),
        partial(open_image, max_bytes=site.settings.runner.max_image_megabytes * 2**20),
        excluded=settings.excluded_modalities,
        on_request=settings.on_request_only,
        enabled=settings.enabled,
        waits_for_copies=site.settings.deidentify.mode is Mode.COPY,
        defers=defers,
    )


def proposer(site: Site, ledger: SqlLedger, pacs: Pacs, secret: Secret) -> Proposer:
    """Return what stores the regions that a network found, as the site has it."""
    is_copied = site.settings.deidentify.mode is Mode.COPY
    return Proposer(
        ledger.proposals,
        pacs,
        _depositor(site, pacs, secret),
        Pseudonyms(secret),
        # By the header alone: the copy itself, with clean pixels, is in Orthanc.
        copies=_header_alone(site, secret) if is_copied else None,
        attach=site.settings.results.attach_to_original,
    )


def _header_alone(site: Site, secret: Secret) -> Deidentifier:
    patients = StudyPatients(site.patients_file, secret)
    return Deidentifier(secret, site.deidentify_options, patients)


def _reviewer(site: Site, ledger: SqlLedger, pacs: Pacs, secret: Secret) -> Reviewer:
    depositor = _depositor(site, pacs, secret)
    return Reviewer(ledger.proposals, pacs, depositor, Pseudonyms(secret))


def _depositor(site: Site, pacs: Pacs, secret: Secret) -> Depositor:
    announcer = Announcer(secret.derive("announcement"))
    return Depositor(pacs, announcer, keeps_bytes=not site.orthanc.ingest_transcoding)


def _decoder(site: Site, catalogue: Catalogue) -> Decoder:
    largest = site.settings.runner.max_image_megabytes * 2**20
    opening = partial(open_image, max_bytes=largest)
    return Decoder(catalogue, opening, site.settings.models.outside_input)


def _writer(site: Site, pacs: Pacs, secret: Secret) -> Writer:
    settings = site.settings
    return Writer(
        pacs,
        Announcer(secret.derive("announcement")),
        mode=settings.deidentify.mode,
        placement=settings.predictions.placement,
        deidentifier=CompleteDeidentifier(
            secret,
            site.deidentify_options,
            trail_of(site),
            "copy",
            StudyPatients(site.patients_file, secret),
        ),
        uids=Pseudonyms(secret),
    )
