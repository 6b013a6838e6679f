"""What can keep the demonstration from running, each told in one line."""

from preread.errors import PrereadError


class DemoError(PrereadError):
    """The demonstration cannot go on."""
