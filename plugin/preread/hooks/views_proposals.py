"""Proposals of networks over REST, and what people decide about them.

A decision is recorded in the ledger and stands from then on; the structure set that tells of it is
made by the runner. Nothing here waits for a lock of Orthanc's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from preread.hooks import log
from preread.hooks.accounts import Accounts
from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.hooks.views_results import patience_of
from preread.hooks.views_status import NOTICE
from preread.ledger.proposal import (
    Polygon,
    Proposal,
    ProposalConflictError,
    ProposalStatus,
    RegionDecision,
    polygon_of,
)

_POLL: Final = 0.1  # seconds
_KEYS: Final = ("Version", "Reviewer", "Comment", "Regions", "Others", "Asynchronous", "Timeout")
_DECISIONS: Final = ("accept", "reject")
_LONGEST_NAME: Final = 64  # characters of a PN
_MOST_CARETS: Final = 4  # between its five components
_LONGEST_COMMENT: Final = 500
_MOST_POINTS: Final = 100_000
_FARTHEST: Final = 100_000  # pixels
_UNKNOWN: Final = "there is no such proposal; GET /preread/proposals lists them"


def proposals(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/proposals?study=&series=&status=&limit=``, latest changed first."""
    status = request.query.get("status", "")
    if status and status not in set(ProposalStatus):
        raise RestError(400, f"?status: expected one of {', '.join(ProposalStatus)}")
    found = context.ledger().proposals.listed(
        study=request.query.get("study", ""),
        series=request.query.get("series", ""),
        status=ProposalStatus(status) if status else None,
        limit=request.number("limit", 100, smallest=1, largest=10_000),
    )
    return Answer([one.summary() for one in found])


