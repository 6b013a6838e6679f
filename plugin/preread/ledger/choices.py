"""What was decided for objects that were held, from the header that they came with.

When such an object is stored its original header is gone, and with it the words that tell the body
part. What was decided lies sealed in the entry that is held. The runner lays it here right before
it sends the object to Orthanc, where the receive hook looks it up, and takes it away once the entry
is done. It holds no identity: it is what the journal will hold.
"""

from __future__ import annotations

from pathlib import Path

from preread.ledger.arrival import Arrival, ArrivalError


class HeldChoices:
    """One small file for each object that is being sent to Orthanc.

    One process writes, one object at a time; another one reads.

    Parameters
    ----------
    folder
        Made with mode 0700 when it is first needed.
    """

    @classmethod
    def within(cls, held: Path) -> HeldChoices:
        """Return those of what is held in a folder."""
        return cls(held / "choices")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, arrival: Arrival) -> None:
        """Lay down what was decided for an object, in place of what lies there.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        path = self._path(arrival.instance)
        beside = path.with_suffix(".part")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.write_text(arrival.to_json(), encoding="utf-8")
        beside.rename(path)

    def recall(self, instance: str) -> Arrival | None:
        """Return what was decided for an object, as often as it is asked; None if nothing lies."""
        try:
            return Arrival.from_json(self._path(instance).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ArrivalError):
            return None

    def forget(self, instance: str) -> None:
        """Take away what lies for an object; what cannot be removed does no harm but to last."""
        try:
            self._path(instance).unlink(missing_ok=True)
        except OSError:
            return

    def clear(self) -> None:
        """Take away all that a process left that was killed."""
        for path in (*self._folder.glob("*.json"), *self._folder.glob("*.part")):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue

    def _path(self, instance: str) -> Path:
        return self._folder / f"{instance}.json"
