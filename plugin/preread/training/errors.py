"""What training refuses."""

from __future__ import annotations

from preread.errors import PrereadError


class TrainingError(PrereadError):
    """The data or the options cannot be trained with; the message says what to change."""
