"""The models that run together: loaded once, asked one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from preread.models.engine import make_engine
from preread.models.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.models.catalogue import Catalogue
    from preread.models.engine import Engine, LoadedModel


class Ensemble:
    """The chosen models on one engine. For one thread.

    Parameters
    ----------
    catalogue
        The models.
    engine
        An engine, or its name in the settings.
    threads
        For the arithmetic, when `engine` is a name; 0 for all cores.
    cache
        Folder for converted networks, when `engine` is a name; None for the user's own.
    eager
        Whether all models are loaded, and their weights verified, at once; else each when it is
        first asked.

    Raises
    ------
    preread.models.card.InvalidModelError
        If a model cannot be loaded.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        engine: Engine | str = "openvino",
        threads: int = 0,
        cache: Path | None = None,
        *,
        eager: bool = True,
    ) -> None:
        self._catalogue = catalogue
        self._engine = make_engine(engine, threads, cache) if isinstance(engine, str) else engine
        self._loaded: dict[str, LoadedModel] = {}
        for model in catalogue if eager else ():
            self._load(model.name)

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self._engine.name

    @property
    def batch_hint(self) -> int:
        """How many images at once are fastest."""
        return self._engine.batch_hint

    def predict(self, model: str, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give a model's probabilities for a batch.

        Parameters
        ----------
        model
            Its name in the catalogue.
        batch
            float32 (N, C, H, W), as `preread.imaging.prepare` makes it for the model's card.

        Returns
        -------
        ndarray of float64
            (N, classes), each row of sum 1.

        Raises
        ------
        preread.models.card.InvalidModelError
            If there is no such model, or it cannot be loaded.
        ValueError
            If the batch has another shape.
        """
        shape = self._catalogue[model].card.Preprocessing.shape
        if batch.ndim != 4 or batch.shape[1:] != shape or len(batch) == 0:
            raise ValueError(f"{model}: expected a batch of {shape}, not {batch.shape}")
        return self._load(model).predict(np.ascontiguousarray(batch, dtype=np.float32))

    def prediction(
        self, model: str, frames: NDArray[np.float64] | Sequence[Sequence[float]], date: datetime
    ) -> Prediction:
        """Label the probabilities of an image's frames with what the card says.

        Parameters
        ----------
        model
            Its name in the catalogue.
        frames
            (frames, classes), as `predict` gives them.
        date
            When the image was read, with its time zone.

        Returns
        -------
        Prediction
            With the mean over the frames.
        """
        card = self._catalogue[model].card
        rows = np.asarray(frames, dtype=np.float64)
        return Prediction(
            model=card.Name,
            version=card.Version,
            dataset=card.Dataset.Name,
            weights_sha256=card.WeightsSHA256,
            classes=card.Classes,
            probabilities=tuple(rows.mean(axis=0).tolist()),
            frames=tuple(tuple(row) for row in rows.tolist()),
            date=date,
            engine=self._engine.name,
        )

    def _load(self, name: str) -> LoadedModel:
        if name not in self._loaded:
            self._loaded[name] = self._engine.load(self._catalogue[name])
        return self._loaded[name]
