"""Loads Preread into Orthanc with one function broken on purpose.

``PREREAD_FAULT`` names it (``module:attribute``), ``PREREAD_FAULT_ERROR`` the exception.
"""

import builtins
import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import Any

root = Path(__file__).parents[2]
version = f"python{sys.version_info.major}.{sys.version_info.minor}"
environment = Path(os.environ["PREREAD_TEST_PREFIX"])
sys.path.insert(0, str(environment / "lib" / version / "site-packages"))
sys.path.insert(0, str(root / "plugin"))

module_name, attribute = os.environ["PREREAD_FAULT"].split(":")
error = getattr(builtins, os.environ.get("PREREAD_FAULT_ERROR", "RuntimeError"))


def broken(*_: Any, **__: Any) -> None:
    """Fail as the test wishes."""
    raise error("planted")


owner: Any = importlib.import_module(module_name)
*path, name = attribute.split(".")
for part in path:
    owner = getattr(owner, part)
if not hasattr(owner, name):
    raise SystemError(f"there is no {module_name}:{attribute} to break")
setattr(owner, name, broken)
runpy.run_path(str(root / "plugin" / "preread_plugin.py"))
