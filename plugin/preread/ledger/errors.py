"""What can go wrong with the records."""

from __future__ import annotations

from preread.errors import PrereadError


class JournalError(PrereadError):
    """The journal could not do what was asked; nothing of it was written."""


class JournalCorrupt(JournalError):
    """The journal's file is damaged, or is not a journal."""


class LedgerError(PrereadError):
    """The ledger could not do what was asked; nothing of it was written."""
