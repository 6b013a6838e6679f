"""Which class of a model a label of the data is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from preread.training.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LEFT_OUT = ""
"""In place of a class: images of that label are not measured on."""


def same(name: str) -> str:
    """Give what two spellings of a name share: ``Large_Cell_Carcinoma``, ``large-cell carcinoma``.

    Examples
    --------
    >>> same("Large_Cell_Carcinoma") == same("large-cell carcinoma")
    True
    """
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def are_same(labels: Iterable[str], classes: Iterable[str]) -> bool:
    """Tell whether labels are these classes, each of them and no other."""
    return {same(label) for label in labels} == {same(name) for name in classes}


def classes_of(
    labels: Sequence[str], classes: Sequence[str], given: Mapping[str, str], *, model: str
) -> dict[str, str]:
    """Give the class of each label; `LEFT_OUT` where ``--map`` says so.

    Parameters
    ----------
    labels
        Of the data.
    classes
        Of the model.
    given
        From a label to a class, by ``--map``; what is not in it goes by its name.
    model
        Name, for errors.

    Raises
    ------
    EvaluationError
        If a label is no class, or ``--map`` names a label or a class that is not there.

    Examples
    --------
    >>> classes_of(["normal", "cyst"], ["Benign", "Normal"], {"cyst": "Benign"}, model="net")
    {'normal': 'Normal', 'cyst': 'Benign'}
    """
    there = ", ".join(classes)
    known = {same(name): name for name in classes}
    told = {same(label): name for label, name in given.items()}
    there_too = {same(label) for label in labels}
    strange = [label for label in given if same(label) not in there_too]
    if strange:
        raise EvaluationError(
            f"--map: {strange[0]!r} is no label of the data; it has {', '.join(labels)}"
        )
    found: dict[str, str] = {}
    for label in labels:
        name = told.get(same(label), label)
        if name != LEFT_OUT and same(name) not in known:
            hint = "" if same(label) in told else f"; say which with --map '{label}=CLASS'"
            raise EvaluationError(
                f"label {name!r} of the data is none of the classes of {model} ({there}){hint}"
            )
        found[label] = known[same(name)] if name != LEFT_OUT else LEFT_OUT
    return found
