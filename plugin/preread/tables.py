"""Tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table(*titles: str, header: bool = True) -> Table:
    """Return an empty table with columns of these titles."""
    from rich.table import Table  # noqa: PLC0415 - not needed for help

    made = Table(show_header=header, box=None, pad_edge=False)
    for title in titles:
        made.add_column(title, overflow="fold")
    return made


def show(shown: Table) -> None:
    """Print a table as it is: what is in it is never markup."""
    from rich.console import Console  # noqa: PLC0415 - not needed for help

    Console(markup=False, highlight=False, emoji=False).print(shown)
