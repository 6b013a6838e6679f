"""The ledger's tables of proposals and reviews; `preread.ledger.migrations` makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from preread.ledger.schema import NUMBER, Base


class Kept:
    """What is known of an object that was stored, and of its like in the original study."""

    instance: Mapped[str]
    SOPInstanceUID: Mapped[str] = mapped_column("sop_instance_uid")
    attached: Mapped[str]
    # Of the files as they were stored; empty where that is not known.
    sha256: Mapped[str] = mapped_column(server_default="")
    attached_sha256: Mapped[str] = mapped_column(server_default="")
    # When they were compared last, and what was wrong then.
    checked: Mapped[datetime | None]
    altered: Mapped[str] = mapped_column(server_default="")


class ProposalRow(Kept, Base):
    """What a network proposes for a series."""

    __tablename__ = "proposal"

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    node: Mapped[str]
    SeriesInstanceUID: Mapped[str] = mapped_column("series_instance_uid")
    StudyInstanceUID: Mapped[str] = mapped_column("study_instance_uid")
    # The images as they arrived, and those beside which it lies.
    source_series: Mapped[str]
    source_study: Mapped[str]
    source_series_uid: Mapped[str]
    source_study_uid: Mapped[str]
    shown_series: Mapped[str]
    shown_study: Mapped[str]
    shown_series_uid: Mapped[str]
    scope: Mapped[str]
    network_name: Mapped[str]
    network_uid: Mapped[str]
    network_version: Mapped[str]
    weights_sha256: Mapped[str]
    number_of_regions: Mapped[int]
    regions: Mapped[list[dict[str, Any]]] = mapped_column(JSON, deferred=True)
    skipped: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON, deferred=True)
    status: Mapped[str]
    version: Mapped[int]
    stored: Mapped[bool]
    created: Mapped[datetime]
    updated: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("node", "sop_instance_uid"),
        Index(None, "node", "source_series"),
        Index(None, "node", "updated"),
        Index(None, "node", "status"),
    )


class ProposalImageRow(Base):
    """An image that was looked at for a proposal, in the generation that it had."""

    __tablename__ = "proposal_image"

    proposal_id: Mapped[int] = mapped_column(
        NUMBER, ForeignKey("proposal.id"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    instance_id: Mapped[int] = mapped_column(NUMBER, ForeignKey("instance.id"))
    generation: Mapped[int]
    shown: Mapped[str]
    SOPInstanceUID: Mapped[str] = mapped_column("sop_instance_uid")
    frames: Mapped[int]

    __table_args__ = (Index(None, "instance_id"),)


class ReviewRow(Kept, Base):
    """What somebody decided about a proposal, and the object that is made of it.

    A task of its number has the object made.
    """

    __tablename__ = "review"

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    node: Mapped[str]

    proposal_id: Mapped[int] = mapped_column(NUMBER, ForeignKey("proposal.id"))
    version: Mapped[int]
    # The name that was typed, and the user who was authenticated; empty if nobody was.
    reviewer: Mapped[str]
    account: Mapped[str] = mapped_column(server_default="")
    comment: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created: Mapped[datetime]

    __table_args__ = (
        # Of two reviews of one version one is refused, whatever else happens.
        UniqueConstraint("proposal_id", "version"),
    )
