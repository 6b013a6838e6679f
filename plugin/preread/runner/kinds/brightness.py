"""How bright a series is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.runner.kinds.reading import reads_series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.findings.reader import Reader
    from preread.results.writer import Writer
    from preread.runner.parts import Parts


def _made(_parts: Parts) -> tuple[Reader, Sequence[Writer]]:
    from preread.models.brightness import Brightness  # noqa: PLC0415 - not needed to tell of it

    return Brightness(), ()


KIND = reads_series("brightness", _made, status="Brightness")
