"""How many rows are in each state."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

StateT = TypeVar("StateT", bound=StrEnum)


def count(
    session: Session,
    column: InstrumentedAttribute[str],
    states: type[StateT],
    which: ColumnElement[bool],
) -> dict[StateT, int]:
    """Count rows by state; one that no row is in counts 0.

    Parameters
    ----------
    column
        Where the state stands.
    states
        What it may be.
    which
        The rows.
    """
    query = select(column, func.count()).where(which).group_by(column)
    found = {states(state): number for state, number in session.execute(query)}
    return {state: found.get(state, 0) for state in states}
