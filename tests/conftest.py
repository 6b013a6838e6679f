"""Fixtures that tests of several rooms share."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_server import PostgresServer, postgres_programs


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("the PostgreSQL server programs (initdb, postgres) are not installed")
    # Not below pytest's own folder, which only the present user may enter.
    folder = Path(tempfile.mkdtemp(prefix=f"preread-{getpass.getuser()}-"))
    server = PostgresServer(programs, folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
