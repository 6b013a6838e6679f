"""``python -m preread`` is ``preread``."""

from preread.cli import main

main()
