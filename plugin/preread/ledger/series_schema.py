"""The table of series in which networks look for regions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from preread.ledger.schema import PENDING, Base, Lendable


class SeriesTaskRow(Lendable, Base):
    """A series, or one image of it, and the network that was asked for."""

    __tablename__ = "series_task"

    series: Mapped[str]
    # Empty: the whole series, and the network that fits.
    scope: Mapped[str]
    network: Mapped[str]
    asked: Mapped[bool]
    revision: Mapped[int]
    # The revision that was lent last.
    lent: Mapped[int]
    # When an image of it arrived or was deleted last.
    changed: Mapped[datetime]
    ran: Mapped[str]
    regions: Mapped[int]
    proposal: Mapped[str]
    skipped: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)

    __table_args__ = (
        UniqueConstraint("node", "series", "scope", "network"),
        Index(None, "node", "state"),
        Index(
            "ix_series_task_queue",
            "node",
            "interruptions",
            "asked",
            "id",
            sqlite_where=PENDING,
            postgresql_where=PENDING,
        ),
    )
