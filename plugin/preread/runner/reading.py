"""From the bytes of an image to what the models say: decoding, batches, the mean over frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from preread.elements import read_header
from preread.errors import PrereadError
from preread.findings.prediction import NOT_MEASURED, Prediction, in_agreement
from preread.imaging import Frame, Preprocessing, Units, prepare
from preread.models.catalogue import Catalogue, shows_attention
from preread.models.head import Answer
from preread.models.kinds import unfit
from preread.runner.work import Piece, Work
from preread.sections import OutsideInput

_PIECE = 16  # frames; a multi-frame image is never prepared as a whole


class MissingModelError(PrereadError):
    """A job asks for a model that is not in the folder of models."""


class NoImageError(PrereadError):
    """A job asks for an object to be read that is no image."""


class OpenImage(Protocol):
    """An image whose frames are decoded one after the other; `preread.imaging.Image` is one."""

    @property
    def number_of_frames(self) -> int:
        """How many frames it has, 1 or more."""
        ...

    @property
    def units(self) -> Units:
        """What the values of its pixels mean."""
        ...

    @property
    def frames(self) -> Iterator[Frame]:
        """The frames in their order, each decoded when it is reached."""
        ...


class Networks(Protocol):
    """The loaded models; `preread.models.Ensemble` is one. Used by one thread."""

    @property
    def engine(self) -> str:
        """The engine's name."""
        ...

    @property
    def batch_hint(self) -> int:
        """How many images at once are fastest."""
        ...

    def predict_together(
        self, models: Sequence[str], batch: NDArray[np.float32], /
    ) -> Mapping[str, Answer]:
        """Return what each of some models with one preprocessing says of a batch (N, C, H, W)."""
        ...

    def prediction(
        self,
        model: str,
        frames: Sequence[Sequence[float]],
        novelty: Sequence[float],
        date: datetime,
        /,
    ) -> Prediction:
        """Label what a model said of an image's frames, and add the mean."""
        ...

    def withheld(self, model: str, reason: str, date: datetime, /) -> Prediction:
        """Label that a model is not asked of an image, and why."""
        ...


class Decoder:
    """Turns a file into pieces for the networks.

    Parameters
    ----------
    catalogue
        Whose cards say how images are prepared.
    open_image
        `preread.imaging.open_image` with its bound on the decoded size.
    outside
        What becomes of an image that is not of the kind that a model was made for.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        open_image: Callable[[bytes], OpenImage],
        outside: OutsideInput = OutsideInput.WITHHOLD,
    ) -> None:
        self._catalogue = catalogue
        self._open_image = open_image
        self._outside = outside

    def pieces(self, work: Work) -> Iterator[Piece]:
        """Decode an image; its number of frames, and which models are asked, is noted in `work`.

        An image that no model is asked of is decoded too: that it cannot be comes first.

        Raises
        ------
        NoImageError
            If the object has no pixel data, or is a picture of ours.
        preread.imaging.UnreadableImage
            If the image cannot be decoded, at any frame.
        MissingModelError
            If a model of the job is not there any more.
        """
        self._check(work.job.models)
        header = read_header(work.data)
        if not header.has_pixel_data:
            raise NoImageError("it has no pixel data")
        if shows_attention(header):
            raise NoImageError("it shows what a network looked at")
        image = self._open_image(work.data)
        work.frames = image.number_of_frames
        self._judge(work, image.units)
        wanted = self._preprocessings(work.asked)
        if not wanted:
            for _ in image.frames:
                pass
            yield Piece(work, 0, {})
            return
        collected: list[Frame] = []
        for frame in image.frames:
            collected.append(frame)
            if len(collected) == _PIECE:
                yield _piece(work, collected, wanted)
                collected = []
        if collected:
            yield _piece(work, collected, wanted)

    def _check(self, models: Sequence[str]) -> None:
        missing = [name for name in models if name not in self._catalogue.names]
        if missing:
            raise MissingModelError(
                f"the model {missing[0]} is not there any more (Preread.Models); "
                "analyze the instance again with those that are"
            )

    def _judge(self, work: Work, units: Units) -> None:
        """Note which of the job's models the image is not for."""
        reasons = {name: unfit(self._catalogue[name].card.Input, units) for name in work.job.models}
        reasons = {name: reason for name, reason in reasons.items() if reason}
        if self._outside is OutsideInput.MARK:
            work.marked = set(reasons)
        else:
            work.withheld = reasons

    def _preprocessings(self, models: Sequence[str]) -> tuple[Preprocessing, ...]:
        cards = (self._catalogue[name].card for name in models)
        return tuple(dict.fromkeys(card.Preprocessing for card in cards))


