"""What may become of a piece of work besides what it is for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Left:
    """Nobody looks at it, which is no failure; the reason says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """It is to be tried again after a pause in seconds; a reason is for a person to act on."""

    pause: float
    reason: str = ""
