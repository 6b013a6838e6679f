"""From headers and the register to the facts that a network is chosen by."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Protocol

from preread.iodeep.selection import ImageFacts, NetworkFacts, Selection, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from preread.elements import Header

_STUDY_DESCRIPTION = 0x00081030
_SAMPLES_PER_PIXEL = 0x00280002


class Described(Protocol):
    """What is known of a network; `preread.ledger.network.NetworkDescription` has all of it."""

    @property
    def DnnUID(self) -> str: ...  # noqa: N802, D102 - the attributes' own names
    @property
    def Modality(self) -> str: ...  # noqa: N802, D102
    @property
    def SamplesPerPixel(self) -> int: ...  # noqa: N802, D102
    @property
    def BodyPartExamined(self) -> str: ...  # noqa: N802, D102
    @property
    def created(self) -> str:
        """ISO 8601 without a time zone; empty if it is not known."""
        ...


def choose(image: ImageFacts, networks: Iterable[Described]) -> Selection:
    """Choose the network for an image; see `preread.iodeep.selection.select`."""
    return select(image, map(facts_of_network, networks))


def facts_of_network(network: Described) -> NetworkFacts:
    """Give what a network is chosen by."""
    created = dt.datetime.fromisoformat(network.created) if network.created else None
    return NetworkFacts(
        network.DnnUID,
        network.Modality,
        network.SamplesPerPixel,
        network.BodyPartExamined,
        created,
    )


def facts_of_image(header: Header, body_parts: Sequence[str] = ()) -> ImageFacts:
    """Give what a network is chosen by of an image.

    Parameters
    ----------
    header
        As it is stored.
    body_parts
        Codes that were kept when it arrived, with a header that may have said more.
    """
    return ImageFacts(
        Modality=header.Modality,
        SamplesPerPixel=header.number(_SAMPLES_PER_PIXEL) or 1,
        BodyPartExamined=header.BodyPartExamined,
        StudyDescription=header.text(_STUDY_DESCRIPTION),
        AnatomicRegionSequence=header.anatomic_region_codes,
        body_parts=tuple(body_parts),
    )
