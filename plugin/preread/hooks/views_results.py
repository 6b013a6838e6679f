"""Jobs and results over REST, and asking for an analysis."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import orthanc

from preread.elements import is_orthanc_id
from preread.hooks.context import Context
from preread.hooks.finding import results_of, stored_as
from preread.hooks.rest import Answer, Request, RestError
from preread.hooks.views_status import NOTICE
from preread.ledger.job import JobState
from preread.models.whose import withheld_by
from preread.settings import Mode

_POLL = 0.1
_UNKNOWN = (
    "nothing is known of it. What is kept outside Orthanc is listed by GET /preread/quarantine; "
    "what Orthanc stores is read by POST .../analyze with Orthanc's own identifier"
)
_FORWARDED = 5.0  # seconds until the ledger has what has arrived, if a runner runs
_LARGEST_STUDY = 20_000


def jobs(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/jobs?status=&limit=&offset=&since=``, newest first."""
    status = request.query.get("status", "")
    if status and status not in set(JobState):
        raise RestError(400, f"?status: expected one of {', '.join(JobState)}")
    found = context.ledger().jobs(
        status=JobState(status) if status else None,
        limit=request.number("limit", 100, smallest=1, largest=10_000),
        offset=request.number("offset", 0, smallest=0, largest=999_999_999),
        since=_since(request.query.get("since", "")),
    )
    return Answer([job.to_json() for job in found])


