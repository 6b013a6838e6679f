"""What measuring refuses."""

from __future__ import annotations

from preread.errors import PrereadError


class EvaluationError(PrereadError):
    """The models, the data or the options cannot be measured with; the message says what to do."""
