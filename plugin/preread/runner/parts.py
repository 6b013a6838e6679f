"""What the kinds of work are made of on one site: the ledger, Orthanc, the key, the models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from preread.archive.announcing import Announcer
from preread.archive.depositing import Depositor
from preread.deidentify import Deidentifier, Pseudonyms
from preread.deidentify.study_patients import StudyPatients
from preread.imaging import open_image
from preread.settings import Mode

if TYPE_CHECKING:
    from preread.archive.pacs import Pacs
    from preread.deidentify import Secret
    from preread.imaging import Image
    from preread.ledger.sql import SqlLedger
    from preread.models.catalogue import Catalogue
    from preread.runner.meter import Meter
    from preread.runner.proposer import Proposer
    from preread.settings import Site


@dataclass(frozen=True, slots=True)
class Parts:
    """What a kind's worker is made of.

    Attributes
    ----------
    site
        The settings.
    ledger
        What has to be done, and what has been.
    pacs
        Orthanc.
    secret
        The site's key.
    catalogue
        The models' cards.
    owner
        What this process calls itself in the ledger.
    meter
        Takes note of trouble.
    beside_orthanc
        Whether this process runs beside Orthanc, where the journal is.
    drained
        For a runner that ends when there is nothing left to do: tells whether nothing more is on
        its way. None for one that goes on.
    wake
        Set when images have just reached the ledger.
    """

    site: Site
    ledger: SqlLedger
    pacs: Pacs
    secret: Secret
    catalogue: Catalogue
    owner: str
    meter: Meter
    beside_orthanc: bool
    drained: Callable[[], bool] | None = None
    wake: threading.Event = field(default_factory=threading.Event)

    @property
    def uids(self) -> Pseudonyms:
        """Gives derived objects their UIDs."""
        return Pseudonyms(self.secret)

    @property
    def announcer(self) -> Announcer:
        """Signs what is stored next."""
        return Announcer(self.secret.derive("announcement"))

    @property
    def depositor(self) -> Depositor:
        """Stores objects of ours beside images."""
        keeps_bytes = not self.site.orthanc.ingest_transcoding
        return Depositor(self.pacs, self.announcer, keeps_bytes=keeps_bytes)

    @property
    def copies(self) -> Deidentifier | None:
        """In mode ``copy``: tells which object is the copy of an original, by its header alone.

        The copy itself, with clean pixels, is in Orthanc. None in other modes.
        """
        if self.site.settings.deidentify.mode is not Mode.COPY:
            return None
        patients = StudyPatients(self.site.patients_file, self.secret)
        return Deidentifier(self.secret, self.site.deidentify_options, patients)

    @property
    def proposer(self) -> Proposer:
        """Stores what was found as a proposal that people review."""
        from preread.runner.proposer import Proposer  # noqa: PLC0415 - few need it

        return Proposer(
            self.ledger.proposals,
            self.pacs,
            self.depositor,
            self.uids,
            copies=self.copies,
            attach=self.site.settings.results.attach_to_original,
        )

    @property
    def open_image(self) -> Callable[[bytes], Image]:
        """Opens a DICOM file, within the site's bound on the decoded size."""
        return partial(open_image, max_bytes=self.site.settings.runner.max_image_megabytes * 2**20)
