"""Why an image cannot be shown."""

from __future__ import annotations

from preread.errors import PrereadError


class UnreadableImage(PrereadError):
    """An image, or a frame of it, cannot be turned into pixels.

    The message says what is wrong and, where that is of use, what to do. It holds numbers, tags
    and UIDs of the standard, never a text value of the data set.
    """
