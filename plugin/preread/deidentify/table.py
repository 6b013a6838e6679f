"""Table E.1-1 of PS3.15 as package data: what the standard wants done with which attribute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

PRIVATE: Final = "private"
"""Stands in the table for all attributes of odd groups."""

_FILE: Final = "table-e1-1.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    tag
        Eight hexadecimal digits, ``x`` for any digit; or `PRIVATE`.
    name
        As PS3.6 has it.
    action
        The code of the Basic Profile: D, Z, X, U, or an alternative such as X/Z/D.
    options
        The codes K or C by the option that changes the action.
    """

    tag: str
    name: str
    action: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The whole table.

    Attributes
    ----------
    edition
        Which edition of the standard it is taken from.
    rows
        All rows, by tag.
    """

    edition: str
    rows: tuple[Row, ...]


@cache
def table_e1_1() -> Table:
    """Return the table, read once.

    >>> table_e1_1().rows[-1].action
    'X'
    """
    content = json.loads(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return Table(content["Edition"], tuple(Row(*row) for row in content["Rows"]))
