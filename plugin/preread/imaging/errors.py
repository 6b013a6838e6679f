"""Why an image cannot be shown, or has no place in the patient."""

from __future__ import annotations

from preread.errors import PrereadError


class UnreadableImage(PrereadError):
    """An image, or a frame of it, cannot be turned into pixels.

    The message says what is wrong and, where that is of use, what to do. It holds numbers, tags
    and UIDs of the standard, never a text value of the data set.
    """


class NoImagePlaneError(PrereadError):
    """An image without a place in the patient, so that what is on it has no coordinates there."""
