"""Text as runs of letters and digits with signs between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SIGNS: Final = "\t\n\r\f\u00a0 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~°±²³·×–—‘’“”„•…≤≥«»"

RUN: Final = re.compile(f"[^{re.escape(_SIGNS)}]+")
"""All that is no sign is part of a run, characters that are not seen too."""


@dataclass(slots=True)
class Run:
    """Characters without a sign between them, and what becomes of them.

    Attributes
    ----------
    start, end
        Where they are in the text.
    folded
        They, case-folded.
    stays
        Whether they are kept.
    weak
        Whether they go together with a neighbour that goes.
    """

    start: int
    end: int
    folded: str
    stays: bool
    weak: bool
