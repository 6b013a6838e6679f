"""What was decided for objects that are held, from the header that they came with.

When such an object is stored its original header is gone, and with it the words that tell the body
part. What is kept holds no identity: it is what the journal would hold.
"""

from __future__ import annotations

import os
from pathlib import Path

from preread.hooks import log
from preread.ledger.arrival import Arrival, ArrivalError


class HeldChoices:
    """One small file for each object that is held.

    Parameters
    ----------
    folder
        Made with mode 0700 when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, arrival: Arrival) -> None:
        """Keep what was decided for an object.

        A failure costs the choice, not the object: it is decided anew from what is left.
        """
        path = self._path(arrival.instance)
        beside = path.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_text(arrival.to_json(), encoding="utf-8")
            beside.rename(path)
        except OSError as error:
            log.warning(f"what was chosen for a held object is not kept: {error.strerror}")

    def recall(self, instance: str) -> Arrival | None:
        """Return what was decided for an object, once; None if nothing is known."""
        path = self._path(instance)
        try:
            text = path.read_text(encoding="utf-8")
            path.unlink()
            return Arrival.from_json(text)
        except (OSError, UnicodeDecodeError, ArrivalError):
            return None

    def _path(self, instance: str) -> Path:
        return self._folder / f"{instance}.json"
