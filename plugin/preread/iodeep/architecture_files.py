"""What is published with the package: the JSON Schema of an architecture, and examples."""

from __future__ import annotations

from importlib import resources
from typing import Final

SCHEMA: Final = "architecture.schema.json"
EXAMPLES: Final = ("unet", "unet-small")
"""``unet`` is the article's: 224 x 224 x 3, from 64 to 1024 channels and back, four skips;
``unet-small`` has the same layers with an eighth of the channels, for 64 x 64 pixels of grey."""


def published_schema() -> str:
    """Give the JSON Schema (draft 2020-12) as text."""
    return resources.files(__package__).joinpath(SCHEMA).read_text(encoding="utf-8")


def example(name: str) -> str:
    """Give an example as JSON.

    Raises
    ------
    KeyError
        If `name` is not one of `EXAMPLES`.
    """
    if name not in EXAMPLES:
        raise KeyError(name)
    file = resources.files(__package__).joinpath("examples", f"{name}.json")
    return file.read_text(encoding="utf-8")
