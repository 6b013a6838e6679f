"""Connections of the service: how many there may be, and how long each may say nothing of use.

uvicorn bounds neither: whoever opened connections and never ended a request would hold all that the
process may have, until nobody else could be answered.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

_MOST: Final = 512


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may take.

    Attributes
    ----------
    connections
        How many there may be. One more takes the place of the one that has waited longest for a
        whole head; where none does, it is closed.
    head_seconds
        Until the head of a request is whole, and until a body ends that was answered before.
    """

    connections: int = _MOST
    head_seconds: float = 10.0

    @classmethod
    def of_this_process(cls) -> ConnectionLimits:
        """Leave half of the file descriptors that this process may have for all else."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return cls(connections=max(8, min(_MOST, descriptors // 2)))


def bounded(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """Return the protocol of a server whose connections are bounded.

    Parameters
    ----------
    limits
        Of all connections of the server together.
    """
    return type("Bounded", (_Bounded,), {"room": _Room(limits)})


class _Room:
    """The connections that are open, and those of them that wait for their sender, oldest first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.open: set[_Bounded] = set()
        self.waiting: dict[_Bounded, None] = {}

    def enter(self, new: _Bounded) -> None:
        self.open.add(new)
        if len(self.open) > self.limits.connections:
            next(iter(self.waiting), new).give_up()

    def leave(self, one: _Bounded) -> None:
        self.open.discard(one)
        self.waiting.pop(one, None)


class _Bounded(H11Protocol):
    """HTTP/1.1, where a request has to come in time."""

    room: ClassVar[_Room]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.room.enter(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self.room.leave(self)
        super().connection_lost(exc)

    def give_up(self) -> None:
        """End the connection at once: what is left to send, nobody reads."""
        self._unwatch()
        self.room.leave(self)
        self.transport.abort()

    def _watch(self) -> None:
        """Give the sender time while it is its turn to send, and no more each time it does."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self.transport.is_closing():
            self._unwatch()
        elif self._end is None:
            self._end = self.loop.call_later(self.room.limits.head_seconds, self.give_up)
            self.room.waiting[self] = None

    def _unwatch(self) -> None:
        self.room.waiting.pop(self, None)
        if self._end is not None:
            self._end.cancel()
            self._end = None
