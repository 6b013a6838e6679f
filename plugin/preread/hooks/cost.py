"""What the receive hook may spend on one object: it is serialised, and all others wait."""

from __future__ import annotations

from typing import Final

from preread.elements import Budget

_SECONDS: Final = 0.5
"""CPU time. The rest of a second is for what is not counted, such as writing to the disk."""
_INFLATED: Final = 2**26
"""Bytes that a deflated data set may grow to."""


def ordinary_budget() -> Budget:
    """Return what may be spent on one object from now on."""
    return Budget(_SECONDS, inflated=_INFLATED)
