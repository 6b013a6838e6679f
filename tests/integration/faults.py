"""A node whose functions break when a test wishes it."""

from __future__ import annotations

import sys

from tests.integration.pacs import ROOT, Pacs

SCRIPT = ROOT / "tests" / "integration" / "faulty_plugin.py"

PLACES = [
    "preread.hooks.receive:ids_of",
    "preread.hooks.receive:arrival_of",
    "preread.hooks.receive:check_nesting",
    "preread.hooks.inflight:InFlight.wait_for",
    "preread.hooks.deletions:Deletions.arrived",
    "preread.deidentify:Deidentifier.deidentify",
    "preread.models.catalogue:Catalogue.choose",
    "preread.models.catalogue:Catalogue.fingerprint",
    "preread.ledger.journal:Journal.arrive",
    "preread.ledger.journal:Journal.stored",
    "preread.hooks.failures:Failures.add",
]


class Faulty:
    """A node made with `SCRIPT`, in which one place at a time is broken.

    Parameters
    ----------
    pacs
        The node, not yet started.
    """

    def __init__(self, pacs: Pacs) -> None:
        self.pacs = pacs
        self._file = pacs.folder / "fault"
        self.mend()

    @property
    def environment(self) -> dict[str, str]:
        """What Orthanc has to be started with."""
        return {
            "PREREAD_FAULTS": " ".join(PLACES),
            "PREREAD_FAULT_FILE": str(self._file),
            "PREREAD_TEST_PREFIX": sys.prefix,
        }

    def start(self) -> Pacs:
        """Start it and wait until it answers."""
        return self.pacs.start(self.environment)

    def break_(self, place: str, error: str = "RuntimeError") -> None:
        """Have a place raise an exception from now on."""
        assert place in PLACES
        self._file.write_text(f"{place} {error}")

    def mend(self) -> None:
        """Have no place raise any."""
        self._file.write_text("")
