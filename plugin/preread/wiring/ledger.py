"""The ledger that a site's settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.ledger.sql import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.settings import Site


def open_ledger(
    site: Site, *, series_kinds: Sequence[str] = (), busy_timeout: float = 10.0
) -> SqlLedger:
    """Return the ledger of a site.

    Parameters
    ----------
    site
        The settings.
    series_kinds
        The kinds of work that a series becomes a task of when it changes; for those who take the
        events of the journal.
    busy_timeout
        Seconds to wait for a lock of the database.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If it cannot be used.
    """
    kept = site.settings.ledger
    return SqlLedger(
        site.ledger_url,
        node=kept.node,
        max_attempts=kept.max_attempts,
        backoff_seconds=kept.backoff_seconds,
        series_kinds=series_kinds,
        busy_timeout=busy_timeout,
    )
