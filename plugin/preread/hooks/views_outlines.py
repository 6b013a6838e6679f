"""POST .../propose and .../predict: a network is to look for regions now, as the images are.

Nothing is computed here: a wish is written to the ledger, and the runner looks.
"""

from __future__ import annotations

import time
from typing import Final

from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.hooks.views_results import patience_of
from preread.hooks.views_status import NOTICE
from preread.ledger.job import Level
from preread.ledger.series_task import SeriesTask
from preread.ledger.task import TaskState

_POLL: Final = 0.1  # seconds
_LEVELS: Final = {"instances": Level.INSTANCE, "series": Level.SERIES}
_KEYS: Final = ("DnnUID", "Asynchronous", "Timeout")
_UNKNOWN: Final = "nothing is known of it; POST .../analyze reads what is stored"
_NO_NETWORK: Final = "no network of this DnnUID can be run; GET /preread/iodeep lists all"


def propose(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/{instances|series}/{id}/propose``; id is Orthanc's or DICOM's.

    The network that the image is for looks at it, or the one of ``DnnUID``. The body may hold
    ``Asynchronous`` and ``Timeout`` in seconds. A call that is not done in time answers 202; the
    work goes on, and ``GET`` of the same path tells how it fares.

    Raises
    ------
    RestError
        404 for an image or a network that is not known; 409 where no network is for it, or it
        bears no regions; 500 if that failed.
    """
    body = request.json()
    _check_keys(body, _KEYS)
    network = body.get("DnnUID", "")
    if not isinstance(network, str):
        raise RestError(400, "DnnUID: expected a UID")
    return _ask(context, _LEVELS[request.groups[0]], request.groups[1], network, body)


def predict(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/iodeep/{DnnUID}/predict``: `propose` with that network.

    The body holds ``Instance`` or ``Series``, Orthanc's id or DICOM's, and may hold
    ``Asynchronous`` and ``Timeout``.

    Raises
    ------
    RestError
        As `propose`.
    """
    body = request.json()
    _check_keys(body, ("Instance", "Series", "Asynchronous", "Timeout"))
    named = [(key, body[key]) for key in ("Instance", "Series") if key in body]
    if len(named) != 1 or not isinstance(named[0][1], str):
        raise RestError(400, "the body: expected Instance or Series, an id of Orthanc's or a UID")
    [(key, identifier)] = named
    level = Level.INSTANCE if key == "Instance" else Level.SERIES
    return _ask(context, level, identifier, request.groups[0], body)


def outlook(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/{instances|series}/{id}/propose``: what was asked, and its outcome."""
    level, ledger = _LEVELS[request.groups[0]], context.ledger()
    records = ledger.instances(level, request.groups[1])
    if not records:
        raise RestError(404, _UNKNOWN)
    tasks = ledger.series_work.of_series([records[0].series])
    if level is Level.INSTANCE:
        tasks = [task for task in tasks if task.scope in ("", records[0].instance)]
    return Answer({"Notice": NOTICE, "Tasks": [task.to_json() for task in tasks]})


def _check_keys(body: dict[str, object], known: tuple[str, ...]) -> None:
    unknown = set(body) - set(known)
    if unknown:
        raise RestError(400, f"unknown in the body: {', '.join(sorted(unknown))[:100]}")


def _ask(
    context: Context, level: Level, identifier: str, network: str, body: dict[str, object]
) -> Answer:
    patience = patience_of(context, body)
    ledger = context.ledger()
    records = ledger.instances(level, identifier)
    if not records:
        raise RestError(404, _UNKNOWN)
    if network and ledger.networks.of(network) is None:
        raise RestError(404, _NO_NETWORK)
    first = records[0]
    scope = first.instance if level is Level.INSTANCE else ""
    task = ledger.series_work.ask(first.series, scope, network)
    asked = task.revision
    with context.waiting.patience(patience) as deadline:
        while _waits(task, asked) and time.monotonic() < deadline:
            time.sleep(_POLL)  # releases the interpreter: Orthanc's other callbacks go on
            task = ledger.series_work.of(task.id) or task
    path = f"instances/{first.instance}" if scope else f"series/{first.series}"
    told = {"Notice": NOTICE} | task.to_json() | {"Path": f"/preread/{path}/propose"}
    if _waits(task, asked):
        return Answer(told, 202)
    if task.state is TaskState.FAILED:
        raise RestError(500, task.reason)
    if task.state is TaskState.UNREAD:
        raise RestError(409, task.reason)
    return Answer(told)


def _waits(task: SeriesTask, asked: int) -> bool:
    return task.state.is_open and task.revision >= asked
