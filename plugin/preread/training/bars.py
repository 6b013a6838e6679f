"""Bars that say how far a command is, and how much time is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from typing import Self

    from rich.console import Console


class Bars:
    """Progress on the console, with a bar for what is read.

    Parameters
    ----------
    console
        Where they are shown.
    reading
        What is read, in words.
    """

    def __init__(self, console: Console, reading: str) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._reading = self._bars.add_task(reading, total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def reading(self, done: int, count: int) -> None:
        """Say how much was read, and of how much."""
        self._bars.update(self._reading, completed=done, total=count)
