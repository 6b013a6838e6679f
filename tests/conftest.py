"""Fixtures that tests of several rooms share."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_server import PostgresServer, postgres_programs

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # xdist, registered later, reads the groups in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, and those that build the image, in one process of several."""
    for item in items:
        path = item.path.relative_to(_HERE) if item.path.is_relative_to(_HERE) else item.path
        group = "docker" if path.parts[0] == "docker" else str(path)
        item.add_marker(pytest.mark.xdist_group(group))


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
