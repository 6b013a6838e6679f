"""Loads Preread into Orthanc with functions that break on purpose.

``PREREAD_FAULTS`` names them (``module:attribute``, with spaces between), ``PREREAD_FAULT_FILE`` a
file that says which of them is broken now, and by which exception. Whatever else, or nothing, in it
breaks none.
"""

import builtins
import functools
import importlib
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

root = Path(__file__).parents[2]
version = f"python{sys.version_info.major}.{sys.version_info.minor}"
environment = Path(os.environ["PREREAD_TEST_PREFIX"])
sys.path.insert(0, str(environment / "lib" / version / "site-packages"))
sys.path.insert(0, str(root / "plugin"))

told = Path(os.environ["PREREAD_FAULT_FILE"])


def breakable(place: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that fails while the test wishes it."""

    @functools.wraps(function)
    def called(*values: Any, **named: Any) -> Any:
        wanted, _, error = told.read_text().partition(" ")
        if wanted == place:
            raise getattr(builtins, error)("planted")
        return function(*values, **named)

    return called


def plant(place: str) -> None:
    """Make one function breakable."""
    module_name, attribute = place.split(":")
    owner: Any = importlib.import_module(module_name)
    *path, name = attribute.split(".")
    for part in path:
        owner = getattr(owner, part)
    if not hasattr(owner, name):
        raise SystemError(f"there is no {place} to break")
    setattr(owner, name, breakable(place, getattr(owner, name)))


for each in os.environ["PREREAD_FAULTS"].split():
    plant(each)
runpy.run_path(str(root / "plugin" / "preread_plugin.py"))
