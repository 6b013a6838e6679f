"""The user's folder for what can be fetched or made again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Give the folder for what can be made again (XDG Base Directory Specification)."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(stated) if stated else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        base = Path("/var/cache")
    return base / "preread"