def proposal(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/proposals/{SOPInstanceUID}``: its images, regions and reviews."""
    return Answer({"Notice": NOTICE} | _found(context, request).to_json())


def review(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/proposals/{SOPInstanceUID}/review``.

    Who reviews is the authenticated user; ``Reviewer`` is a name beside that, and may be missing
    only where a user is authenticated.

    The body holds ``Version`` (of the proposal as it was seen), ``Reviewer``, ``Regions`` (a list
    of ``Region``, ``Decision``: accept or reject, and ``Polygon`` for a line that was edited), and
    may hold ``Others`` (the decision for all regions that are not listed), ``Comment``,
    ``Asynchronous`` and ``Timeout`` in seconds. What an earlier review decided stays for regions
    that are not listed. 200 says that the new structure set is stored, or why it is not; 202 that
    it is still to come. The decision stands either way.

    Raises
    ------
    RestError
        400 for a body that decides nothing clear; 403 from another site's page, or where a proxy
        names no user; 404 for a proposal that is not known; 409 where somebody else was first, or
        the proposal is superseded.
    """
    body = request.json()
    unknown = set(body) - set(_KEYS)
    if unknown:
        raise RestError(400, f"unknown in the body: {', '.join(sorted(unknown))[:100]}")
    patience = patience_of(context, body)
    version = body.get("Version")
    if type(version) is not int:
        raise RestError(400, "Version: expected that of the proposal as the reviewer saw it")
    reviewer = _text(body, "Reviewer", _LONGEST_NAME)
    account = Accounts.of_site(context.site).of(request.headers)
    if not (reviewer or account) or "=" in reviewer or reviewer.count("^") > _MOST_CARETS:
        raise RestError(400, "Reviewer: expected a name, such as Doe^Jane, without =")
    comment = _text(body, "Comment", _LONGEST_COMMENT)
    found = _found(context, request)
    ledger = context.ledger()
    try:
        decided = ledger.proposals.decide(
            found,
            version,
            _decisions(found, body, version),
            reviewer=reviewer,
            account=account,
            comment=comment,
        )
    except ProposalConflictError as error:
        raise RestError(409, str(error)) from None
    if not account:
        log.warning(
            "a review was recorded, and nobody was authenticated; set AuthenticationEnabled, or "
            "Preread.Rest.UserHeader where a proxy authenticates people"
        )
    with context.waiting.patience(patience) as deadline:
        while decided.state.is_open and time.monotonic() < deadline:
            time.sleep(_POLL)  # releases the interpreter: Orthanc's other callbacks go on
            decided = ledger.reviews.of(decided.id) or decided
    told = {"Path": f"/preread/proposals/{found.place.SOPInstanceUID}"}
    return Answer(decided.to_json() | told, 202 if decided.state.is_open else 200)


def _found(context: Context, request: Request) -> Proposal:
    found = context.ledger().proposals.find(request.groups[0])
    if found is None:
        raise RestError(404, _UNKNOWN)
    return found


def _text(body: Mapping[str, Any], key: str, longest: int) -> str:
    text = body.get(key, "")
    if not isinstance(text, str) or len(text) > longest or "\\" in text:
        raise RestError(400, f"{key}: expected up to {longest} characters without a backslash")
    words = " ".join(text.split())
    if not words.isprintable():
        raise RestError(400, f"{key}: expected printable characters")
    return words


def _decisions(found: Proposal, body: Mapping[str, Any], version: int) -> list[RegionDecision]:
    """Return what is decided of each region, one for each."""
    listed = body.get("Regions", [])
    if not isinstance(listed, list):
        raise RestError(400, "Regions: expected a list")
    known = {region.number for region in found.regions}
    decided: dict[int, RegionDecision] = {}
    # An older version is refused a moment later, and must not be completed from a newer one.
    if found.reviews and found.version == version:
        decided = {one.region: one for one in found.reviews[-1].decisions}
    others = body.get("Others")
    if others is not None:
        decided = {number: RegionDecision(number, _verdict("Others", others)) for number in known}
    given: set[int] = set()
    for one in listed:
        decision = _decision(one)
        if decision.region not in known or decision.region in given:
            raise RestError(
                400, f"Regions: expected each of 1 to {len(known)} once, not {decision.region}"
            )
        given.add(decision.region)
        decided[decision.region] = decision
    missing = sorted(known - set(decided))
    if missing and found.version == version:
        shown = ", ".join(map(str, missing))[:100]
        raise RestError(400, f"Regions: no decision about {shown}; Others decides about the rest")
    return [decided[number] for number in sorted(decided)]


def _decision(given: object) -> RegionDecision:
    if not isinstance(given, dict) or not set(given) <= {"Region", "Decision", "Polygon"}:
        raise RestError(400, "Regions: expected objects of Region, Decision and Polygon")
    number, line = given.get("Region"), given.get("Polygon")
    if type(number) is not int:
        raise RestError(400, "Regions: expected the number of a region in Region")
    verdict = _verdict("Decision", given.get("Decision"))
    if line is not None and verdict != "accept":
        raise RestError(400, f"Regions: {number} is rejected, and cannot have a Polygon")
    return RegionDecision(number, verdict, None if line is None else _polygon(number, line))


def _verdict(key: str, given: object) -> str:
    if not isinstance(given, str) or given not in _DECISIONS:
        raise RestError(400, f"{key}: expected {' or '.join(_DECISIONS)}")
    return given


def _polygon(number: int, line: object) -> Polygon:
    """Check a line that somebody drew.

    Raises
    ------
    RestError
        400, if it is not one of 3 to 100000 points.
    """
    if isinstance(line, list) and 3 <= len(line) <= _MOST_POINTS and all(map(_is_point, line)):
        return polygon_of(line)
    raise RestError(
        400, f"Polygon of {number}: expected 3 to {_MOST_POINTS} pairs of column and row"
    )


def _is_point(point: object) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        # Neither what is no number nor what is endless is below.
        and all(type(one) in (int, float) and abs(one) < _FARTHEST for one in point)
    )
