"""The first of Preread that runs inside Orthanc: finds the virtual environment, starts the rest.

Only the standard library and Orthanc's own module are there yet. Whatever goes wrong stops
Orthanc's start: an Orthanc that runs without Preread would store originals.
"""

import importlib
import json
import os
import sys
from pathlib import Path

import orthanc

_NOT_HERE = ("gdcm", "requests", "rich", "tqdm")
"""What pydicom and structlog would take where the runner's packages lie beside theirs.

GDCM ends the process on what it does not like, and the others cost Orthanc's start and memory.
"""


def start() -> None:
    """Put the site-packages first on the path and register the callbacks.

    Raises
    ------
    SystemError
        If Preread cannot start; the reason is in Orthanc's log, in one line.
    """
    try:
        sys.path.insert(0, str(site_packages()))
        keep_out()
        importlib.import_module("preread.hooks.plugin").register()
    except BaseException as error:
        orthanc.LogError(f"Preread cannot start: {error}")
        if os.environ.get("PREREAD_TRACEBACK"):
            raise
        raise SystemError("Preread cannot start; the reason stands in the line above") from None


def keep_out() -> None:
    """Make what has no place inside Orthanc look as if it was not installed."""
    for name in _NOT_HERE:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # as PEP 328 has it


def site_packages() -> Path:
    """Return the site-packages of the interpreter that the configuration names.

    Raises
    ------
    SystemError
        If that is not an environment of the Python inside Orthanc.
    """
    section = json.loads(orthanc.GetConfiguration()).get("Preread", {})
    runner = section.get("Runner", {}) if isinstance(section, dict) else {}
    named = runner.get("Python") if isinstance(runner, dict) else None
    root = Path(orthanc.GetConfigurationPath()).resolve()
    root = root if root.is_dir() else root.parent
    python = root / (named if isinstance(named, str) else ".venv/bin/python")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = python.parent.parent / "lib" / version / "site-packages"
    if not packages.is_dir():
        raise SystemError(
            f"Preread.Runner.Python: {python} is not a virtual environment made with "
            f"/usr/bin/{version}, the Python inside Orthanc; run `make install` or name yours"
        )
    return packages
