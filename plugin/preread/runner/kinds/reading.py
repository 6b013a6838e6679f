"""A kind of work made of a reader of series and its writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.runner.kinds.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from preread.findings.reader import Reader
    from preread.results.writer import Writer
    from preread.runner.kinds.kind import Worker
    from preread.runner.parts import Parts


def reads_series(
    name: str,
    make: Callable[[Parts], tuple[Reader, Sequence[Writer]] | None],
    *,
    reviewed: bool = False,
    status: str = "",
) -> Kind:
    """Make a kind of work that reads each series once it is complete.

    Parameters
    ----------
    name
        Of its tasks.
    make
        Gives the reader and what writes its findings; None where the site has no use for it. Called
        once, in the runner.
    reviewed
        Whether its lesions are proposed for review, in place of what the writers make.
    status
        Its key in ``GET /preread/status``; empty where nothing is said of it there.

    Returns
    -------
    Kind
        A late image supersedes what was found; what was stored for a series that is gone goes too.
    """

    def worker(parts: Parts) -> Worker | None:
        from preread.runner.series_reading import (  # noqa: PLC0415 - not needed to tell of it
            SeriesReading,
        )

        made = make(parts)
        if made is None:
            return None
        reader, writers = made
        return SeriesReading(
            parts.ledger.tasks(name),
            reader,
            writers,
            parts,
            quiet_seconds=parts.site.settings.iodeep.proposals.quiet_seconds,
            reviewed=reviewed,
        )

    return Kind(name, worker, begins_with_series=True, status=status)
