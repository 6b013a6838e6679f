"""How a picture of what a network looked at is told from the images that networks read."""

from __future__ import annotations

from typing import Final

ATTENTION_MAP: Final = "ATTENTION_MAP"
"""The value of Image Type by which a picture of ours is known: nobody reads what networks drew."""
