"""A reader that tells bright series from dark ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from preread.findings.findings import Algorithm, Classification, Findings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from preread.findings.reader import Facts, Placed


class Brightness:
    """Looks at the mean of all pixels."""

    def obstacle(self, facts: Facts, /) -> str:
        """Refuse what is no CT."""
        return "" if facts.Modality == "CT" else "it is no CT"

    def read(self, frames: Iterable[Placed], /) -> Findings:
        """Tell bright from dark."""
        means = [float(placed.frame.pixels.mean()) for placed in frames]
        bright = float(1 / (1 + np.exp(-np.mean(means) / 1000)))
        shares = Classification(("bright", "dark"), (bright, 1 - bright))
        return Findings(Algorithm("Brightness", "1.0"), shares)
