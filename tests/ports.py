"""Ports of the loopback for the servers of tests, each given out once."""

from __future__ import annotations

import itertools
import os
import re
import socket
from collections.abc import Iterator

# Below those that the system gives to whoever asks for any, and a range for each process of pytest:
# between choosing a port and listening on it nobody else may take it.
_FIRST, _EACH, _RANGES = 20_000, 1_000, 12


def _own_range() -> range:
    worker = re.search(r"\d+$", os.environ.get("PYTEST_XDIST_WORKER", ""))
    number = int(worker.group()) + 1 if worker else 0
    return range(_FIRST, _FIRST + _EACH * _RANGES)[number % _RANGES * _EACH :][:_EACH]


# Where two runs of pytest go on beside each other they seldom begin at one place.
_BEGIN = os.getpid() * 37 % _EACH
_PORTS: Iterator[int] = itertools.cycle([*_own_range()[_BEGIN:], *_own_range()[:_BEGIN]])


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on, and another one each time."""
    for port in itertools.islice(_PORTS, _EACH):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("all ports of this process of pytest are taken")
