"""The one table of work that is not the reading of single images; `lending` says how it is lent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from preread.ledger.schema import PENDING, STORED, Base, Lendable


class TaskRow(Lendable, Base):
    """What is to be done with a subject, and what came of it."""

    __tablename__ = "task"

    kind: Mapped[str]
    # Orthanc's id of an image or a series, or the number of a row of another table.
    subject: Mapped[str]
    # Tells tasks of one kind and subject apart; empty where there is one.
    name: Mapped[str]
    # Of the image, when it was wanted; 0 where the subject has none.
    generation: Mapped[int]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    outcome: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Whether somebody waits for it.
    asked: Mapped[bool]
    # Raised by each change of the subject and each request, and the one that was lent last.
    revision: Mapped[int]
    lent: Mapped[int]
    # When an image of the subject arrived or was deleted last.
    changed: Mapped[datetime]
    # Orthanc's ids of the objects that were stored for it, with spaces between them.
    stored: Mapped[str]

    __table_args__ = (
        UniqueConstraint("node", "kind", "subject", "name"),
        Index(None, "node", "kind", "state"),
        Index(
            "ix_task_queue",
            "node",
            "kind",
            "interruptions",
            "asked",
            "id",
            sqlite_where=PENDING,
            postgresql_where=PENDING,
        ),
        Index(
            "ix_task_stored",
            "node",
            "kind",
            "subject",
            sqlite_where=STORED,
            postgresql_where=STORED,
        ),
    )
