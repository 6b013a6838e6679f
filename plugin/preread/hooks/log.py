"""Orthanc's own log, with the name of the plugin in front.

What is written here never holds a value from a data set: callers pass tags, reasons and Orthanc's
own identifiers of objects that are already de-identified.
"""

from __future__ import annotations

import orthanc

_PREFIX = "Preread: "


def info(message: str) -> None:
    """Write what an administrator may want to know when looking closely."""
    orthanc.LogInfo(_PREFIX + message)


def warning(message: str) -> None:
    """Write what an administrator should know."""
    orthanc.LogWarning(_PREFIX + message)


def error(message: str) -> None:
    """Write what an administrator must act on."""
    orthanc.LogError(_PREFIX + message)
