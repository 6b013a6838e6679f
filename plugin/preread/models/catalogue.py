"""The models that there are, and which of them an image is for.

Loading reads cards alone: no torch, no weights. It runs inside Orthanc, and `Catalogue.choose`
runs for every image that arrives.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from preread.errors import PrereadError
from preread.imaging.attention import ATTENTION_MAP
from preread.models.anatomy import BY_CODE, body_parts, covers
from preread.models.card import (
    CARD,
    LARGEST_WEIGHTS,
    WEIGHTS,
    InvalidModelError,
    ModelCard,
    read_card,
)
from preread.models.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from preread.models.card import Applicability

MOST_MODELS: Final = 256
LONGEST_REASON: Final = 500

FOLDER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What the folder of a model may be called; others are passed over."""

_IMAGE_TYPE: Final = 0x00080008
_MODALITY: Final = 0x00080060
_STUDY_DESCRIPTION: Final = 0x00081030
_BODY_PART_EXAMINED: Final = 0x00180015
_SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004


class ImageHeader(Protocol):
    """What the choice needs of a header; `preread.elements.Header` has it."""

    def text(self, tag: int, /) -> str:
        """Give the value of an element of the top level as text, empty when it is absent."""
        ...

    def number(self, tag: int, /) -> int | None:
        """Give the value of an element as a whole number, None when it is absent or is none."""
        ...

    @property
    def has_pixel_data(self) -> bool:
        """Whether the object carries pixel data."""
        ...

    @property
    def anatomic_region_codes(self) -> tuple[str, ...]:
        """Code Values of the items of Anatomic Region Sequence (0008,2218)."""
        ...


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What decides which models an image is for. Holds nothing of a patient.

    Attributes
    ----------
    Modality, PhotometricInterpretation
        As in the header, empty when absent.
    SamplesPerPixel
        None when absent.
    ImageType
        Its values.
    body_parts
        SNOMED CT codes, as `preread.models.anatomy.body_parts` gives them.
    has_pixel_data
        Whether there is an image at all.
    """

    Modality: str
    PhotometricInterpretation: str
    SamplesPerPixel: int | None
    ImageType: tuple[str, ...]
    body_parts: tuple[str, ...]
    has_pixel_data: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """The models that an image is for.

    Attributes
    ----------
    models
        Names in the order in which they run; empty when none applies.
    reason
        Why none applies, without a value of the header; empty when one does.
    body_parts
        Codes that the header stated, kept for a later choice when its text is gone.
    """

    models: tuple[str, ...]
    reason: str
    body_parts: tuple[str, ...]


def facts_of(header: ImageHeader, known_body_parts: Sequence[str] = ()) -> ImageFacts:
    """Take from a header what the choice needs.

    Parameters
    ----------
    header
        Of the original image, or of the de-identified one.
    known_body_parts
        Codes found when the image arrived. They count instead of the header's, whose description
        is gone by then.
    """
    parts = tuple(known_body_parts) or body_parts(
        header.text(_BODY_PART_EXAMINED),
        _region_codes(header),
        header.text(_STUDY_DESCRIPTION),
    )
    return ImageFacts(
        Modality=header.text(_MODALITY).strip(),
        PhotometricInterpretation=header.text(_PHOTOMETRIC_INTERPRETATION).strip(),
        SamplesPerPixel=header.number(_SAMPLES_PER_PIXEL),
        ImageType=_image_type(header),
        body_parts=parts,
        has_pixel_data=header.has_pixel_data,
    )


def _region_codes(header: ImageHeader) -> tuple[str, ...]:
    try:
        return header.anatomic_region_codes
    except PrereadError:  # a broken sequence says nothing, and that is no reason to read nothing
        return ()


def shows_attention(header: ImageHeader) -> bool:
    """Tell whether an image is a picture of ours of what a network looked at."""
    return ATTENTION_MAP in _image_type(header)


def _image_type(header: ImageHeader) -> tuple[str, ...]:
    return tuple(value.strip() for value in header.text(_IMAGE_TYPE).split("\\"))


class Catalogue:
    """The models of a folder, in the order in which they run.

    Parameters
    ----------
    models
        In order; names differ.

    Raises
    ------
    InvalidModelError
        If two have one name.
    """

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = tuple(models)
        self._by_name = {model.name: model for model in self._models}
        if len(self._by_name) != len(self._models):
            raise InvalidModelError("models: expected each name once")
        # Asked for with every image: what a fingerprint is made of does not change.
        self._identities = {model.name: _identity(model) for model in self._models}

    @classmethod
    def load(cls, folder: Path, run: Sequence[str] | None = None) -> Catalogue:
        """Read the cards of a folder of models.

        Parameters
        ----------
        folder
            With one folder per model. One that does not exist has no models.
        run
            Names of the folders of the models to run, in order; None for all, by name.

        Raises
        ------
        InvalidModelError
            If a card cannot be used, weights or a backbone are missing or too large, a chosen
            model is not there or chosen twice, or a path leaves the folder.
        """
        names = _names_in(folder)
        if run is not None:
            for name in run:
                if name not in names:
                    there = ", ".join(names) or "none"
                    raise InvalidModelError(
                        f"Preread.Models.Run: no model {name[:64]!r} in the folder of models; "
                        f"there are: {there[:LONGEST_REASON]}"
                    )
            if len(set(run)) != len(run):
                raise InvalidModelError("Preread.Models.Run: expected each name once")
            names = tuple(run)
        return cls(_model_in(folder, name) for name in names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, in the order in which they run."""
        return tuple(self._by_name)

    def __len__(self) -> int:
        return len(self._models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def __getitem__(self, name: str) -> Model:
        """Give the model of that name.

        Raises
        ------
        InvalidModelError
            If there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise InvalidModelError(f"model {name[:64]!r} is not in the catalogue") from None

    def heads(self, name: str) -> tuple[str, ...]:
        """Give the models that are last layers of one network, for the same images; itself too.

        Raises
        ------
        InvalidModelError
            If there is no model of that name.
        """
        one = self[name]
        return tuple(other.name for other in self._models if _network(other) == _network(one))

    def choose(self, header: ImageHeader, known_body_parts: Sequence[str] = ()) -> Choice:
        """Choose the models that an image is for, from its header; see `facts_of`."""
        return self.choose_by(facts_of(header, known_body_parts))

    def choose_by(self, facts: ImageFacts) -> Choice:
        """Choose the models that an image is for.

        Returns
        -------
        Choice
            With a reason where no model applies.
        """
        if not facts.has_pixel_data:
            return Choice((), "it has no pixel data", facts.body_parts)
        if ATTENTION_MAP in facts.ImageType:
            return Choice((), "it shows what a network looked at", facts.body_parts)
        chosen = []
        against: dict[str, list[str]] = {}
        for model in self._models:
            obstacle = _obstacle(model.card, facts)
            if obstacle:
                against.setdefault(obstacle, []).append(model.name)
            else:
                chosen.append(model.name)
        if chosen:
            return Choice(tuple(chosen), "", facts.body_parts)
        if not against:
            return Choice((), "no model is installed", facts.body_parts)
        why = "; ".join(f"{obstacle} ({', '.join(names)})" for obstacle, names in against.items())
        return Choice((), f"no model applies: {why}"[:LONGEST_REASON], facts.body_parts)

    def fingerprint(self, models: Sequence[str] | None = None) -> str:
        """Give a digest that changes when what models say of an image may change.

        It depends on a model's name, version, weights, backbone, kind of image, preprocessing,
        temperature and out-of-distribution threshold.

        Parameters
        ----------
        models
            Names, in order; None for all.

        Returns
        -------
        str
            64 hex digits.
        """
        rows = [self._identity_of(name) for name in (self.names if models is None else models)]
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def _identity_of(self, name: str) -> str:
        return self._identities[self[name].name]


def _network(model: Model) -> tuple[object, ...]:
    """Give what heads of one network for the same images have in common."""
    card = model.card
    return model.backbone_sha256, card.Preprocessing, card.Input, card.AppliesTo


def _identity(model: Model) -> str:
    card = model.card
    facts = [
        model.name,
        card.Version,
        card.WeightsSHA256,
        model.backbone_sha256,
        card.Input.value,
        card.Preprocessing.model_dump_json(),
        None if card.Calibration is None else card.Calibration.Temperature,
        None if card.OutOfDistribution is None else card.OutOfDistribution.Threshold,
        model.judge.backbone_sha256,
    ]
    return json.dumps(facts)


def _names_in(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if FOLDER_NAME.fullmatch(entry.name) and (entry / CARD).is_file()
    )
    if len(names) > MOST_MODELS:
        raise InvalidModelError(
            f"Preread.Models.Folder: {len(names)} models; expected at most {MOST_MODELS}"
        )
    return tuple(names)


def _model_in(folder: Path, name: str) -> Model:
    place = folder / name
    root = folder.resolve()
    for path in (place, place / CARD, place / WEIGHTS):
        if not path.resolve().is_relative_to(root):
            raise InvalidModelError(f"{name}: leads out of the folder of models")
    model = Model(name, read_card(place), place)
    _check_size(model.weights, f"{name}/{WEIGHTS}")
    for key, owner in (("Backbone", model), ("OutOfDistribution.Judge", model.judge)):
        told = f"{name}/{CARD}: {key}.File: {owner.card.Backbone.File}"
        if not owner.backbone.resolve().is_relative_to(root):
            raise InvalidModelError(f"{told}: leads out of the folder of models")
        _check_size(owner.backbone, told)
    return model


def _check_size(path: Path, told: str) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InvalidModelError(f"{told}: cannot be read ({error.strerror})") from None
    if size > LARGEST_WEIGHTS:
        raise InvalidModelError(f"{told}: {size} bytes; expected at most {LARGEST_WEIGHTS}")


def _obstacle(card: ModelCard, facts: ImageFacts) -> str:
    """Say why an image is not for a model, in the model's terms; empty when it is."""
    rule = card.AppliesTo
    for keyword, wanted, value in (
        ("Modality", rule.Modality, facts.Modality),
        ("SamplesPerPixel", rule.SamplesPerPixel, facts.SamplesPerPixel),
        (
            "PhotometricInterpretation",
            rule.PhotometricInterpretation,
            facts.PhotometricInterpretation,
        ),
    ):
        if wanted and value not in wanted:
            return f"{keyword} is not {' or '.join(map(str, wanted))}"
    for excluded in rule.ExcludedImageTypes:
        if excluded in facts.ImageType:
            return f"ImageType is {excluded}"
    return _body_part_obstacle(rule, facts.body_parts)


def _body_part_obstacle(rule: Applicability, shown: tuple[str, ...]) -> str:
    if not rule.BodyPartExamined:
        return ""
    if not shown:
        return "" if rule.AcceptsMissingBodyPart else "no known body part is named"
    if covers(rule.BodyPartExamined, shown):
        return ""
    names = " or ".join(BY_CODE[code].meaning for code in rule.BodyPartExamined)
    return f"the body part is not {names}"
