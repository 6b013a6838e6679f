"""POST /preread/instances/{id}/explain: what the networks looked at, as a picture in the study.

Nothing is computed here: a wish is written to the ledger, and the runner makes the picture.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preread.findings.prediction import Prediction
from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.hooks.views_results import patience_of
from preread.hooks.views_status import NOTICE
from preread.ledger.explanation import Explanation, Wanted
from preread.ledger.explanations import Explanations
from preread.ledger.job import InstanceResult, Level
from preread.models.catalogue import Catalogue
from preread.models.whose import prediction_of, withheld_by

_POLL = 0.1  # seconds
_KEYS = ("Models", "Class", "Frame", "Asynchronous", "Timeout")


def explain(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/instances/{id}/explain``; id is Orthanc's or DICOM's.

    The body may hold ``Models`` (names; default: all that read it), ``Class`` (default: for each
    model the likeliest one, if it gave the image a class), ``Frame`` (from 0; default: that in
    which the class is likeliest), ``Asynchronous`` and ``Timeout`` in seconds. A call that is not
    done in time answers 202; the work goes on, and ``GET /preread/instances/{id}`` tells how it
    fares.

    Raises
    ------
    RestError
        400 for a model, class or frame that the image has no result of; 404 for an image that is
        not known; 409 for one that was not read yet, or that no model was made for.
    """
    body = request.json()
    unknown = set(body) - set(_KEYS)
    if unknown:
        raise RestError(400, f"unknown in the body: {', '.join(sorted(unknown))[:100]}")
    patience = patience_of(context, body)
    ledger = context.ledger()
    found = ledger.results(Level.INSTANCE, request.groups[0])
    if not found:
        raise RestError(404, "nothing is known of it; POST .../analyze reads what is stored")
    instance = found[0].record.instance
    wanted = _wanted(context.catalogue, body, _said(context.catalogue, found[0]))
    queue = ledger.explanations
    asked = [one.id for one in queue.ask(instance, wanted)]
    made = _those(queue, instance, asked)
    with context.waiting.patience(patience) as deadline:
        while any(one.state.is_open for one in made) and time.monotonic() < deadline:
            time.sleep(_POLL)  # releases the interpreter: Orthanc's other callbacks go on
            made = _those(queue, instance, asked)
    withheld = withheld_by(context.catalogue, found[0].predictions)
    shown = [one.to_json(withheld.get(one.wanted.model, "")) for one in made]
    told = {"Notice": NOTICE, "Explanations": shown}
    if made and not any(one.state.is_open for one in made):
        return Answer(told)
    return Answer(told | {"Path": f"/preread/instances/{instance}"}, 202)


def _those(queue: Explanations, instance: str, numbers: Sequence[int]) -> list[Explanation]:
    return [one for one in queue.of(instance) if one.id in numbers]


def _said(catalogue: Catalogue, result: InstanceResult) -> dict[str, Prediction]:
    """Return what the models that are here said of an image, by the names of their folders."""
    if not result.predictions:
        reason = result.record.state_reason
        state = "pending" if result.record.state is None else result.record.state.value
        why = f"{state}: {reason}" if reason else state
        raise RestError(409, f"no model has read it ({why[:200]})")
    said = {
        model.name: prediction
        for model in catalogue
        if (prediction := prediction_of(model.card, result.predictions)) is not None
    }
    if not said:
        raise RestError(409, "it was read by models that are not here any more; analyze it again")
    return _that_looked(said)


def _that_looked(said: Mapping[str, Prediction]) -> dict[str, Prediction]:
    """Leave out models from which the image is withheld: what they look at in it means nothing.

    One that was found unlike the training data stays, since a picture may show why.
    """
    looked = {name: one for name, one in said.items() if not one.withheld or one.outside}
    if not looked:
        reasons = dict.fromkeys(one.withheld for one in said.values())
        raise RestError(409, f"no model gives it a class: {'; '.join(reasons)}"[:500])
    return looked


def _wanted(
    catalogue: Catalogue, body: Mapping[str, Any], said: Mapping[str, Prediction]
) -> list[Wanted]:
    label, frame, is_named = body.get("Class"), body.get("Frame"), body.get("Models") is not None
    names: Sequence[str] = _models(catalogue, body, said)
    if label is None:
        names = _that_are_sure(names, said, is_named=is_named)
    else:
        names = _that_tell(label, names, said, is_named=is_named)
    frames = len(said[names[0]].frames)
    if frame is not None and not (type(frame) is int and 0 <= frame < frames):
        raise RestError(400, f"Frame: expected a whole number from 0 to {frames - 1}")
    return [Wanted.of(name, said[name], label, frame) for name in names]


def _that_are_sure(
    names: Sequence[str], said: Mapping[str, Prediction], *, is_named: bool
) -> Sequence[str]:
    """Leave out models that gave the image no class, unless they were asked by name."""
    outside = [name for name in names if said[name].outside]
    if outside and (is_named or len(outside) == len(names)):
        raise RestError(
            400,
            f"Class: {outside[0]} gave the image none ({said[outside[0]].withheld}); name "
            f"one of {_listed(said[outside[0]].classes)}",
        )
    return [name for name in names if name not in outside]


def _that_tell(
    label: object, names: Sequence[str], said: Mapping[str, Prediction], *, is_named: bool
) -> Sequence[str]:
    """Leave out models that do not know a class, unless they were asked by name."""
    telling = [name for name in names if label in said[name].classes]
    if not telling or (is_named and len(telling) < len(names)):
        asked = [name for name in names if name not in telling]
        known = dict.fromkeys(one for name in asked for one in said[name].classes)
        raise RestError(400, f"Class: expected one of {_listed(known)} of {_listed(asked)}")
    return telling


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)[:500]


def _models(
    catalogue: Catalogue, body: Mapping[str, Any], said: Mapping[str, Prediction]
) -> list[str]:
    names = body.get("Models")
    if names is None:
        return list(said)
    if (
        not isinstance(names, list)
        or not names
        or any(name not in catalogue.names for name in names)
    ):
        raise RestError(400, f"Models: expected a list of {_listed(catalogue.names)}")
    unread = [name for name in names if name not in said]
    if unread:
        raise RestError(400, f"Models: {unread[0]} has not read it; read by: {_listed(said)}")
    return list(dict.fromkeys(names))
