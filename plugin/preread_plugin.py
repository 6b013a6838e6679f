"""What Orthanc loads (``"PythonScript": "plugin/preread_plugin.py"``): finds Preread, starts it.

Orthanc embeds Debian's Python, which knows nothing of the virtual environment; its site-packages
go first on the path here. Whatever goes wrong stops Orthanc's start: an Orthanc that runs without
Preread would store originals.
"""

import importlib
import json
import os
import sys
from pathlib import Path

import orthanc

_ROOT = Path(__file__).resolve().parent.parent


def _site_packages() -> Path:
    """Return the site-packages of the interpreter that the configuration names."""
    section = json.loads(orthanc.GetConfiguration()).get("Preread", {})
    named = section.get("Runner", {}).get("Python") if isinstance(section, dict) else None
    root = Path(orthanc.GetConfigurationPath()).resolve()
    root = root if root.is_dir() else root.parent
    python = root / named if isinstance(named, str) else root / ".venv/bin/python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = python.parent.parent / "lib" / version / "site-packages"
    if not packages.is_dir():
        raise SystemError(
            f"Preread.Runner.Python: {python} is not a virtual environment made with "
            f"/usr/bin/{version}, the Python inside Orthanc; run `make install` or name yours"
        )
    return packages


def _start() -> None:
    try:
        sys.path.insert(0, str(_site_packages()))
        sys.path.insert(0, str(_ROOT / "plugin"))
        importlib.import_module("preread.hooks.plugin").register()
    except BaseException as error:
        # One line that a person can act on, after Python's traceback if it is not ours.
        orthanc.LogError(f"Preread cannot start: {error}")
        if os.environ.get("PREREAD_TRACEBACK"):
            raise
        raise SystemError("Preread cannot start; the reason stands in the line above") from None


_start()
