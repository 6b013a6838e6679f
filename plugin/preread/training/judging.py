"""Whose features tell images that are unlike the training data.

A network that began with weights learnt from a million pictures describes a picture it never saw
as something else. One that began at random has learnt to describe its thousand training images,
and describes everything in their terms: noise falls among them. Where such a network had a
teacher, the teacher's features are used, made of the same input as the student's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preread.models.architectures import build_backbone
from preread.models.card_facts import JudgeFacts
from preread.models.loading import verify_backbone
from preread.models.weights import (
    fill,
    name_of,
    parse_weights,
    sha256_of,
    split_arrays,
    weights_bytes,
)
from preread.training.request import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from preread.models.model import Model
    from preread.training.request import Request

_SHOWN = 8
"""Digits of a digest in a file's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A backbone whose features another network's images are judged by.

    Attributes
    ----------
    facts
        For the other's card.
    backbone
        From what is written.
    files
        What must lie in the folder of models for it.
    """

    facts: JudgeFacts
    backbone: nn.Module
    files: Mapping[Path, bytes]


def judge_of(request: Request, teacher: Model, *, whole_from: int) -> Judge:
    """Make a teacher's backbone the judge of what its student is given.

    The student keeps a copy of its own, called after its digest: a teacher that is trained anew
    replaces its file, and must not take its students' judge away.

    Parameters
    ----------
    request
        Of the student.
    teacher
        Any of the models with the backbone.
    whole_from
        As for `preread.models.weights.weights_bytes`, where the backbone has no file of its own.

    Raises
    ------
    preread.models.card.InvalidModelError
        If the teacher's file is not what its card says.
    """
    card = teacher.card
    data = verify_backbone(teacher)
    if card.Backbone is None:
        precision, name = card.Training.Precision, teacher.name
        arrays = split_arrays(parse_weights(data, name_of(teacher.backbone)), card.Architecture)
        data = weights_bytes(arrays.backbone, precision, whole_from=whole_from)
    else:
        precision, name = card.Backbone.Precision, teacher.backbone.stem
    digest = sha256_of(data)
    place = request.output.parent / BACKBONES / f"{name}-{digest[:_SHOWN]}.safetensors"
    facts = JudgeFacts(
        Architecture=card.Architecture,
        File=f"{BACKBONES}/{place.name}",
        SHA256=digest,
        Precision=precision,
    )
    backbone = fill(build_backbone(card.Architecture), parse_weights(data, place.name)).eval()
    return Judge(facts, backbone, {place: data})
