"""What can be wrong with an order for a phantom."""

from __future__ import annotations

from preread.errors import PrereadError


class PhantomError(PrereadError):
    """A phantom was asked for that cannot be made or written."""
