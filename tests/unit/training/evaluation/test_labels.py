from __future__ import annotations

import re

import pytest

from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.labels import LEFT_OUT, are_same, classes_of

CLASSES = ("Benign", "Large_Cell_Carcinoma", "Normal")


def test_spellings_of_folders_and_cards() -> None:
    labels = ["benign", "large-cell-carcinoma", "NORMAL"]
    assert are_same(labels, CLASSES)
    assert not are_same(labels[:2], CLASSES)
    assert classes_of(labels, CLASSES, {}, model="net") == dict(zip(labels, CLASSES, strict=True))


def test_what_is_told_counts_before_the_name() -> None:
    found = classes_of(
        ["normal", "cyst", "dust"],
        CLASSES,
        {"normal": "Benign", "cyst": "normal", "dust": ""},
        model="net",
    )
    assert found == {"normal": "Benign", "cyst": "Normal", "dust": LEFT_OUT}


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        (["cyst"], {}, "label 'cyst' of the data is none of the classes of net (Benign, Large_"),
        (["cyst"], {}, "say which with --map 'cyst=CLASS'"),
        (["cyst"], {"cyst": "Bad"}, "label 'Bad' of the data is none of the classes of net"),
        (["normal"], {"cyst": "Benign"}, "--map: 'cyst' is no label of the data; it has normal"),
    ],
)
def test_refuses(labels: list[str], given: dict[str, str], message: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(message)):
        classes_of(labels, CLASSES, given, model="net")