def _since(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RestError(400, "?since: expected a time, such as 2026-11-21T09:30:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def job(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/jobs/{id}``."""
    found = context.ledger().job(int(request.groups[0]))
    if found is None:
        raise RestError(404, "there is no such job; GET /preread/jobs lists them")
    return Answer(found.to_json())


def retry(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/jobs/{id}/retry``: a failed job is tried again."""
    ledger, number = context.ledger(), int(request.groups[0])
    if ledger.job(number) is None:
        raise RestError(404, "there is no such job; GET /preread/jobs lists them")
    if not ledger.retry(number):
        raise RestError(409, "only a failed job of the current pixels can be retried")
    found = ledger.job(number)
    return Answer(found.to_json() if found is not None else {})


def results(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/{instances|series|studies}/{id}``.

    The id is Orthanc's, or a DICOM UID: the one that is stored, or the one that its sender knows.
    What has only just arrived is answered with its ID and the Status ``arriving``.

    Raises
    ------
    RestError
        404, if nothing is known of it.
    """
    level, identifier = request.groups[0], request.groups[1]
    found = results_of(context, level, identifier)
    if not found:
        stored = stored_as(context, level, identifier)
        if not stored:
            raise RestError(404, _UNKNOWN)
        below = "Results" if level == "instances" else "Instances"
        return Answer({"Notice": NOTICE, "ID": stored, "Status": "arriving", below: []})
    first = found[0].record
    if level == "instances":
        made = context.ledger().explanations.of(first.instance)
        withheld = withheld_by(context.catalogue, found[0].predictions)
        shown = {"Explanations": [one.to_json(withheld.get(one.wanted.model, "")) for one in made]}
        return Answer({"Notice": NOTICE} | found[0].to_json() | shown)
    parent = first.series if level == "series" else first.study
    listed = [result.to_json() for result in found]
    return Answer({"Notice": NOTICE, "ID": parent, "Instances": listed})


def analyze(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/{instances|series|studies}/{id}/analyze``.

    The body may hold ``Models`` (names; default: those chosen at arrival), ``Asynchronous``
    (answer at once with the jobs) and ``Timeout`` in seconds. A synchronous call that is not done
    in time answers 202 with the jobs; they go on. What has only just arrived, and has no jobs yet,
    is answered 202 with the Status ``arriving``: it is read as was chosen when it came.

    Raises
    ------
    RestError
        404 and 409 as `_adopt`; 409 where it is being read with other models; 503 where other
        models are asked for and it has only just arrived.
    """
    body = request.json()
    names = _models_of(context, body)
    began, patience = time.monotonic(), patience_of(context, body)
    ledger, level, identifier = context.ledger(), request.groups[0], request.groups[1]
    instances = [each.record.instance for each in results_of(context, level, identifier)]
    if not instances:
        _adopt(context, level, stored_as(context, level, identifier) or identifier)
        # Whoever does not wait for the reading waits for this: else there were no jobs to name.
        with context.waiting.patience(max(patience, _FORWARDED)) as deadline:
            while not instances and time.monotonic() < deadline:
                time.sleep(_POLL)
                known = results_of(context, level, identifier)
                instances = [each.record.instance for each in known]
    if not instances:
        if names is not None:
            raise RestError(503, "it has only just arrived; ask again", {"Retry-After": "5"})
        return Answer({"Jobs": [], "Path": "/preread/jobs", "Status": "arriving"}, 202)
    numbers = ledger.request(instances, names)
    if names is not None:
        for number in numbers:
            found_job = ledger.job(number)
            if found_job is not None and set(found_job.models) != set(names):
                raise RestError(409, "it is being read with other models; ask again when it is")
    with context.waiting.patience(patience - (time.monotonic() - began)) as deadline:
        while numbers and time.monotonic() < deadline:
            found = [ledger.job(number) for number in numbers]
            if all(one is None or one.state not in _OPEN for one in found):
                return results(context, request)
            time.sleep(_POLL)  # releases the interpreter: Orthanc's other callbacks go on
    return Answer({"Jobs": numbers, "Path": "/preread/jobs"}, 202)


_OPEN = (JobState.PENDING, JobState.RUNNING)


def _models_of(context: Context, body: dict[str, Any]) -> list[str] | None:
    unknown = set(body) - {"Models", "Asynchronous", "Timeout"}
    if unknown:
        raise RestError(400, f"unknown in the body: {', '.join(sorted(unknown))[:100]}")
    names = body.get("Models")
    if names is None:
        return None
    known = context.catalogue.names
    if not isinstance(names, list) or not names or any(name not in known for name in names):
        raise RestError(400, f"Models: expected a list of {', '.join(known)}")
    return names


def patience_of(context: Context, body: dict[str, Any]) -> float:
    """Return for how many seconds a call may wait, as its body and the settings have it."""
    if body.get("Asynchronous", False):
        return 0.0
    longest = context.site.settings.rest.wait_seconds
    timeout = body.get("Timeout", longest)
    if not isinstance(timeout, int | float) or timeout < 0:
        raise RestError(400, "Timeout: expected seconds")
    return min(float(timeout), longest)


def _adopt(context: Context, level: str, identifier: str) -> None:
    """Make known what was stored before Preread was there, as if it had just arrived.

    What the journal knows has arrived, and is on its way to the ledger: nothing is done with it.

    Raises
    ------
    RestError
        404, if Orthanc does not store it; 409, on a node that de-identifies what arrives: what
        it stored without Preread still has its identity, and a result would be written into it.
    """
    if not is_orthanc_id(identifier):
        raise RestError(404, _UNKNOWN)
    try:
        listed = [identifier]
        if level != "instances":
            children = json.loads(orthanc.RestApiGet(f"/{level}/{identifier}/instances"))
            listed = [child["ID"] for child in children]
        if len(listed) > _LARGEST_STUDY:
            raise RestError(413, f"more than {_LARGEST_STUDY} instances; ask for its series")
        unknown = [instance for instance in listed if not _is_known(context, instance)]
        if context.site.settings.deidentify.mode is Mode.INCOMING:
            if len(unknown) < len(listed):
                return
            raise RestError(409, "it was stored before Preread could de-identify it; send it again")
        for instance in unknown:
            arrival = context.look_at(orthanc.RestApiGet(f"/instances/{instance}/file"), instance)
            context.journal.arrive(arrival)
            context.journal.stored(instance)
    except orthanc.OrthancException:
        raise RestError(404, "Orthanc does not store it") from None


def _is_known(context: Context, instance: str) -> bool:
    current = context.journal.current(instance)
    return current is not None and not current.deleted
