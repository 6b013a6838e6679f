"""The order in which several processes take the files: none is left alone with a long one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

LONGEST = (
    "tests/docker/test_containers.py",
    "tests/integration/test_again.py",
    "tests/integration/test_failures.py",
    "tests/integration/test_main_way.py",
    "tests/unit/deidentify/pixels/test_detection.py",
    "tests/unit/deidentify/pixels/test_unreadable.py",
)
"""They take minutes."""

_WAITING = ("orthanc", "docker")
_LAST = 0.8
"""Behind this share of the others no file begins that waits: the end is for short ones."""


def in_order(items: Iterable[pytest.Item], root: Path) -> list[pytest.Item]:
    """Put the longest files first, and spread those that wait among those that compute.

    Parameters
    ----------
    items
        The tests of all files.
    root
        What the paths of the longest are relative to.

    Returns
    -------
    list of pytest.Item
        The same tests; those of one file stay together, as they were.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    longest = [root / name for name in LONGEST]
    others = [path for path in files if path not in longest]
    waiting = [path for path in others if _waits(files[path])]
    computing = [path for path in others if path not in waiting]
    places = _spread(waiting, _LAST) | _spread(computing, 1.0)
    begun = [path for path in longest if path in files]
    ordered = [*begun, *sorted(others, key=lambda path: places[path])]
    return [item for path in ordered for item in files[path]]


def _waits(items: Iterable[pytest.Item]) -> bool:
    return any(item.get_closest_marker(name) for item in items for name in _WAITING)


def _spread(paths: Sequence[Path], end: float) -> dict[Path, float]:
    return {path: end * place / len(paths) for place, path in enumerate(paths)}
