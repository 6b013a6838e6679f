"""Which network an image is for: the article's Algorithm 1, and what Preread adds to it.

The article's rule: Modality equal, SamplesPerPixel equal, and BodyPartExamined equal or, where the
image has none, the network's BodyPartExamined found, as words, in the image's StudyDescription.

Where exactly one network meets that rule, it is the answer here too. Added is what decides
elsewhere:

- case and spacing do not matter;
- body parts are compared by what they are, not by their spelling: AnatomicRegionSequence, the
  synonyms of `preread.models.anatomy`, and parts within parts, so that a network for the chest
  takes an image of a lung; those of a description count only where nothing else names a part;
- where several fit, the network for the smallest part wins, and of those the newest.

The text of a description is not kept when an image arrives, only the codes of the parts found in
it; with these codes alone the choice is the same as far as they go.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from preread.models.anatomy import BY_CODE, body_parts, code_of, codes_in_text, covers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_NETWORK: Final = "no network is for this image"

_LONG_AGO: Final = dt.datetime.min  # noqa: DTZ901 - objects say when without a time zone
_GROUPS: Final = {"Cervical spine": "Head", "Cervico-thoracic spine": "Head"}
"""What the prototype counts as another part of the body than `preread.models.anatomy` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known of an image. All is the image's own, unlike `body_parts`, which are codes.

    Attributes
    ----------
    Modality, SamplesPerPixel
        As in the header.
    BodyPartExamined, StudyDescription
        As in the header; empty where it has none.
    AnatomicRegionSequence
        The Code Values of its items.
    body_parts
        SNOMED CT codes that were kept when the image arrived. They count where the header no
        longer names a part.
    """

    Modality: str
    SamplesPerPixel: int
    BodyPartExamined: str = ""
    StudyDescription: str = ""
    AnatomicRegionSequence: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()

    @property
    def part_attribute(self) -> str:
        """Keyword of what names the body part of this image; BodyPartExamined if nothing does."""
        if not self.BodyPartExamined.strip() and not self.body_parts:
            if self.AnatomicRegionSequence:
                return "AnatomicRegionSequence"
            if self.StudyDescription.strip():
                return "StudyDescription"
        return "BodyPartExamined"

    @property
    def codes(self) -> tuple[str, ...]:
        """SNOMED CT codes of the parts that it shows."""
        found = body_parts(
            self.BodyPartExamined, self.AnatomicRegionSequence, self.StudyDescription
        )
        if self.BodyPartExamined.strip() or not self.body_parts:
            return found
        return self.body_parts


class NetworkFacts(NamedTuple):
    """What is known of a network; `preread.iodeep.iod.IODeep` has all of it."""

    DnnUID: str
    Modality: str
    SamplesPerPixel: int
    BodyPartExamined: str
    created: dt.datetime | None = None


class Candidate(NamedTuple):
    """A network, and why it is not for the image.

    Attributes
    ----------
    DnnUID
        Of the network.
    failed_on
        Keyword of the attribute that did not fit; empty if it fits.
    reason
        What was expected of the image, or how the network fits; no value of the image.
    by_the_article
        Whether it meets the article's rule as it stands there.
    """

    DnnUID: str
    failed_on: str
    reason: str
    by_the_article: bool = False


class Selection(NamedTuple):
    """The choice.

    Attributes
    ----------
    DnnUID
        Of the network; None if none is for the image.
    candidates
        All that were considered, those that fit first, the best first of all.
    warning
        Says that none was found; empty otherwise.
    """

    DnnUID: str | None
    candidates: tuple[Candidate, ...]
    warning: str


def select(image: ImageFacts, networks: Iterable[NetworkFacts]) -> Selection:
    """Choose the network for an image.

    Parameters
    ----------
    image
        What is known of it.
    networks
        All that may be used.

    Returns
    -------
    Selection
        The same for the same networks in any order.

    Examples
    --------
    >>> chest = NetworkFacts("1.2.1", "CT", 1, "CHEST")
    >>> head = NetworkFacts("1.2.2", "MR", 1, "HEAD")
    >>> image = ImageFacts(Modality="CT", SamplesPerPixel=1, StudyDescription="Thorax low dose")
    >>> chosen = select(image, [chest, head])
    >>> chosen.DnnUID, [candidate.failed_on for candidate in chosen.candidates]
    ('1.2.1', ['', 'Modality'])
    """
    shown = image.codes
    judged = [(network, _judge(image, shown, network)) for network in networks]
    fitting = [pair for pair in judged if not pair[1].failed_on]
    others = [pair for pair in judged if pair[1].failed_on]
    by_the_article = [pair for pair in fitting if pair[1].by_the_article]
    fitting = _best_first(by_the_article) + _best_first(
        [pair for pair in fitting if not pair[1].by_the_article]
    )
    others.sort(key=lambda pair: pair[0].DnnUID)
    candidates = tuple(candidate for _, candidate in (*fitting, *others))
    if not fitting:
        return Selection(None, candidates, NO_NETWORK)
    return Selection(fitting[0][1].DnnUID, candidates, "")


def _best_first(
    pairs: Sequence[tuple[NetworkFacts, Candidate]],
) -> list[tuple[NetworkFacts, Candidate]]:
    ranked = sorted(pairs, key=lambda pair: pair[0].DnnUID)
    ranked.sort(key=lambda pair: pair[0].created or _LONG_AGO, reverse=True)
    ranked.sort(key=lambda pair: _specificity(pair[0].BodyPartExamined), reverse=True)
    return ranked


def _judge(image: ImageFacts, shown: Sequence[str], network: NetworkFacts) -> Candidate:
    if plain(image.Modality) != plain(network.Modality):
        return Candidate(network.DnnUID, "Modality", f"expected {network.Modality}")
    if image.SamplesPerPixel != network.SamplesPerPixel:
        return Candidate(network.DnnUID, "SamplesPerPixel", f"expected {network.SamplesPerPixel}")
    by_the_article = image.Modality == network.Modality and _by_the_article(image, network)
    if by_the_article:
        return Candidate(network.DnnUID, "", "by the article's rule", by_the_article=True)
    how = _how_it_fits(image, shown, network)
    if how:
        return Candidate(network.DnnUID, "", how)
    named = image.BodyPartExamined.strip() or shown or image.StudyDescription.strip()
    reason = f"expected {network.BodyPartExamined}, or a part of it"
    if not named:
        reason += "; the image names no part of the body"
    return Candidate(network.DnnUID, image.part_attribute, reason)


def _by_the_article(image: ImageFacts, network: NetworkFacts) -> bool:
    wanted = network.BodyPartExamined
    if image.BodyPartExamined:
        return image.BodyPartExamined == wanted
    return bool(wanted) and f" {wanted} " in f" {image.StudyDescription} "


def _how_it_fits(image: ImageFacts, shown: Sequence[str], network: NetworkFacts) -> str:
    """Say by which of our additions a network fits; empty if by none."""
    wanted = network.BodyPartExamined
    if image.BodyPartExamined.strip():
        if plain(image.BodyPartExamined) == plain(wanted) != "":
            return "the same part of the body but for its spelling"
    elif not shown and _words(wanted) and _words(wanted) in _words(image.StudyDescription):
        return "its part of the body is named in the description"
    return _how_parts_fit(image, shown, wanted)


def _how_parts_fit(image: ImageFacts, shown: Sequence[str], wanted: str) -> str:
    code = code_of(wanted)
    regions = {code} if code else set(codes_in_text(wanted))
    if regions & set(shown):
        return "the same part of the body"
    if covers(regions, shown):
        return "a part of the body that lies within its own, or comprises it"
    groups = {code_of(_GROUPS.get(BY_CODE[part].meaning, "")) for part in shown if part in BY_CODE}
    if not image.BodyPartExamined.strip() and regions & groups:
        return "a part of the body that the prototype counts among its own"
    return ""


def _specificity(part: str) -> int:
    """Give how many parts comprise a part: the more, the smaller it is."""
    code = code_of(part)
    if code is None:
        return 0
    return sum(covers((other,), (code,)) for other in BY_CODE)


def plain(text: str) -> str:
    """Give a code string without its case and spacing, which do not matter."""
    return re.sub(r"[\s_\0]+", "", text).upper()


def _words(text: str) -> str:
    words = re.findall(r"[^\W_]+", text.upper())
    return f" {' '.join(words)} " if words else ""
