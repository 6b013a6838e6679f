"""Whose features tell images that are unlike the training data.

A network that began with weights learnt from a million pictures describes a picture it never saw
as something else. One that began at random has learnt to describe its thousand training images,
and describes everything in their terms: noise falls among them. Where such a network had a
teacher, the teacher's features are used, made of the same input as the student's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preread.models.card import NETWORK
from preread.models.card_facts import JudgeFacts
from preread.models.loading import read_network
from preread.training.request import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
    data
        ONNX, as it is written.
    files
        What must lie in the folder of models for it.
    """

    facts: JudgeFacts
    data: bytes
    files: Mapping[Path, bytes]


def judge_of(request: Request, teacher: Model) -> Judge:
    """Make a teacher's network the judge of what its student is given.

    The student keeps a copy of its own, called after its digest: a teacher that is trained anew
    replaces its file, and must not take its students' judge away.

    Parameters
    ----------
    request
        Of the student.
    teacher
        Any of the models with the network.

    Raises
    ------
    preread.models.card.InvalidModelError
        If the teacher's file is not what its card says.
    """
    data = read_network(teacher)
    shared = teacher.card.Backbone
    name = teacher.name if shared.File == NETWORK else teacher.backbone.stem
    place = request.output.parent / BACKBONES / f"{name}-{shared.SHA256[:_SHOWN]}.onnx"
    facts = JudgeFacts(
        Architecture=teacher.card.Architecture,
        File=f"{BACKBONES}/{place.name}",
        SHA256=shared.SHA256,
        Precision=shared.Precision,
    )
    return Judge(facts, data, {place: data})
