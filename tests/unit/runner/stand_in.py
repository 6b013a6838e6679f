"""The command ``preread`` with stand-ins for the networks: ``python stand_in.py runner ...``.

A frame that is all white makes the process crash, as a broken decoder would.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[3]))

from preread import cli
from preread.deidentify.pixels.complete import CompleteDeidentifier
from preread.models import ensemble
from preread.models.catalogue import Catalogue
from tests.unit.runner.bench import LARGE, SMALL, Networks, catalogue_of


def networks(catalogue: Catalogue, *_options: Any) -> Networks:
    made = Networks(catalogue)

    def on_predict(batch: NDArray[np.float32]) -> None:
        if (batch >= 1).all():
            os.abort()
        time.sleep(0.01)

    made.on_predict = on_predict
    return made


def made(*_header: Any) -> bool:
    """Let the small images of these tests count as de-identified by this node."""
    return True


def load(*_where: Any) -> Catalogue:
    return catalogue_of(small=SMALL, large=LARGE)


if __name__ == "__main__":
    vars(ensemble)["Ensemble"] = networks
    Catalogue.load = load  # type: ignore[method-assign,assignment]  # a stand-in
    CompleteDeidentifier.has_made = made  # type: ignore[method-assign,assignment]  # a stand-in
    cli.main()
