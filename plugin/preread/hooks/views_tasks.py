"""GET /preread/tasks and /kinds: work besides the reading of single images, and how it fares."""

from __future__ import annotations

from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.hooks.views_status import NOTICE
from preread.ledger.task import TaskState
from preread.runner.kinds.registry import kinds

QUERY = ("kind", "status", "subject", "limit")


def tasks(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/tasks?kind=&status=&subject=&limit=``, the latest changed first.

    ``subject`` is Orthanc's id of an image or a series.

    Raises
    ------
    RestError
        400 for a kind or a state that there is not.
    """
    kind, status = request.query.get("kind", ""), request.query.get("status", "")
    known = [each.name for each in kinds()]
    if kind and kind not in known:
        raise RestError(400, f"kind: expected one of {', '.join(known)}")
    if status and status not in {state.value for state in TaskState}:
        raise RestError(400, f"status: expected one of {', '.join(TaskState)}")
    limit = request.number("limit", 100, smallest=1, largest=1000)
    found = context.ledger().all_tasks(
        kind, TaskState(status) if status else None, request.query.get("subject", ""), limit
    )
    return Answer({"Notice": NOTICE, "Tasks": [one.to_json() for one in found]})


def kinds_of_work(_context: Context, _request: Request) -> Answer:
    """Answer ``GET /preread/kinds``: the kinds of work that this installation has."""
    return Answer(
        [{"Name": each.name, "BeginsWithSeries": each.begins_with_series} for each in kinds()]
    )
