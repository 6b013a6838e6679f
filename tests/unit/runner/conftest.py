from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.unit.runner.bench import Bench


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """Return what is logged; it goes nowhere else."""
    with capture_logs() as events:
        yield events


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()
