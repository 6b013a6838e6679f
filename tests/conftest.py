"""Fixtures that tests of several rooms share."""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.order import in_order
from tests.postgres_server import PostgresServer, postgres_programs


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the files where several processes share them."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = in_order(items, config.rootpath)


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
