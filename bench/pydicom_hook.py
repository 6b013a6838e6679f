"""What C-STORE is compared with: a callback that reads, walks and writes each file by pydicom.

The least that a plugin of this kind would do without working on bytes: no table, no pseudonyms.
"""

import io
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

version = f"python{sys.version_info.major}.{sys.version_info.minor}"
sys.path.insert(0, str(Path(os.environ["BENCH_PREFIX"]) / "lib" / version / "site-packages"))

import orthanc  # noqa: E402
import pydicom  # noqa: E402

database = sqlite3.connect(os.environ["BENCH_DATABASE"], check_same_thread=False)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=NORMAL")
database.execute("CREATE TABLE IF NOT EXISTS seen (instance TEXT)")


def visit(_dataset: Any, element: Any) -> None:
    """Touch an element, as a profile would."""
    if element.VR == "PN":
        element.value = "Anonymous"


def received(data: bytes, _origin: Any) -> Any:
    """Read, walk and write."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.walk(visit)
    output = io.BytesIO()
    dataset.save_as(output)
    return orthanc.ReceivedInstanceAction.MODIFY, output.getvalue()


def stored(_dicom: Any, instance: str) -> None:
    """Write one row."""
    with database:
        database.execute("INSERT INTO seen VALUES (?)", (instance,))


orthanc.RegisterReceivedInstanceCallback(received)
orthanc.RegisterOnStoredInstanceCallback(stored)