def _piece(work: Work, frames: Sequence[Frame], wanted: Sequence[Preprocessing]) -> Piece:
    inputs = {how: np.stack([prepare(frame, how) for frame in frames]) for how in wanted}
    return Piece(work, len(frames), inputs)


class Reader:
    """Runs the models on pieces, and puts together what they say of each image.

    Parameters
    ----------
    catalogue
        The models' cards.
    networks
        The loaded models.
    batch_size
        Frames per pass of a network; 0 for what is fastest on the engine.
    clock
        The time in UTC.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        networks: Networks,
        batch_size: int = 0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalogue = catalogue
        self._networks = networks
        self._batch_size = batch_size or networks.batch_hint
        self._heads = {name: catalogue.heads(name) for name in catalogue.names}
        self._clock = clock

    @property
    def batch_size(self) -> int:
        """How many frames are worth collecting for one pass."""
        return self._batch_size

    def read(self, pieces: Sequence[Piece]) -> None:
        """Run every model on those of the pieces that are for it; add rows to their works.

        Models that share a backbone and a preprocessing are run together, on the pieces that are
        for any of them. The order of a model's rows is that of the frames, so the pieces of one
        image come in their order. Of the other heads of a model's network it is noted how far they
        find the image from their training images: heads give a class together or not at all.
        """
        asked = dict.fromkeys(model for piece in pieces for model in piece.work.asked)
        models = dict.fromkeys((*asked, *(head for model in asked for head in self._heads[model])))
        found = [self._answers(together, pieces) for together in self._sharing(models)]
        # Only when all went well: a batch that failed is read again, image by image.
        for piece, answers in (pair for pairs in found for pair in pairs):
            for model, answer in answers.items():
                if model in piece.work.asked:
                    piece.work.add(model, answer)
                else:
                    piece.work.judge(model, answer)

    def _sharing(self, models: Iterable[str]) -> Iterable[Sequence[str]]:
        groups: dict[tuple[Preprocessing, str], list[str]] = defaultdict(list)
        for name in models:
            model = self._catalogue[name]
            groups[model.card.Preprocessing, model.backbone_sha256].append(name)
        return groups.values()

    def _answers(
        self, models: Sequence[str], pieces: Sequence[Piece]
    ) -> list[tuple[Piece, dict[str, Answer]]]:
        how = self._catalogue[models[0]].card.Preprocessing
        mine = [piece for piece in pieces if not set(models).isdisjoint(piece.work.asked)]
        inputs = [piece.inputs[how] for piece in mine]
        batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        size = self.batch_size
        answers = [
            self._networks.predict_together(models, batch[start : start + size])
            for start in range(0, len(batch), size)
        ]
        ends = np.cumsum([piece.frames for piece in mine])[:-1]
        rows = {model: _divided([answer[model] for answer in answers], ends) for model in models}
        return [
            (piece, {model: rows[model][index] for model in models})
            for index, piece in enumerate(mine)
        ]

    def conclude(self, work: Work) -> None:
        """Give an image of which every frame is read its predictions.

        Raises
        ------
        preread.findings.prediction.InvalidPredictionError
            If a network's answer is no distribution.
        """
        now = self._clock()
        said = {model: self._prediction(work, model, now) for model in work.job.models}
        for model in work.asked:
            heads = [head for head in self._heads[model] if head in work.asked]
            agreed = in_agreement([said[head] for head in heads], also=self._doubted(work, model))
            said |= zip(heads, agreed, strict=True)
        work.predictions = tuple(said[model] for model in work.job.models)

    def _doubted(self, work: Work, model: str) -> bool:
        """Tell whether a head that was not asked finds the image unlike its training images."""
        for head in self._heads[model]:
            told, scores = self._catalogue[head].card.OutOfDistribution, work.beside.get(head)
            if told is not None and scores and float(np.mean(scores)) > told.Threshold:
                return True
        return False

    def _prediction(self, work: Work, model: str, now: datetime) -> Prediction:
        if model in work.withheld:
            return self._networks.withheld(model, work.withheld[model], now)
        novelty = work.novelty.get(model, ())
        made = self._networks.prediction(model, work.rows[model], novelty, now)
        return replace(made, warning=NOT_MEASURED) if model in work.marked else made


def _divided(answers: Sequence[Answer], ends: NDArray[np.int64]) -> list[Answer]:
    """Put a model's answers together, and divide them where the pieces end."""
    rows = np.split(np.concatenate([answer.probabilities for answer in answers]), ends)
    scores = [answer.novelty for answer in answers if answer.novelty is not None]
    if not scores:
        return [Answer(some) for some in rows]
    parts = np.split(np.concatenate(scores), ends)
    return [Answer(some, score) for some, score in zip(rows, parts, strict=True)]
