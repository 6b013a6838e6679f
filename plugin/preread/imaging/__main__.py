"""Make a picture into a secondary capture, in a process of its own.

``python -m preread.imaging`` reads a line of JSON (the tags, by DICOM keyword) and a PNG or JPEG
from standard input and writes a DICOM file to standard output. A picture or tag that cannot be
taken gives one line on standard error and the exit code 2. What a stranger sends is decoded here
rather than in the process that has to go on.
"""

from __future__ import annotations

import sys
from resource import RLIMIT_AS, RLIMIT_CPU, setrlimit

from preread.imaging.errors import UnreadableImage

_MOST_BYTES = 512 * 2**20
_ADDRESS_SPACE = 8 * 2**30
_CPU_SECONDS = 60
_REFUSED = 2


def main() -> int:
    """Convert one picture; the exit code is 0, or 2 for one that cannot be taken."""
    setrlimit(RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    setrlimit(RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    # After the limits, and only here: highdicom takes half a second to import.
    from preread.imaging.secondary_capture import from_message  # noqa: PLC0415

    try:
        file = from_message(sys.stdin.buffer.read(), max_bytes=_MOST_BYTES)
    except UnreadableImage as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED
    except MemoryError:
        sys.stderr.write("the picture needs more memory than it may have\n")
        return _REFUSED
    sys.stdout.buffer.write(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
