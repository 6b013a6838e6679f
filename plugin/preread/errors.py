"""The errors that Preread raises on purpose; whatever else escapes is a defect."""

from __future__ import annotations


class PrereadError(Exception):
    """Base of all errors whose message a person is meant to read.

    The message names the file, tag or key, what was expected and what to do. It never holds a
    value taken from a patient's data set.
    """


class SettingsError(PrereadError):
    """The configuration cannot be used; the message names the key."""
