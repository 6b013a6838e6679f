"""Adding a row that another transaction may be adding at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from preread.ledger.schema import Base


def add_unless_there(session: Session, row: Base) -> bool:
    """Add a row at once, unless there is one of the same unique key.

    On PostgreSQL nobody sees what others have not committed, so who finds no row may still not be
    the first; this waits for the other transaction's end. The caller's goes on either way.

    Returns
    -------
    bool
        False if the other row is there; it can be read then.
    """
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True
