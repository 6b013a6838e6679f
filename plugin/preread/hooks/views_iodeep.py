"""GET /preread/iodeep: networks that are DICOM objects, and which one an image is for."""

from __future__ import annotations

import json
import re
from typing import Any

import orthanc

from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.hooks.views_status import NOTICE
from preread.iodeep.choosing import choose
from preread.iodeep.selection import Candidate, ImageFacts
from preread.ledger.job import Level
from preread.ledger.network import Network, NetworkDescription, NetworkState

QUERY = ("instance", "Modality", "SamplesPerPixel", "BodyPartExamined", "StudyDescription")
"""What `networks` may be asked about."""
_LONGEST = 256
_MOST_REGIONS = 16


def networks(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/iodeep``: all networks, or with a query which one is chosen.

    The query has ``instance`` (Orthanc's id or the SOPInstanceUID of an image that is stored; the
    codes of body parts that were kept when it arrived count), or ``Modality`` and
    ``SamplesPerPixel``, with ``BodyPartExamined`` and ``StudyDescription`` where they are known.
    Each network that can be run is answered with the attribute that it failed on.

    Raises
    ------
    RestError
        400 for another query; 404 for an instance that is not known.
    """
    register = context.ledger().networks
    if not request.query:
        return Answer([network.to_json() for network in register.all()])
    image = _image(context, request)
    runnable = {
        each.described.DnnUID: each.described for each in register.valid() if each.described
    }
    chosen = choose(image, runnable.values())
    others = [each for each in register.all() if each.state is not NetworkState.VALID]
    return Answer(
        {
            "Notice": NOTICE,
            "Image": _shown(image),
            "DnnUID": chosen.DnnUID,
            "Warning": chosen.warning,
            "Candidates": [_told(each, runnable[each.DnnUID]) for each in chosen.candidates],
            "NotConsidered": [each.to_json() for each in others],
        }
    )


def network(context: Context, request: Request) -> Answer:
    """Answer ``GET /preread/iodeep/{DnnUID}``: the network that is run under a DnnUID.

    Raises
    ------
    RestError
        404, if there is none that can be run.
    """
    found: Network | None = context.ledger().networks.of(request.groups[0])
    if found is None:
        raise RestError(
            404, "no network of this DnnUID can be run; GET /preread/iodeep lists all, with reasons"
        )
    return Answer({"Notice": NOTICE} | found.to_json())


def _image(context: Context, request: Request) -> ImageFacts:
    if "instance" in request.query:
        if len(request.query) > 1:
            raise RestError(400, "?instance: expected nothing else beside it")
        return _stored(context, request.query["instance"])
    samples = request.query.get("SamplesPerPixel", "")
    if not re.fullmatch(r"[1-9]\d?", samples, flags=re.ASCII):
        raise RestError(400, "?SamplesPerPixel: expected a number, such as 1 or 3")
    if not request.query.get("Modality", "").strip():
        raise RestError(400, "?Modality: expected one, such as CT")
    texts: dict[str, Any] = {
        name: request.query.get(name, "")[:_LONGEST]
        for name in ("Modality", "BodyPartExamined", "StudyDescription")
    }
    return ImageFacts(SamplesPerPixel=int(samples), **texts)


def _stored(context: Context, identifier: str) -> ImageFacts:
    found = context.ledger().instances(Level.INSTANCE, identifier)
    if not found:
        raise RestError(404, "?instance: nothing is known of it")
    try:
        told = orthanc.RestApiGet(f"/instances/{found[0].instance}/simplified-tags")
    except orthanc.OrthancException:
        raise RestError(404, "?instance: Orthanc does not store it") from None
    tags: dict[str, Any] = json.loads(told)
    samples = str(tags.get("SamplesPerPixel", "1"))
    regions = tags.get("AnatomicRegionSequence")
    return ImageFacts(
        Modality=str(tags.get("Modality", "")),
        SamplesPerPixel=int(samples) if re.fullmatch(r"\d{1,5}", samples) else 0,
        BodyPartExamined=str(tags.get("BodyPartExamined", "")),
        StudyDescription=str(tags.get("StudyDescription", ""))[:_LONGEST],
        AnatomicRegionSequence=tuple(
            str(region.get("CodeValue", ""))
            for region in (regions if isinstance(regions, list) else [])[:_MOST_REGIONS]
            if isinstance(region, dict)
        ),
        body_parts=found[0].body_parts,
    )


def _shown(image: ImageFacts) -> dict[str, Any]:
    """Show by what a network was chosen, without the text of a description."""
    return {
        "Modality": image.Modality,
        "SamplesPerPixel": image.SamplesPerPixel,
        "BodyPartExamined": image.BodyPartExamined,
        "BodyParts": list(image.codes),
    }


def _told(candidate: Candidate, described: NetworkDescription) -> dict[str, Any]:
    return {
        "DnnUID": candidate.DnnUID,
        "DnnName": described.DnnName,
        "Fits": not candidate.failed_on,
        "FailedOn": candidate.failed_on or None,
        "Reason": candidate.reason,
        "ByTheArticle": candidate.by_the_article,
    }
