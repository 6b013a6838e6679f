"""The errors of structure sets; their messages quote no patient's value."""

from __future__ import annotations

from preread.errors import PrereadError


class UnwritableStructureSetError(PrereadError):
    """Regions that no structure set can be made of; the message names what is wrong."""
