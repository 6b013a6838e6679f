"""Queues between the stages, bounded by number and by weight."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """A queue from one stage to the next that holds back a stage that is ahead.

    `queue.Queue` bounds the number of its items only, and images differ in size by a factor of
    thousands.

    Parameters
    ----------
    items
        How many it holds.
    weight
        How much they may weigh together, in bytes. An item that is heavier by itself passes alone.
    """

    def __init__(self, items: int, weight: int) -> None:
        self._items = items
        self._weight = weight
        self._held: deque[tuple[T, int]] = deque()
        self._held_weight = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, item: T, weight: int = 0) -> bool:
        """Add an item, and wait for room.

        Returns
        -------
        bool
            False if the channel is closed; the item then stays with the caller.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(weight))
            if self._closed:
                return False
            self._held.append((item, weight))
            self._held_weight += weight
            self._changed.notify_all()
            return True

    def get(self, timeout: float | None = None) -> T | None:
        """Take the oldest item.

        Parameters
        ----------
        timeout
            Seconds to wait for one; None waits until the channel is closed.

        Returns
        -------
        T or None
            None if there is none in time, or never will be.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._held:
                left = None if deadline is None else deadline - time.monotonic()
                if self._closed or (left is not None and left <= 0):
                    return None
                self._changed.wait(left)
            item, weight = self._held.popleft()
            self._held_weight -= weight
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Take nothing more; what it holds can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Take nothing more and drop what it holds."""
        with self._changed:
            self._held.clear()
            self._held_weight = 0
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, weight: int) -> bool:
        if not self._held:
            return True
        return len(self._held) < self._items and self._held_weight + weight <= self._weight
