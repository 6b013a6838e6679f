"""The table of series in which networks look for regions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from preread.ledger.schema import PENDING, Base

# SQLite numbers rows by itself only in a column that is exactly INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


class SeriesTaskRow(Base):
    """A series, or one image of it, and the network that was asked for."""

    __tablename__ = "series_task"

    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    node: Mapped[str]
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
    state: Mapped[str]
    reason: Mapped[str]
    ran: Mapped[str]
    regions: Mapped[int]
    proposal: Mapped[str]
    attempts: Mapped[int]
    interruptions: Mapped[int]
    owner: Mapped[str]
    reservation: Mapped[int]
    not_before: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    created: Mapped[datetime]
    updated: Mapped[datetime]

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
