"""A 133-slice CT from the first C-STORE to the last stored result, against pure inference.

Pure inference is the time that the same ensemble on the same engine takes for the same 133 images
when they lie in memory, ready. The four networks have random weights: speed does not depend on
them. Rounds alternate between the two, so that a busy machine slows both.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.engines import random_model
from bench.slices import write_series
from preread.imaging import open_image, prepare
from preread.models.card import CARD, Applicability, ArchitectureName, card_text
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
from tests.integration.pacs import Pacs, eventually

SLICES = int(os.environ.get("BENCH_SLICES", "133"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
ENGINE = os.environ.get("BENCH_ENGINE", "openvino")
_SIZES = {ArchitectureName.INCEPTION_V3: 299}
_LARGEST = 2**28


def write_models(folder: Path) -> Catalogue:
    """Write the four networks with cards that apply to CT."""
    folder.mkdir()
    for architecture in ArchitectureName:
        model = random_model(folder, architecture, _SIZES.get(architecture, 224))
        card = model.card.model_copy(update={"AppliesTo": Applicability(Modality=("CT",))})
        (model.folder / CARD).write_text(card_text(card), encoding="utf-8")
    return Catalogue.load(folder)


def inference(ensemble: Ensemble, ready: dict[str, list[NDArray[np.float32]]]) -> float:
    """Return the seconds that all models take for all images."""
    step = ensemble.batch_hint
    began = time.perf_counter()
    for name, images in ready.items():
        for start in range(0, len(images), step):
            ensemble.predict(name, np.stack(images[start : start + step]))
    return time.perf_counter() - began


def end_to_end(pacs: Pacs, files: list[Path]) -> float:
    """Return the seconds from the first C-STORE to the last result; the node is emptied."""
    began = time.perf_counter()
    done = pacs.jobs()["done"]
    pacs.send(files, associations=4)
    eventually(lambda: pacs.jobs()["done"] == done + len(files), 600, "all slices read")
    spent = time.perf_counter() - began
    for study in pacs.get("/studies"):
        pacs.http.delete(f"/studies/{study}")
    return spent


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_series(folder / "ct", SLICES)
        catalogue = write_models(folder / "models")
        images = [open_image(file.read_bytes(), max_bytes=_LARGEST).frame(0) for file in files]
        ready = {
            model.name: [prepare(image, model.card.Preprocessing) for image in images]
            for model in catalogue
        }
        ensemble = Ensemble(catalogue, ENGINE)
        section = {
            "Deidentify": {"Mode": "incoming"},
            "Models": {"Folder": str(folder / "models"), "Engine": ENGINE},
        }
        pacs = Pacs(folder / "pacs", section).start()
        try:
            eventually(lambda: pacs.get("/preread/status")["Runner"]["Status"], 300, "the runner")
            inference(ensemble, {key: some[:4] for key, some in ready.items()})
            end_to_end(pacs, files[:4])
            pure, whole = [], []
            for _ in range(ROUNDS):
                pure.append(inference(ensemble, ready))
                whole.append(end_to_end(pacs, files))
        finally:
            pacs.stop()
    first, second = statistics.median(pure), statistics.median(whole)
    Console().print(
        f"{SLICES} CT slices, four networks ({ENGINE}), median of {ROUNDS} rounds: "
        f"pure inference {first:.1f} s, end to end {second:.1f} s, ratio {second / first:.2f}"
    )


if __name__ == "__main__":
    main()
