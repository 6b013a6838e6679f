from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Insert, MetaData, Table, create_engine, select, text

from preread.ledger import database as module
from preread.ledger.database import HEAD, Database
from preread.ledger.errors import LedgerError
from preread.ledger.proposal_schema import ProposalRow
from preread.ledger.schema import Base
from preread.ledger.task_schema import TaskRow


def test_the_migrations_make_exactly_the_tables_of_the_schema(url: str) -> None:
    assert ProposalRow.__tablename__ in Base.metadata.tables
    database = Database(url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def steps() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    return config


def test_the_newest_step_is_the_one_that_is_asked_for() -> None:
    assert ScriptDirectory.from_config(steps()).get_current_head() == HEAD


def filled(table: Table, **given: object) -> Insert:
    """Return a row of a table as it was then, with something in each column."""
    of_type = {str: "", int: 1, float: 0.5, bool: False, object: []}
    of_type[datetime] = datetime(2026, 11, 21, tzinfo=UTC)
    values = {column.name: of_type[column.type.python_type] for column in table.columns}
    return table.insert().values(values | given)


def test_a_picture_keeps_its_probability_and_may_have_none(url: str) -> None:
    engine = create_engine(url)
    config, former = steps(), MetaData()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "v0009")
    former.reflect(engine)
    with engine.begin() as connection:
        for name in ("instance", "explanation"):
            connection.execute(filled(former.tables[name]))
    engine.dispose()
    database = Database(url)
    with database.reading() as session:
        row = session.scalars(select(TaskRow)).one()
        assert (row.kind, row.payload["Probability"], row.state) == ("explanation", 0.5, "")
    database.close()


def test_a_ledger_of_a_newer_preread_is_not_touched(url: str) -> None:
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))
    database.close()
    with pytest.raises(LedgerError, match=r"newer Preread.*v9999"):
        Database(url)


def test_a_file_of_the_ledger_is_for_its_owner_only(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new/ledger.sqlite")
    with database.writing():
        modes = {
            stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").glob("ledger.sqlite*")
        }
    database.close()
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_message_quotes_no_value(url: str) -> None:
    database = Database(url)
    with pytest.raises(LedgerError) as caught, database.writing() as session:
        session.execute(
            text("INSERT INTO journal_cursor (node, journal) VALUES ('Doe^John', 'Doe^John')")
        )
    assert "Doe" not in str(caught.value)
    assert caught.value.__suppress_context__
    database.close()
