"""The table of the REST API."""

from __future__ import annotations

import re
from collections.abc import Callable

from preread.hooks import (
    views_explanations,
    views_images,
    views_iodeep,
    views_outlines,
    views_proposals,
    views_quarantine,
    views_results,
    views_status,
    views_studies,
    views_tasks,
    views_web,
)
from preread.hooks.announcements import BadAnnouncement
from preread.hooks.context import Context
from preread.hooks.request_filter import origins_of
from preread.hooks.rest import Answer, Request, RestError, Route, Router

_OF_JOBS = ("status", "limit", "offset", "since")
_OF_PROPOSALS = ("study", "series", "status", "limit")
_LEVEL = "(instances|series|studies)"
_IMAGES = "(instances|series)"
_IDENTIFIER = r"([0-9a-zA-Z.-]{1,64})"


def router(context: Context) -> Router:
    """Return what answers everything below ``/preread``."""

    def route(
        method: str, path: str, view: Callable[[Context, Request], Answer], *query: str
    ) -> Route:
        known = frozenset(query)
        return Route(method, re.compile(path), lambda request: view(context, request), known)

    def static(path: str, view: Callable[[Request], Answer]) -> Route:
        return Route("GET", re.compile(path), view)

    return Router(
        [
            static("/preread/ui", views_web.page),
            # Orthanc hides whether a path ended with a slash, and so where a page's files are.
            static(r"/preread/(?:ui/)?(\w+\.(?:html|css|js))", views_web.file),
            route("GET", "/preread", listing),
            route("GET", "/preread/status", lambda c, _: views_status.status(c)),
            route("GET", "/preread/metrics", lambda c, _: views_status.metrics(c)),
            route("GET", "/preread/models", lambda c, _: views_status.models(c)),
            route("GET", r"/preread/models/([\w.-]{1,128})", views_status.model),
            route("GET", "/preread/failures", views_status.failures, "limit"),
            route("GET", "/preread/jobs", views_results.jobs, *_OF_JOBS),
            route("GET", r"/preread/jobs/(\d{1,18})", views_results.job),
            route("POST", r"/preread/jobs/(\d{1,18})/retry", views_results.retry),
            route("GET", "/preread/kinds", views_tasks.kinds_of_work),
            route("GET", "/preread/tasks", views_tasks.tasks, *views_tasks.QUERY),
            route("GET", "/preread/quarantine", views_quarantine.quarantine),
            route("DELETE", r"/preread/quarantine/([0-9a-f]{32})", views_quarantine.delete),
            route("POST", r"/preread/quarantine/([0-9a-f]{32})/retry", views_quarantine.retry),
            route("POST", "/preread/announcements", announce),
            route("POST", "/preread/images", views_images.images),
            route("GET", "/preread/iodeep", views_iodeep.networks, *views_iodeep.QUERY),
            route("GET", r"/preread/iodeep/([0-9.]{1,64})", views_iodeep.network),
            route("POST", r"/preread/iodeep/([0-9.]{1,64})/predict", views_outlines.predict),
            route("GET", "/preread/proposals", views_proposals.proposals, *_OF_PROPOSALS),
            route("GET", f"/preread/proposals/{_IDENTIFIER}", views_proposals.proposal),
            route("POST", f"/preread/proposals/{_IDENTIFIER}/review", views_proposals.review),
            route("GET", "/preread/studies", views_studies.studies, "limit"),
            route("GET", f"/preread/{_LEVEL}/{_IDENTIFIER}", views_results.results),
            route("POST", f"/preread/{_LEVEL}/{_IDENTIFIER}/analyze", views_results.analyze),
            route("POST", f"/preread/instances/{_IDENTIFIER}/explain", views_explanations.explain),
            route("GET", f"/preread/{_IMAGES}/{_IDENTIFIER}/propose", views_outlines.outlook),
            route("POST", f"/preread/{_IMAGES}/{_IDENTIFIER}/propose", views_outlines.propose),
        ],
        origins_of(context.site.settings),
    )


def listing(_context: Context, _request: Request) -> Answer:
    """Answer ``GET /preread``: what there is, as Orthanc lists its own resources."""
    return Answer(
        [
            "failures",
            "images",
            "instances",
            "iodeep",
            "jobs",
            "kinds",
            "metrics",
            "models",
            "proposals",
            "quarantine",
            "series",
            "status",
            "studies",
            "tasks",
            "ui",
        ]
    )


def announce(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/announcements``: the runner tells what it stores next."""
    try:
        context.memory.announcements.take(request.json())
    except BadAnnouncement as error:
        raise RestError(403, str(error)) from None
    return Answer({})
