"""Proposals in a running Orthanc, made by the runner's own parts without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray

from preread.archive.pacs import OrthancPacs
from preread.deidentify import Secret
from preread.ledger.job import Level
from preread.ledger.proposal import Proposal
from preread.models.catalogue import Catalogue
from preread.results.structure_set import Described
from preread.runner.meter import Meter
from preread.runner.parts import Parts
from preread.settings import site_from_file
from preread.wiring.ledger import open_ledger
from tests.integration.pacs import Pacs

NETWORK = Described("U-Net", "2.25.77", "1.0", "ab" * 32)


@dataclass(frozen=True, eq=False)
class Found:
    """A region as a network gives it."""

    frame: int
    polygon: NDArray[np.float64]
    area: float = 900.0
    score: float = 0.87


def circle(column: float, row: float, radius: float, points: int = 72) -> NDArray[np.float64]:
    """Return a closed line around a place."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack((column + radius * np.cos(angles), row + radius * np.sin(angles)))


def propose(pacs: Pacs, regions: Sequence[Found], network: Described = NETWORK) -> Proposal:
    """Store a proposal for all CT images of a node, in the order of their numbers."""
    site = site_from_file(pacs.configuration)
    ledger = open_ledger(site)
    secret = Secret.load_or_create(site.key_file)
    try:
        with OrthancPacs(site.url) as archive:
            maker = Parts(
                site=site,
                ledger=ledger,
                pacs=archive,
                secret=secret,
                catalogue=Catalogue(()),
                owner="test",
                meter=Meter(),
                beside_orthanc=False,
            ).proposer
            sources = []
            for study in pacs.get("/studies"):
                for record in ledger.results(Level.STUDY, study):
                    one = record.record
                    data = pacs.file(one.instance)
                    sources.append(maker.source(one.instance, one.generation, data))
            sources.sort(key=lambda source: int(source.original.InstanceNumber))
            made = maker.propose(sources, regions, network)
            assert isinstance(made, Proposal)
            return made
    finally:
        ledger.close()


def dataset(pacs: Pacs, instance: str) -> pydicom.Dataset:
    """Return what is stored."""
    return pydicom.dcmread(BytesIO(pacs.file(instance)))
