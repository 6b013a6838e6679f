"""Puts the plugin together when Orthanc loads it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import orthanc

from preread.arriving import arrival_of, ids_of
from preread.deidentify import Deidentifier, Pseudonyms, Secret
from preread.deidentify.quarantine import Quarantine
from preread.deidentify.study_patients import StudyPatients
from preread.elements import read_header
from preread.errors import SettingsError
from preread.hooks import log
from preread.hooks.accounts import Accounts
from preread.hooks.announcements import Announcements
from preread.hooks.changes import Changes, DeleteFilter, StoredInstance
from preread.hooks.commitment import Commitment
from preread.hooks.context import Context
from preread.hooks.cost import ordinary_budget
from preread.hooks.deletions import Deletions
from preread.hooks.dicomweb import DicomWeb
from preread.hooks.escapes import Escapes, LocalOrthanc
from preread.hooks.failures import Failures
from preread.hooks.inflight import InFlight
from preread.hooks.key_check import KeyCheck
from preread.hooks.networks import Gate, TitleFilter, UserFilter
from preread.hooks.own_results import OwnResults
from preread.hooks.passed import Passed
from preread.hooks.receive import Memory, Receiver, sender_of
from preread.hooks.request_filter import RequestFilter
from preread.hooks.routes import router
from preread.hooks.safekeeping import Safekeeping
from preread.hooks.supervisor import Supervisor
from preread.hooks.views_web import explorer_button
from preread.hooks.waiting import Pool, Waiting, places_of
from preread.iodeep.trust import Trust
from preread.ledger.arrival import Arrival
from preread.ledger.choices import HeldChoices
from preread.ledger.journal import Journal
from preread.runner.kinds.registry import kinds
from preread.runner.status import FILE_NAME, FORWARDER
from preread.runner.thresholds import Thresholds
from preread.settings import Mode, Site, needed_keys, needed_of, site_from
from preread.variables import check_files, named_by
from preread.wiring.models import catalogue_of
from preread.wiring.trail import trail_of

_CONVERSIONS = 2  # processes that decode pictures at a time; each takes 150 MB
_TURN_SECONDS = 30.0


def register() -> None:
    """Check the configuration and hand Orthanc its callbacks.

    Raises
    ------
    preread.errors.PrereadError
        If the plugin cannot work; Orthanc's start must then fail.
    """
    configuration = Path(orthanc.GetConfigurationPath()).resolve()
    root = configuration if configuration.is_dir() else configuration.parent
    told = json.loads(orthanc.GetConfiguration())
    _check_variables(configuration)
    site = site_from(told, root)
    site.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    journal = Journal(site.journal_file)
    key = KeyCheck(site, journal)
    # Once, and here: later the call would have to wait for Orthanc's locks.
    token = orthanc.GenerateRestApiAuthorizationToken()
    greeting = {"Configuration": needed_of(told), "Root": str(site.root), "Token": token}
    context = _context(site, token, journal, key.secret, greeting)
    _hand_over(context, key)


def _check_variables(told: Path) -> None:
    """Stop the start where Orthanc has put nothing in the place of a variable."""
    arguments = Path("/proc/self/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    # The shipped configuration proposes variables for the passwords of Orthanc's users.
    keys = needed_keys() - {"DicomWeb"} | {"RegisteredUsers"}
    for file in check_files(named_by(arguments, told), keys, os.environ):
        log.warning(f"{file}: whether all its ${{VARIABLES}} are set could not be checked")


def _context(
    site: Site, token: str, journal: Journal, secret: Secret, greeting: Mapping[str, object]
) -> Context:
    settings = site.settings
    if not site.models_folder.is_dir():
        raise SettingsError(f"Preread.Models.Folder: {site.models_folder} is not a folder")
    kinds()  # one that cannot be loaded stops the start
    catalogue = catalogue_of(site)
    Thresholds(settings.explain, catalogue)  # refuses what the runner could not work with
    supervisor = None
    # A runner elsewhere reads the ledger; somebody here must bring it what the journal holds.
    if settings.runner.start or not site.ledger_url.startswith("sqlite"):
        supervisor = Supervisor(
            [str(site.python), "-m", "preread", "runner", "--attached"],
            greeting,
            site.root,
            site.folder / "runner.err",
            site.folder / (FILE_NAME if settings.runner.start else FORWARDER),
            settings.runner.silence_seconds,
        )

    def look_at(data: bytes, instance: str) -> Arrival:
        header = read_header(data, ordinary_budget())
        ids = ids_of(header)._replace(instance=instance)
        return arrival_of(ids, header, header, catalogue, settings.deidentify.mode)

    memory = Memory(
        Announcements(secret.derive("announcement")),
        InFlight(),
        Deletions(journal.deleted, journal.stored),
        Passed(by_size=not site.orthanc.ingest_transcoding),
    )
    failures, safekeeping = Failures(journal), _safekeeping(site, secret)
    escapes = None
    if settings.deidentify.mode is Mode.INCOMING:
        escapes = Escapes(
            LocalOrthanc(site.local_url, token), safekeeping.quarantined, failures, journal.watch
        )
    places = places_of(site.orthanc.http_threads)
    return Context(
        site=site,
        token=token,
        journal=journal,
        catalogue=catalogue,
        memory=memory,
        failures=failures,
        safekeeping=safekeeping,
        escapes=escapes,
        supervisor=supervisor,
        look_at=look_at,
        pseudonyms=Pseudonyms(secret),
        waiting=Waiting(places),
        conversions=Pool(at_once=_CONVERSIONS, places=places, seconds=_TURN_SECONDS),
    )


def _safekeeping(site: Site, secret: Secret) -> Safekeeping:
    settings, key = site.settings.deidentify, secret.derive("quarantine")
    quarantined = Quarantine(site.quarantine_folder, key, retention_days=settings.quarantine.days)
    return Safekeeping(
        held=Quarantine(site.held_folder, key),
        choices=HeldChoices.within(site.held_folder),
        quarantined=quarantined,
        takes_unsafe=settings.quarantine.enabled,
        trail=trail_of(site),
    )


def _stored(context: Context) -> StoredInstance:
    journal, memory, escapes = context.journal, context.memory, context.escapes
    if escapes is None:
        failures = context.failures
        return StoredInstance(
            journal,
            memory.inflight,
            context.look_at,
            unread=lambda instance, origin, error: failures.unread(
                sender_of(origin), instance, error
            ),
        )
    return StoredInstance(
        journal,
        memory.inflight,
        context.look_at,
        memory.passed,
        lambda instance, origin: escapes.add(instance, sender_of(origin)),
    )


def _hand_over(context: Context, key: KeyCheck) -> None:
    settings, memory, journal = context.site.settings, context.memory, context.journal
    gate = Gate(Trust(settings.iodeep, context.site.root))
    at_work: list[Escapes | Supervisor] = []
    dicomweb = DicomWeb()

    def started() -> None:
        if not key.confirm():
            return
        dicomweb.ask()
        at_work.extend(part for part in (context.escapes, context.supervisor) if part is not None)
        for part in at_work:
            part.start()

    def stopped() -> None:
        for part in at_work:
            part.stop()

    receiver = Receiver(
        mode=settings.deidentify.mode,
        deidentifier=Deidentifier(
            key.secret,
            context.site.deidentify_options,
            StudyPatients(context.site.patients_file, key.secret),
        ),
        catalogue=context.catalogue,
        journal=journal,
        memory=memory,
        failures=context.failures,
        safekeeping=context.safekeeping,
        gate=gate,
        own_results=OwnResults(context.pseudonyms.is_result_uid),
        dicomweb=dicomweb,
    )
    orthanc.RegisterReceivedInstanceCallback(key.guarded(receiver))
    if gate.trust.asks_for_titles:
        orthanc.RegisterIncomingCStoreInstanceFilter(
            TitleFilter(gate, journal, context.safekeeping.held)
        )
    orthanc.RegisterOnStoredInstanceCallback(_stored(context))
    orthanc.RegisterOnChangeCallback(Changes(memory.deletions, started, stopped))
    orthanc.RegisterIncomingHttpRequestFilter(
        RequestFilter.of(
            settings, UserFilter(gate, DeleteFilter(memory.deletions, memory.inflight))
        )
    )
    if settings.deidentify.mode is Mode.INCOMING:
        Commitment(context.pseudonyms).register()
    orthanc.RegisterRestCallback("/preread(/.*)?", router(context))
    orthanc.ExtendOrthancExplorer(explorer_button())
    models = ", ".join(context.catalogue.names) or "no model"
    log.warning(
        f"de-identification {settings.deidentify.mode.value}, predictions "
        f"{settings.predictions.placement.value}, {models}; research only, not a diagnosis"
    )
    if Accounts.of_site(context.site).knows_nobody:
        log.warning(
            "nobody is authenticated: whoever reviews regions may give any name "
            "(AuthenticationEnabled, Preread.Rest.UserHeader)"
        )
    if settings.deidentify.mode is Mode.OFF:
        log.warning("de-identification is off: identities are stored as they come")
