"""What keeps a folder from being de-identified as a whole."""

from __future__ import annotations

from preread.errors import PrereadError, SettingsError


class FolderError(SettingsError):
    """Source and destination cannot be used so; the message says what to change."""


class WorkersError(PrereadError):
    """The processes that de-identify cannot be kept alive."""


class StorageError(PrereadError):
    """The destination cannot be written any more."""
