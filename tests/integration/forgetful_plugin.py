"""Loads Preread into an Orthanc that forgets the answer of the receive hook when it is told to.

So does the Python plugin when it has no memory for a copy: what came is stored, and Success is
answered. While the file of ``PREREAD_TEST_FORGET`` is there, answers are forgotten; while it says
``deaf``, nothing is reported as stored either.
"""

import os
import runpy
from pathlib import Path
from typing import Any

import orthanc

switch = Path(os.environ["PREREAD_TEST_FORGET"])
register_received = orthanc.RegisterReceivedInstanceCallback
register_stored = orthanc.RegisterOnStoredInstanceCallback


def received(callback: Any) -> None:
    """Register a receive hook whose answer may be forgotten."""

    def call(data: bytes, origin: Any) -> Any:
        verdict = callback(data, origin)
        if switch.exists() and verdict[0] != orthanc.ReceivedInstanceAction.DISCARD:
            return orthanc.ReceivedInstanceAction.KEEP_AS_IS, None
        return verdict

    register_received(call)


def stored(callback: Any) -> None:
    """Register a stored hook that may not be called."""

    def call(dicom: Any, instance: str) -> None:
        if not (switch.exists() and switch.read_text() == "deaf"):
            callback(dicom, instance)

    register_stored(call)


setattr(orthanc, "RegisterReceivedInstanceCallback", received)  # noqa: B010 - a module of C
setattr(orthanc, "RegisterOnStoredInstanceCallback", stored)  # noqa: B010
runpy.run_path(str(Path(__file__).parents[2] / "plugin" / "preread_plugin.py"))
