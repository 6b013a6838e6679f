"""What the receive hook has let pass and Orthanc has not reported as stored yet.

When Orthanc has no memory for a copy of the hook's answer, it stores what came and answers
Success. OnStored then sees an instance that nobody let pass, or one of another size.
"""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from dataclasses import dataclass

from preread.errors import PrereadError

_LARGE = 4 << 20  # bytes; below, the question would cost as much as the answer is worth
_MARGIN = 1 << 20
_INSTANCES = 10_000
_STORES = 8  # of one instance that are remembered: more of them never reached the disk


@dataclass(frozen=True, slots=True)
class Passage:
    """One object that was let pass.

    Attributes
    ----------
    size
        Of the file that Orthanc is to store, bytes.
    own
        Whether it is an announced result.
    """

    size: int
    own: bool


class NoRoom(PrereadError):
    """Orthanc would have no memory for the de-identified file; the sender may try again."""


def check_room(size: int) -> None:
    """See that a copy of a large file can be made: with no memory for it the original is stored.

    Somebody else may take the memory in the next moment, so this does not stand for `Passed`.

    Parameters
    ----------
    size
        Of the file that Orthanc is about to copy, bytes.

    Raises
    ------
    NoRoom
        If it cannot.
    """
    if size < _LARGE:
        return
    try:
        # Nothing is written into it, so that it costs nothing but the question.
        mmap.mmap(-1, size + _MARGIN).close()
    except (OSError, MemoryError):
        raise NoRoom(
            f"there is no memory for another {size >> 20} MiB; give Orthanc more, and send it again"
        ) from None


class Passed:
    """The objects of the last moments, by Orthanc's instance id.

    Parameters
    ----------
    by_size
        Whether what is stored must have the size that was let pass. Not where Orthanc itself
        transcodes what it takes in (``IngestTranscoding``).
    """

    def __init__(self, *, by_size: bool = True) -> None:
        self._by_size = by_size
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, list[Passage]] = OrderedDict()

    def note(self, instance: str, size: int, *, own: bool = False) -> None:
        """Note that an object is handed to Orthanc.

        Parameters
        ----------
        instance
            Orthanc's id.
        size
            Of the file, bytes.
        own
            Whether it is an announced result.
        """
        with self._lock:
            stores = self._waiting.setdefault(instance, [])
            stores.append(Passage(size, own))
            del stores[:-_STORES]
            if len(self._waiting) > _INSTANCES:
                self._waiting.popitem(last=False)

    def take(self, instance: str, size: int) -> Passage | None:
        """Return the latest passage of what is stored, once; None if there was none."""
        with self._lock:
            stores = self._waiting.get(instance, [])
            for number in reversed(range(len(stores))):
                if not self._by_size or stores[number].size == size:
                    found = stores.pop(number)
                    if not stores:
                        del self._waiting[instance]
                    return found
        return None
