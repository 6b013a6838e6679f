"""GET /preread/status, /models, /metrics and /failures: how the plugin and its runner fare."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from preread import __version__
from preread.errors import PrereadError
from preread.hooks import log
from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.runner.kinds.registry import kinds

NOTICE = "Decision support for research, not a diagnosis."
_STATES = ("pending", "running", "done", "unread", "failed", "superseded")


def job_counts(context: Context) -> dict[str, int]:
    """Return how many jobs are in each state, zeros included."""
    return dict.fromkeys(_STATES, 0) | {
        str(state): count for state, count in context.ledger().counts().items()
    }


def waiting(context: Context) -> int:
    """Return how many events have not reached the ledger yet."""
    # In this order, since both grow: the difference may be too large for a moment, never too small.
    pruned = context.journal.pruned()
    return context.journal.last_seq() - pruned


def status(context: Context) -> Answer:
    """Answer ``GET /preread/status``.

    A ledger that cannot be reached is part of the answer, not an error: images are received all
    the same.
    """
    settings = context.site.settings
    supervised = context.supervisor.state if context.supervisor is not None else None
    told = context.runner_status()
    told_of = [kind for kind in kinds() if kind.status]
    body: dict[str, Any] = {
        "Version": __version__,
        "Notice": NOTICE,
        "Mode": settings.deidentify.mode.value,
        "Placement": settings.predictions.placement.value,
        "Models": list(context.catalogue.names),
        "Refused": context.journal.refused_count(),
        "Escaped": context.journal.watch.escaped_count(),
        "Held": context.safekeeping.held.count(),
        "Quarantined": context.safekeeping.quarantined.count(),
        "Journal": {
            "Waiting": waiting(context),
            "Arriving": len(context.journal.arriving(0, limit=10_000)),
        },
        "Runner": {
            "Started": supervised is not None,
            "Pid": supervised.pid if supervised is not None else None,
            "Starts": supervised.starts if supervised is not None else None,
            "LastExitCode": supervised.last_exit_code if supervised is not None else None,
            "LastExitReason": supervised.last_exit_reason if supervised is not None else "",
            "Status": told,
        },
    }
    try:
        body |= {kind.status: dict(kind.counts(context.ledger())) for kind in told_of}
        body["Ledger"] = "reachable"
    except PrereadError as error:
        body |= {kind.status: {} for kind in told_of} | {"Jobs": dict.fromkeys(_STATES, 0)}
        body["Ledger"] = str(error)
    return Answer(body)


def models(context: Context) -> Answer:
    """Answer ``GET /preread/models``: the names of the models that run."""
    return Answer(list(context.catalogue.names))


def model(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/models/{name}``: the model's card.

    Raises
    ------
    RestError
        404, if there is no such model.
    """
    name = request.groups[0]
    if name not in context.catalogue.names:
        raise RestError(404, "there is no model of this name; GET /preread/models lists them")
    return Answer(context.catalogue[name].card.model_dump(mode="json", by_alias=True))


def failures(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/failures?limit=``: what was not taken, or not read, newest first."""
    limit = request.number("limit", 100, smallest=1, largest=1000)
    try:
        kept = [(f.time, f.origin, f.reason) for f in context.journal.refusals(limit)]
    except PrereadError:
        kept = [(f.time, f.origin, f.reason) for f in context.failures.latest()][:limit]
    return Answer(
        [{"Time": t.isoformat(), "Origin": origin, "Reason": why} for t, origin, why in kept]
    )


class _PrereadCollector(Collector):
    """Reads the ledger and the journal at the moment when somebody asks."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> list[Metric]:
        return [
            *self._ledger(),
            *self._journal(),
            self._kept(),
            *self._runner(),
        ]

    def _ledger(self) -> list[Metric]:
        """Count jobs; a ledger that is out of reach is a figure of its own."""
        up = GaugeMetricFamily("preread_ledger_up", "Whether the ledger can be read")
        try:
            counts = job_counts(self._context)
            others = self._context.ledger().task_counts()
        except PrereadError as error:
            log.warning(f"the metrics lack the jobs: {error}")
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        jobs = GaugeMetricFamily("preread_jobs", "Jobs in the ledger by state", labels=["state"])
        for state, count in counts.items():
            jobs.add_metric([state], count)
        tasks = GaugeMetricFamily(
            "preread_tasks", "Other work in the ledger by kind and state", labels=["kind", "state"]
        )
        for name, state, count in others:
            tasks.add_metric([name, state], count)
        return [up, jobs, tasks]

    def _journal(self) -> list[Metric]:
        journal = self._context.journal
        up = GaugeMetricFamily("preread_journal_up", "Whether the hooks' journal can be read")
        refused = CounterMetricFamily("preread_refused", "Objects that were refused")
        escaped = CounterMetricFamily(
            "preread_escaped", "Objects that were stored past de-identification, then deleted"
        )
        queued = GaugeMetricFamily("preread_journal_events", "Events on their way to the ledger")
        try:
            refused.add_metric([], journal.refused_count())
            escaped.add_metric([], journal.watch.escaped_count())
            queued.add_metric([], waiting(self._context))
        except PrereadError as error:
            log.error(f"the metrics lack what is in the journal: {error}")
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, refused, escaped, queued]

    def _kept(self) -> Metric:
        keeping = self._context.safekeeping
        kept = GaugeMetricFamily(
            "preread_kept_objects", "Objects that are kept outside Orthanc", labels=["state"]
        )
        kept.add_metric(["waiting"], keeping.held.count())
        kept.add_metric(["quarantined"], keeping.quarantined.count())
        return kept

    def _runner(self) -> list[Metric]:
        supervisor = self._context.supervisor
        up = GaugeMetricFamily("preread_runner_up", "Whether Orthanc's own runner is alive")
        up.add_metric([], float(supervisor is not None and supervisor.state.pid is not None))
        starts = CounterMetricFamily("preread_runner_starts", "Starts of Orthanc's own runner")
        starts.add_metric([], supervisor.state.starts if supervisor is not None else 0)
        found: list[Metric] = [up, starts]
        told = self._context.runner_status()
        if told is not None:
            read = CounterMetricFamily("preread_images_read", "Images read since its start")
            read.add_metric([], float(told.get("ImagesRead", 0)))
            spent = CounterMetricFamily(
                "preread_stage_seconds", "Seconds spent in each stage", labels=["stage"]
            )
            for stage, seconds in (told.get("Seconds") or {}).items():
                spent.add_metric([str(stage)], float(seconds))
            found += [read, spent]
        return found


def metrics(context: Context) -> Answer:
    """Answer ``GET /preread/metrics`` in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_PrereadCollector(context))
    began = Gauge("preread_start_time_seconds", "When the plugin was loaded", registry=registry)
    began.set(time.time() - context.age)
    return Answer(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
