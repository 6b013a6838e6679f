"""Which networks a service has, and which one an image is for: as ``GET /preread/iodeep``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preread.iodeep.selection import Candidate, ImageFacts, NetworkFacts, select
from preread.results.equipment import INTENDED_USE
from preread.service.networks import described

if TYPE_CHECKING:
    from collections.abc import Iterable

    from preread.iodeep.iod import IODeep


def listed(network: IODeep, predict: str) -> dict[str, Any]:
    """Give a network with where it predicts; empty where nobody is known who runs it."""
    return described(network) | {
        "Predict": f"{predict}/{network.DnnUID}/predict" if predict else None
    }


def chosen(image: ImageFacts, networks: Iterable[IODeep], predict: str) -> dict[str, Any]:
    """Choose the network for an image and say why, with each that it is not.

    Parameters
    ----------
    image
        What is known of it.
    networks
        All that there are.
    predict
        The address that predictions are asked at, without DnnUID; empty if there is none.
    """
    by_uid = {network.DnnUID: network for network in networks}
    selection = select(image, map(_facts, by_uid.values()))
    return {
        "Notice": INTENDED_USE,
        "Image": {
            "Modality": image.Modality,
            "SamplesPerPixel": image.SamplesPerPixel,
            "BodyPartExamined": image.BodyPartExamined,
            "BodyParts": list(image.codes),
        },
        "DnnUID": selection.DnnUID,
        "Warning": selection.warning,
        "Candidates": [
            _told(candidate, by_uid[candidate.DnnUID], predict)
            for candidate in selection.candidates
        ],
    }


def _facts(network: IODeep) -> NetworkFacts:
    return NetworkFacts(
        network.DnnUID,
        network.Modality,
        network.SamplesPerPixel,
        network.BodyPartExamined,
        network.created,
    )


def _told(candidate: Candidate, network: IODeep, predict: str) -> dict[str, Any]:
    return {
        "DnnUID": candidate.DnnUID,
        "DnnName": network.DnnName,
        "Fits": not candidate.failed_on,
        "FailedOn": candidate.failed_on or None,
        "Reason": candidate.reason,
        "ByTheArticle": candidate.by_the_article,
        "Predict": listed(network, predict)["Predict"],
    }
