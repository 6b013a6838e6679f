"""What a kind of work is.

Cheap to import: Orthanc's own process asks what is to be said of each kind. What does the work is
imported when a runner asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from preread.ledger.sql import SqlLedger
    from preread.runner.parts import Parts


class Worker(Protocol):
    """What does the work of a kind, in a thread of its own; `QueueWorker` is the usual one."""

    @property
    def settled(self) -> bool:
        """Whether nothing waits or is under way."""
        ...

    def start(self) -> None:
        """Start the thread."""
        ...

    def stop(self, patience: float, /) -> bool:
        """End after the piece in hand; False if that took longer than so many seconds."""
        ...


def _of_tasks(name: str) -> Callable[[SqlLedger], Mapping[str, int]]:
    def count(ledger: SqlLedger) -> dict[str, int]:
        return {state.value: number for state, number in ledger.tasks(name).counts().items()}

    return count


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work.

    Attributes
    ----------
    name
        Of its tasks in the ledger; lower case, unlike all others.
    worker
        Makes what does the work; it gives None where this process has nothing to do. None for
        the one that is started in another way.
    begins_with_series
        Whether a series becomes a task of it when images of it arrive or are deleted. All others
        begin when somebody asks.
    status
        Its key in ``GET /preread/status``; empty where nothing is said of it there.
    count
        What is said there: how many are in each state. None for that of its tasks.
    beside_orthanc
        Whether it is done by the process beside Orthanc alone, which has the journal.
    """

    name: str
    worker: Callable[[Parts], Worker | None] | None
    begins_with_series: bool = False
    status: str = ""
    count: Callable[[SqlLedger], Mapping[str, int]] | None = None
    beside_orthanc: bool = False

    def counts(self, ledger: SqlLedger) -> Mapping[str, int]:
        """Return what is said of it in the status and the metrics."""
        return (self.count or _of_tasks(self.name))(ledger)
