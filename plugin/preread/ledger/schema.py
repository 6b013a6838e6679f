"""The ledger's tables; `preread.ledger.migrations` makes them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone; SQLite gets the UTC time without its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("expected a time with a time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


# SQLite numbers rows by itself only in a column that is exactly INTEGER.
NUMBER = BigInteger().with_variant(Integer, "sqlite")
_OPEN = text("state IN ('pending', 'running')")
# Written out also where it is asked: a bound parameter would not match a partial index.
PENDING = text("state = 'pending'")
STORED = text("stored <> ''")


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain attribute
        int: BigInteger,
        float: Double,
        str: Text,
        datetime: UtcDateTime,
        list[str]: JSON,
        list[float]: JSON,
        list[list[float]]: JSON,
    }


class Lendable:
    """The columns of rows that are lent and given back; see `preread.ledger.lending`."""

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    node: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str]
    attempts: Mapped[int]
    interruptions: Mapped[int]
    owner: Mapped[str]
    reservation: Mapped[int]
    not_before: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    created: Mapped[datetime]
    updated: Mapped[datetime]


class CursorRow(Base):
    """How far a journal has been taken over."""

    __tablename__ = "journal_cursor"

    node: Mapped[str] = mapped_column(primary_key=True)
    journal: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int]
    updated: Mapped[datetime]


class InstanceRow(Base):
    """An instance of a node, as it arrived last."""

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    node: Mapped[str]
    instance: Mapped[str]
    series: Mapped[str]
    study: Mapped[str]
    patient: Mapped[str]
    SOPInstanceUID: Mapped[str] = mapped_column("sop_instance_uid")
    SeriesInstanceUID: Mapped[str] = mapped_column("series_instance_uid")
    StudyInstanceUID: Mapped[str] = mapped_column("study_instance_uid")
    SOPClassUID: Mapped[str] = mapped_column("sop_class_uid")
    Modality: Mapped[str] = mapped_column("modality")
    models: Mapped[list[str]]
    fingerprint: Mapped[str]
    reason: Mapped[str]
    body_parts: Mapped[list[str]]
    work: Mapped[bool]
    generation: Mapped[int]
    deleted: Mapped[bool]
    received: Mapped[datetime]
    updated: Mapped[datetime]
    # The latest one. No foreign key: the job refers to this row already.
    job_id: Mapped[int | None]

    __table_args__ = (
        UniqueConstraint("node", "instance"),
        Index(None, "node", "series"),
        Index(None, "node", "study"),
        Index(None, "node", "sop_instance_uid"),
        Index(None, "node", "series_instance_uid"),
        Index(None, "node", "study_instance_uid"),
        Index(None, "node", "generation"),
    )


class JobRow(Lendable, Base):
    """One generation of an instance, to be read."""

    __tablename__ = "job"

    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"))
    generation: Mapped[int]
    models: Mapped[list[str]]
    fingerprint: Mapped[str]

    __table_args__ = (
        Index(None, "instance_id"),
        # An instance is never read twice at a time.
        Index(
            "uq_job_open", "instance_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
        ),
        Index(
            "ix_job_queue",
            "node",
            "interruptions",
            "id",
            sqlite_where=PENDING,
            postgresql_where=PENDING,
        ),
        Index(None, "node", "state", "updated"),
        Index(None, "node", "updated"),
    )


class OutcomeRow(Base):
    """What one model said of an instance, the latest time it was asked."""

    __tablename__ = "outcome"

    instance_id: Mapped[int] = mapped_column(
        NUMBER, ForeignKey("instance.id"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    job_id: Mapped[int]
    generation: Mapped[int]
    model: Mapped[str]
    version: Mapped[str]
    dataset: Mapped[str]
    weights_sha256: Mapped[str]
    engine: Mapped[str]
    date: Mapped[datetime]
    classes: Mapped[list[str]]
    # Empty, as is each frame, where no class was given; earlier versions wrote equal shares.
    probabilities: Mapped[list[float]]
    frames: Mapped[list[list[float]]]
    # Without a threshold a model cannot tell, and without a backbone its network is its own.
    novelty_score: Mapped[float | None]
    novelty_threshold: Mapped[float | None]
    backbone_sha256: Mapped[str | None]
    # Why there is no class, and what stands before the classes; empty where there is nothing.
    withheld: Mapped[str]
    warning: Mapped[str]


class NetworkRow(Base):
    """A network that arrived as an instance, or lies as a file in the models folder."""

    __tablename__ = "network"

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    node: Mapped[str]
    # One of the two is empty.
    instance: Mapped[str]
    file: Mapped[str]
    SOPInstanceUID: Mapped[str] = mapped_column("sop_instance_uid")
    generation: Mapped[int]
    digest: Mapped[str]
    trust: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str]
    arrived: Mapped[datetime]
    updated: Mapped[datetime]
    # What it says of itself; empty and 0 unless it is valid.
    DnnUID: Mapped[str] = mapped_column("dnn_uid")
    DnnName: Mapped[str] = mapped_column("dnn_name")
    Modality: Mapped[str] = mapped_column("modality")
    BodyPartExamined: Mapped[str] = mapped_column("body_part_examined")
    body_parts: Mapped[list[str]]
    SamplesPerPixel: Mapped[int] = mapped_column("samples_per_pixel")
    PhotometricInterpretation: Mapped[str] = mapped_column("photometric_interpretation")
    Rows: Mapped[int] = mapped_column("rows_of_input")
    Columns: Mapped[int] = mapped_column("columns_of_input")
    Description: Mapped[str] = mapped_column("description")
    Layout: Mapped[str] = mapped_column("layout")
    created: Mapped[str]
    parameters: Mapped[int]
    weights_sha256: Mapped[str]

    __table_args__ = (
        UniqueConstraint("node", "instance", "file"),
        Index(None, "node", "state"),
        Index(None, "node", "dnn_uid"),
    )
