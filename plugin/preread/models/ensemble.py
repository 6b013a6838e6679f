"""The models that run together: loaded once, those with one backbone asked in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from preread.findings.prediction import Prediction, Unlikeness
from preread.models.choosing import make_engine
from preread.models.head import Answer, Head

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from preread.models.card import ModelCard
    from preread.models.catalogue import Catalogue
    from preread.models.engine import Engine, LoadedBackbone


class Ensemble:
    """The chosen models on one engine. For one thread.

    A backbone that several of them share is loaded once.

    Parameters
    ----------
    catalogue
        The models.
    engine
        An engine, or its name in the settings.
    threads
        For the arithmetic, when `engine` is a name; 0 for all cores.
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
        *,
        eager: bool = True,
    ) -> None:
        self._catalogue = catalogue
        self._engine = make_engine(engine, threads) if isinstance(engine, str) else engine
        self._backbones: dict[Hashable, LoadedBackbone] = {}
        self._heads: dict[str, Head] = {}
        # Of each model's backbone and of its judge's, which often are one.
        self._keys: dict[str, tuple[Hashable, Hashable]] = {}
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

    def predict(self, model: str, batch: NDArray[np.float32]) -> Answer:
        """Ask one model of a batch; see `predict_together`."""
        return self.predict_together((model,), batch)[model]

    def predict_together(
        self, models: Sequence[str], batch: NDArray[np.float32]
    ) -> dict[str, Answer]:
        """Ask models of a batch; those that share a backbone run it once.

        Parameters
        ----------
        models
            Names in the catalogue, of models with one preprocessing.
        batch
            float32 (N, C, H, W), as `preread.imaging.prepare` makes it for their cards.

        Returns
        -------
        dict of str to Answer
            By model: probabilities and, of a model with a threshold for it, how far each image
            lies from its training images.

        Raises
        ------
        preread.models.card.InvalidModelError
            If there is no such model, or it cannot be loaded.
        ValueError
            If the batch has another shape, or the models have not one preprocessing.
        """
        cards = [self._catalogue[model].card for model in models]
        if len({card.Preprocessing for card in cards}) > 1:
            raise ValueError("expected models with one preprocessing")
        for model, card in zip(models, cards, strict=True):
            shape = card.Preprocessing.shape
            if batch.ndim != 4 or batch.shape[1:] != shape or len(batch) == 0:
                raise ValueError(f"{model}: expected a batch of {shape}, not {batch.shape}")
        ready = np.ascontiguousarray(batch, dtype=np.float32)
        features: dict[Hashable, NDArray[np.float32]] = {}
        answers = {}
        for model in models:
            self._load(model)
            for key in self._keys[model]:
                if key not in features:
                    features[key] = self._backbones[key].features(ready)
            own, judge = self._keys[model]
            answers[model] = self._heads[model].answer(features[own], features[judge])
        return answers

    def prediction(
        self,
        model: str,
        frames: NDArray[np.float64] | Sequence[Sequence[float]],
        novelty: NDArray[np.float64] | Sequence[float],
        date: datetime,
    ) -> Prediction:
        """Label what a model said of an image's frames with what the card says.

        Parameters
        ----------
        model
            Its name in the catalogue.
        frames
            (frames, classes), as `predict` gives them.
        novelty
            (frames,), as `predict` gives it; empty for a model that has no threshold.
        date
            When the image was read, with its time zone.

        Returns
        -------
        Prediction
            With the means over the frames. An image that lies outside gets no class, and no
            probabilities.
        """
        self._load(model)
        card = self._catalogue[model].card
        rows, scores = np.asarray(frames, dtype=np.float64), np.asarray(novelty, dtype=np.float64)
        told = card.OutOfDistribution
        unlikeness = None
        if told is not None:
            if scores.shape != rows.shape[:1]:
                raise ValueError(f"{model}: expected a score for each of {len(rows)} frames")
            unlikeness = Unlikeness(float(scores.mean()), told.Threshold)
        return _labelled(
            card,
            date,
            self._backbones[self._keys[model][0]].engine,
            rows=rows,
            unlikeness=unlikeness,
        )

    def withheld(self, model: str, reason: str, date: datetime) -> Prediction:
        """Label that a model is not asked of an image, and why.

        Parameters
        ----------
        model
            Its name in the catalogue.
        reason
            Why, in a few words.
        date
            When that was decided, with its time zone.
        """
        nothing = np.empty((1, 0))
        return _labelled(
            self._catalogue[model].card, date, self.engine, rows=nothing, withheld=reason
        )

    def _load(self, name: str) -> None:
        if name in self._heads:
            return
        model = self._catalogue[name]
        owners = (model, model.judge)
        keys = (self._engine.key(owners[0]), self._engine.key(owners[1]))
        for key, owner in zip(keys, owners, strict=True):
            if key not in self._backbones:
                self._backbones[key] = self._engine.load(owner)
        self._keys[name] = keys
        self._heads[name] = Head.of(model)


def _labelled(
    card: ModelCard,
    date: datetime,
    engine: str,
    *,
    rows: NDArray[np.float64],
    unlikeness: Unlikeness | None = None,
    withheld: str = "",
) -> Prediction:
    return Prediction(
        model=card.Name,
        version=card.Version,
        dataset=card.Dataset.Name,
        weights_sha256=card.WeightsSHA256,
        backbone_sha256=card.Backbone.SHA256,
        classes=card.Classes,
        probabilities=tuple(rows.mean(axis=0).tolist()),
        frames=tuple(tuple(row) for row in rows.tolist()),
        date=date,
        engine=engine,
        unlikeness=unlikeness,
        withheld=withheld,
    )
