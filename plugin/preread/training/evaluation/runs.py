"""A run: a folder of models that were fitted on one split; or one model alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from preread.models.card import CARD
from preread.models.catalogue import Catalogue
from preread.training.evaluation.document import EpochLine
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.items import Member
from preread.training.evaluation.record import read_record
from preread.training.evaluation.spread import ENSEMBLE

if TYPE_CHECKING:
    from pathlib import Path

    from preread.models.model import Model

HISTORY: Final = "history.json"
_LARGEST_HISTORY: Final = 16 * 1024**2
_HISTORY = TypeAdapter(dict[str, tuple[EpochLine, ...]])


def catalogue_of(place: Path) -> Catalogue:
    """Read the models of a run.

    Parameters
    ----------
    place
        A model's folder, or a folder of such.

    Raises
    ------
    EvaluationError
        If there is no model.
    preread.models.card.InvalidModelError
        If one cannot be used.
    """
    folder = place.resolve()
    if (folder / CARD).is_file():
        found = Catalogue.load(folder.parent, (folder.name,))
    else:
        found = Catalogue.load(folder)
    if not len(found):
        raise EvaluationError(
            f"{folder.name}: no model in it; expected a model's folder, with {CARD}, or a folder "
            "of such"
        )
    return found


def members_of(catalogue: Catalogue, wanted: str | None, *, needs_split: bool) -> list[Member]:
    """Give the models of a run with the set that each answers for.

    Parameters
    ----------
    catalogue
        Of the run.
    wanted
        The set whose models are measured; None for all.
    needs_split
        Whether a model without a split is refused.

    Raises
    ------
    EvaluationError
        If there is none, or a split cannot be used.
    """
    found = []
    for model in catalogue:
        if model.name == ENSEMBLE:
            raise EvaluationError(
                f"model {ENSEMBLE!r}: that is what all of them together are called"
            )
        record = read_record(model)
        if record is None and needs_split:
            raise EvaluationError(
                f"{model.name}: its card names no split (Training.SplitSHA256), so that what it "
                "was not trained on is not known; measure it on another source with --data and "
                "--part all"
            )
        # Without a split, models of the same classes are taken to be of one set.
        name = record.set_of(model) if record else ", ".join(sorted(model.card.Classes))
        found.append(Member(model, record, name))
    chosen = [member for member in found if wanted in (None, member.set_name)]
    if not chosen:
        there = "; ".join(sorted({member.set_name for member in found}))
        raise EvaluationError(f"--set {wanted}: no model of it; there are models of: {there}")
    return chosen


def history_of(model: Model) -> dict[str, tuple[EpochLine, ...]]:
    """Read loss and accuracy of each epoch, by split; empty where they were not kept.

    Raises
    ------
    EvaluationError
        If the file is not a history.
    """
    places = [model.folder / HISTORY]
    if model.backbone.parent != model.folder:
        places.append(model.backbone.with_name(f"{model.backbone.stem}.{HISTORY}"))
    for place in places:
        if place.is_file():
            name = f"{place.parent.name}/{place.name}"
            if place.stat().st_size > _LARGEST_HISTORY:
                raise EvaluationError(f"{name}: larger than {_LARGEST_HISTORY} bytes")
            try:
                return _HISTORY.validate_python(json.loads(place.read_bytes()))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                key = ".".join(str(part) for part in first["loc"])
                message = re.sub(r"\s+", " ", first["msg"])
                raise EvaluationError(f"{name}: {key}: {message}") from None
            except ValueError:
                raise EvaluationError(f"{name}: not the JSON of a training's history") from None
    return {}
