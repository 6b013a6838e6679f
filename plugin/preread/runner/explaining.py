"""Pictures of what networks looked at: from a wish to a picture in the image's study.

`Explainer` makes one, `Explaining` is the thread that works through the queue while others go on
reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from preread.archive.announcing import Announcer
from preread.archive.depositing import Depositor, identity_of
from preread.archive.pacs import Pacs, Superseded
from preread.elements import read_header
from preread.errors import PrereadError
from preread.findings.prediction import Prediction
from preread.imaging import Frame, prepare
from preread.imaging.mapping_back import onto_frame
from preread.ledger.explanation import Explanation
from preread.ledger.explanations import Explanations
from preread.ledger.job import InstanceResult, Level
from preread.ledger.sql import SqlLedger
from preread.ledger.stored import ObjectIdentity
from preread.models.attention import Attention
from preread.models.catalogue import Catalogue
from preread.models.model import Model
from preread.models.whose import prediction_of
from preread.results.attention_picture import Legend, draw
from preread.results.heat_map import heat_map
from preread.runner.meter import Meter
from preread.runner.queue_worker import QueueWorker
from preread.runner.writing import Deidentifies, DerivesUids

_log = structlog.get_logger(__name__)

_SHORTEST_LEASE = 300.0  # seconds; one picture takes some, and nobody extends it
_WITHDRAW_EVERY = 5.0


class ExplanationError(PrereadError):
    """A picture cannot be made, and another try would not change that."""


class OpenFrames(Protocol):
    """An image of which any frame can be decoded; `preread.imaging.Image` is one."""

    @property
    def number_of_frames(self) -> int:
        """How many frames it has, 1 or more."""
        ...

    def frame(self, index: int, /) -> Frame:
        """Decode one, counted from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that is stored.

    Attributes
    ----------
    place
        Where.
    probability
        Which is written in it; None if the image was given no class.
    """

    place: ObjectIdentity
    probability: float | None


class Explainer:
    """Makes one picture after the other.

    Parameters
    ----------
    ledger
        Knows what the models said.
    pacs
        Orthanc.
    announcer
        Signs what is stored next.
    catalogue
        The models' cards.
    attention
        Asks the networks.
    open_image
        `preread.imaging.open_image` with its bound on the decoded size.
    uids
        Gives pictures their UIDs.
    copies
        In mode ``copy``: tells which object is the copy of an original, by its header alone. The
        picture is drawn over that copy as it is stored, and lies beside it. None in other modes.
    clock
        The time in UTC.
    """

    def __init__(
        self,
        ledger: SqlLedger,
        pacs: Pacs,
        announcer: Announcer,
        catalogue: Catalogue,
        attention: Attention,
        open_image: Callable[[bytes], OpenFrames],
        uids: DerivesUids,
        copies: Deidentifies | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._pacs = pacs
        self._depositor = Depositor(pacs, announcer)
        self._catalogue = catalogue
        self._attention = attention
        self._open_image = open_image
        self._uids = uids
        self._copies = copies
        self._clock = clock

    def explain(self, explanation: Explanation) -> Drawn | Superseded:
        """Make a picture and store it in place of an earlier one.

        Raises
        ------
        ExplanationError
            If there is nothing to explain.
        preread.errors.PrereadError
            If the image or the model cannot be used.
        preread.archive.pacs.PacsError
            If Orthanc does not answer, fails or does not take the picture.
        """
        result = self._result(explanation)
        data = None if result is None else self._pacs.file(explanation.instance)
        if result is None or data is None:
            return Superseded()
        model, prediction = self._said(explanation, result)
        column = prediction.classes.index(explanation.wanted.label)
        image = self._open_image(data)
        frame = _frame(image, explanation.wanted.frame)
        coarse = self._attention.map(model, prepare(frame, model.card.Preprocessing), column)
        base = data if self._copies is None else self._copy(data)
        shown = frame if base is data else _frame(self._open_image(base), frame.index)
        if shown.pixels.shape[:2] != frame.pixels.shape[:2]:
            raise ExplanationError("the de-identified copy has another size than its original")
        row = prediction.frames[frame.index]
        probability = None if prediction.withheld else row[column]
        legend = Legend(
            model=prediction.model,
            version=prediction.version,
            dataset=prediction.dataset,
            label=explanation.wanted.label,
            probability=probability,
            predicted=probability is not None and column == int(np.argmax(row)),
            frame=frame.index + 1,
            frames=image.number_of_frames,
            warning=prediction.warning,
        )
        spread = onto_frame(coarse, model.card.Preprocessing, *shown.pixels.shape[:2])
        picture = draw(shown.display(), spread, legend)
        outcome = self._store(explanation, base, picture, prediction)
        return outcome if isinstance(outcome, Superseded) else Drawn(outcome, probability)

    def withdraw(self, explanation: Explanation) -> None:
        """Delete a picture that should not be there any more."""
        if explanation.map is not None:
            self._pacs.delete(explanation.map.instance)

    def _result(self, explanation: Explanation) -> InstanceResult | None:
        """Return what is known of the image, if it is still the one that is meant."""
        found = self._ledger.results(Level.INSTANCE, explanation.instance)
        current = found and found[0].record.generation == explanation.generation
        return found[0] if current else None

    def _said(self, explanation: Explanation, result: InstanceResult) -> tuple[Model, Prediction]:
        wanted = explanation.wanted
        if wanted.model not in self._catalogue.names:
            raise ExplanationError(
                f"the model {wanted.model} is not there any more (Preread.Models)"
            )
        model = self._catalogue[wanted.model]
        prediction = prediction_of(model.card, result.predictions)
        if prediction is None:
            raise ExplanationError(
                f"the model {wanted.model}, as it is now, has not read the image; analyze it again"
            )
        if prediction.withheld and not prediction.outside:
            raise ExplanationError(
                f"the model {wanted.model} gave the image no class ({prediction.withheld})"
            )
        known = wanted.label in prediction.classes and prediction.classes == model.card.Classes
        if not known or wanted.frame >= len(prediction.frames):
            raise ExplanationError("the model's result has no such class or frame")
        return model, prediction

    def _copy(self, data: bytes) -> bytes:
        """Return the de-identified copy of an original, as Orthanc stores it."""
        assert self._copies is not None  # noqa: S101 - the caller has looked
        copy = self._pacs.file(identity_of(self._copies.deidentify(data).data).instance)
        if copy is None:
            raise ExplanationError(
                "the de-identified copy, beside which the picture belongs, is not there"
            )
        return copy

    def _store(
        self,
        explanation: Explanation,
        base: bytes,
        picture: NDArray[np.uint8],
        prediction: Prediction,
    ) -> ObjectIdentity | Superseded:
        wanted, header = explanation.wanted, read_header(base)
        series = f"attention {wanted.model} {wanted.label}"
        data = heat_map(
            base,
            picture,
            prediction,
            label=wanted.label,
            frame=wanted.frame,
            moment=self._clock(),
            SeriesInstanceUID=self._uids.derived_uid(header.SeriesInstanceUID, series),
            SOPInstanceUID=self._uids.derived_uid(
                header.SOPInstanceUID, f"{series} {wanted.frame}"
            ),
        )
        if self._copies is None and identity_of(base).instance != explanation.instance:
            # Orthanc reads its PatientID in another way than we do, and would file the picture
            # under an id that nobody announced.
            raise ExplanationError(
                "its identifiers are in a character set in which pictures cannot be filed"
            )
        return self._depositor.deposit_file(data, explanation.instance, explanation.generation)


def _frame(image: OpenFrames, index: int) -> Frame:
    if index >= image.number_of_frames:
        raise ExplanationError(f"the image has no frame {index}; its frames are counted from 0")
    return image.frame(index)


class Explaining(QueueWorker[Explanations, Explanation, Drawn | Superseded]):
    """Works through the queue, one picture at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        What is to be explained.
    explainer
        Makes the pictures.
    owner
        What this runner calls itself. What a predecessor of this name still holds is taken back.
    meter
        Takes note of trouble.
    lease_seconds
        For how long one is reserved, if that is longer than a picture can take.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    not_done = "not explained"

    def __init__(
        self,
        queue: Explanations,
        explainer: Explainer,
        owner: str,
        meter: Meter,
        lease_seconds: float = _SHORTEST_LEASE,
    ) -> None:
        lease = max(lease_seconds, _SHORTEST_LEASE)
        super().__init__(queue, owner, meter, "explain", lease=lease, every=_WITHDRAW_EVERY)
        self._explainer = explainer
        self._seconds = 0.0  # that the last picture took

    def withdraw(self) -> None:
        """Delete pictures whose image is gone, has other pixels, or could not be explained anew."""
        for explanation in self._queue.withdrawn():
            self._explainer.withdraw(explanation)
            self._queue.forget_map(explanation)

    def _make(self, lent: Explanation) -> Drawn | Superseded:
        began = time.monotonic()
        outcome = self._explainer.explain(lent)
        self._seconds = time.monotonic() - began
        return outcome

    def _write_down(self, lent: Explanation, outcome: Drawn | Superseded) -> None:
        if isinstance(outcome, Superseded):
            self._queue.superseded(lent)
            return
        self._queue.done(lent, outcome.place, outcome.probability)
        seconds = round(self._seconds, 2)
        _log.info("explained", **self._named(lent), model=lent.wanted.model, seconds=seconds)
