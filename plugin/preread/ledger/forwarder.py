"""Takes what the hooks wrote down over into the ledger."""

from __future__ import annotations

from collections.abc import Callable

from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger

_BATCH = 500
_PAGE = 5000


class Forwarder:
    """Moves the events of a journal into a ledger; one per node, in the runner.

    It may be killed at any moment: an event is forgotten by the journal only after the ledger has
    it, and the ledger takes none twice.

    Parameters
    ----------
    journal
        The journal of this node's Orthanc.
    ledger
        The ledger, opened for the same node.
    """

    def __init__(self, journal: Journal, ledger: SqlLedger) -> None:
        self._journal = journal
        self._ledger = ledger
        self._met: str | None = None

    def step(self) -> int:
        """Move one batch of events.

        Returns
        -------
        int
            How many were moved; 0 when there is nothing left.

        Raises
        ------
        JournalError
            If the journal cannot be read or written.
        LedgerError
            If the ledger cannot be read or written. Nothing is lost; try again later.
        """
        journal = self._journal.uuid
        if journal != self._met:
            journal = self._meet(journal)
        seq = self._ledger.cursor(journal) or 0
        events = self._journal.events_after(seq, _BATCH)
        if events:
            self._ledger.apply(journal, events)
            seq = events[-1].seq
        if seq > self._journal.pruned():
            self._journal.prune(seq)
            self._journal.checkpoint()
        return len(events)

    def _meet(self, journal: str) -> str:
        """See to it that the journal and the ledger continue each other.

        They do not if one of them was lost and made anew, or restored from a backup.
        """
        seq = self._ledger.cursor(journal)
        if seq is not None and seq > self._journal.last_seq():
            # The journal is an older copy of itself: its next events would bear old numbers, and
            # its next generations would be old ones.
            self._journal.renew()
            journal, seq = self._journal.uuid, None
        if seq is None:
            self._journal.rebase(self._ledger.highest_generation())
            self._adopt()
        if (seq or 0) < self._journal.pruned():
            # What the journal forgot is not in this ledger: it is new, or an older copy.
            self._journal.replay()
        if seq is None:
            self._ledger.apply(journal, ())
        self._met = journal
        return journal

    def _adopt(self) -> None:
        """Tell a new journal the generations that the ledger knows from a lost one."""
        after = ""
        while page := self._ledger.generations(after, _PAGE):
            self._journal.adopt(page)
            after = page[-1][0]


def reconcile(
    journal: Journal, exists: Callable[[str], bool], *, older_than_seconds: float = 60.0
) -> int:
    """Find out what became of instances that arrived and were not reported as stored.

    Orthanc was killed between the two, or could not store them.

    Parameters
    ----------
    journal
        The journal.
    exists
        Whether Orthanc has an instance, by its id.
    older_than_seconds
        How long ago it must have arrived: what Orthanc is storing just now is not asked for.

    Returns
    -------
    int
        How many were settled.
    """
    settled = 0
    for arriving in journal.arriving(older_than_seconds):
        settle = journal.stored if exists(arriving.instance) else journal.abandon
        settled += settle(arriving.instance, generation=arriving.generation)
    return settled
