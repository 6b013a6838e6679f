from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preread.findings.prediction import Prediction, Unlikeness
from preread.results.block import (
    UnwritablePredictionError,
    block_elements,
    percentages,
    private_block,
    private_dictionary,
    ratio_text,
)
from preread.results.encoding import Characters

MakePrediction = Callable[..., Prediction]

probabilities = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40).filter(any)


@given(probabilities)
def test_percentages_add_up_and_keep_the_order(values: list[float]) -> None:
    rounded = percentages(values)
    assert sum(Decimal(f"{share:.2f}") for _, share in rounded) == Decimal("100.00")
    assert sorted(index for index, _ in rounded) == list(range(len(values)))
    shares = [share for _, share in rounded]
    assert shares == sorted(shares, reverse=True)
    assert [values[index] for index, _ in rounded] == sorted(values, reverse=True)
    total = sum(map(Decimal, values))
    for index, share in rounded:
        exact = Decimal(values[index]) * 100 / total
        assert abs(Decimal(f"{share:.2f}") - exact) < Decimal("0.01")


@given(probabilities)
def test_equals_keep_their_order(values: list[float]) -> None:
    rounded = percentages([value for value in values for _ in range(2)])
    for (first, _), (second, _) in pairwise(rounded):
        if values[first // 2] == values[second // 2]:
            assert first < second


@pytest.mark.parametrize("values", [(), (0.0, 0.0), (float("nan"), 1.0), (-0.1, 1.1)])
def test_percentages_of_nothing_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(UnwritablePredictionError):
        percentages(values)


def test_block_is_that_of_the_design(make_prediction: MakePrediction) -> None:
    lines = private_block(
        [make_prediction(), make_prediction("MobileNetV2")],
        SOPInstanceUID="2.25.7",
        file_size=526862,
    )
    assert [text for _, text in lines[:10]] == [
        "{ Model : InceptionV3 }",
        "{ Dataset : IQ-OTHNCCD Lung Cancer Dataset }",
        "{ Date : 2026 11 21 09:23:52.123 }",
        "{ FileName : 2.25.7.dcm }",
        "{ FileSize : 526.862kB }",
        "{ Class : Prediction(%) }",
        "{ Malignant : 99.01 }",
        "{ Benign : 0.99 }",
        "{ Normal : 0.00 }",
        "{ Model : MobileNetV2 }",
    ]
    assert {vr for vr, _ in lines} == {"LO"}


def test_an_image_outside_is_given_no_class(make_prediction: MakePrediction) -> None:
    inside, outside = Unlikeness(1.0, 1.0), Unlikeness(2.0001, 1.0)
    predictions = [make_prediction(unlikeness=how) for how in (None, inside, outside, inside)]
    usual, *others = (
        [text for _, text in private_block([one], SOPInstanceUID="2.25.7", file_size=1)]
        for one in predictions
    )
    assert others[0] == others[2] == usual
    assert others[1][:5] == usual[:5]
    assert others[1][5:] == [
        "{ Withheld : unlike its training data }",
        "{ OutOfDistribution : 2.01 of 1.00 }",
    ]
    together = private_block(predictions, SOPInstanceUID="2.25.7", file_size=1)
    assert [text for _, text in together] == [*usual, *others[0], *others[1], *others[2]]


def test_a_reason_stands_in_place_of_classes(make_prediction: MakePrediction) -> None:
    usual = make_prediction()
    reason = "made for pictures, not for Hounsfield units"
    lines = private_block(
        [replace(usual, withheld=reason), usual], SOPInstanceUID="2.25.7", file_size=1
    )
    own, usual_lines = lines[:6], lines[6:]
    assert usual_lines == private_block([usual], SOPInstanceUID="2.25.7", file_size=1)
    assert own[:5] == usual_lines[:5]
    assert own[5] == ("LO", f"{{ Withheld : {reason} }}")
    assert "%" not in "".join(text for _, text in own)


def test_a_warning_stands_before_the_classes(make_prediction: MakePrediction) -> None:
    usual = make_prediction()
    marked = replace(usual, warning="not measured on this kind of image")
    lines = private_block([marked], SOPInstanceUID="2.25.7", file_size=1)
    plain = private_block([usual], SOPInstanceUID="2.25.7", file_size=1)
    warned = ("LO", "{ Warning : not measured on this kind of image }")
    assert lines == [*plain[:5], warned, *plain[5:]]


def test_eight_models_with_the_line_are_what_the_dictionary_covers(
    make_prediction: MakePrediction,
) -> None:
    classes = tuple("abcdef")
    one = make_prediction(
        classes=classes, probabilities=(1, 0, 0, 0, 0, 0), unlikeness=Unlikeness(0.9, 1.0)
    )
    one = replace(one, warning="not measured on this kind of image")
    lines = private_block([one] * 8, SOPInstanceUID="2.25.7", file_size=1)
    assert len(lines) == len(private_dictionary(models=8, classes=6))
    tags = block_elements(lines, 0x0055, Characters()).keys() - {0x00550010}
    assert {f"{tag >> 16:04x},{tag & 0xFFFF:04x}" for tag in tags} == set(private_dictionary())


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.0 + 1e-12, "1.01 of 1.00"),
        (1.1, "1.10 of 1.00"),
        (3.201, "3.21 of 1.00"),
        (1e300, "999999.99 of 1.00"),
        (float("inf"), "999999.99 of 1.00"),
    ],
)
def test_what_is_outside_stays_above_one(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text


def test_sixty_four_characters_are_the_longest_lo(make_prediction: MakePrediction) -> None:
    for length, vr in ((64, "LO"), (65, "ST"), (1024, "ST")):
        name = "x" * (length - len("{ Model :  }"))
        line = private_block([make_prediction(name)], SOPInstanceUID="2.25.7", file_size=1)[0]
        assert line == (vr, f"{{ Model : {name} }}")
    with pytest.raises(UnwritablePredictionError, match="too long"):
        private_block([make_prediction("x" * 1013)], SOPInstanceUID="2.25.7", file_size=1)


def test_length_is_that_of_what_is_written(make_prediction: MakePrediction) -> None:
    name = "中" * 20  # 20 characters in UTF-8, 120 once they are escaped
    prediction = make_prediction(name)
    wide = Characters(("ISO_IR 192",))
    lines = private_block([prediction], SOPInstanceUID="2.25.7", file_size=1, characters=wide)
    assert lines[0] == ("LO", f"{{ Model : {name} }}")
    lines = private_block([prediction], SOPInstanceUID="2.25.7", file_size=1)
    assert lines[0] == ("ST", "{ Model : " + "U+4E2D" * 20 + " }")


@pytest.mark.parametrize(
    "classes",
    [
        ("é", "e", "x"),
        ("Model", "b", "c"),
        ("model : x", "b", "c"),
        ("a/b", "a\\b", "c"),
        ("outofdistribution", "b", "c"),
    ],
)
def test_classes_that_could_not_be_read_again_are_refused(
    make_prediction: MakePrediction, classes: tuple[str, ...]
) -> None:
    prediction = make_prediction(classes=classes)
    with pytest.raises(UnwritablePredictionError, match="rename it"):
        private_block([prediction], SOPInstanceUID="2.25.7", file_size=1)


def test_more_than_240_lines_go_on_in_the_next_block() -> None:
    lines = [("LO", str(index)) for index in range(481)]
    elements = block_elements(lines, 0x0057, Characters())
    assert list(elements) == sorted(elements)
    assert list(elements)[:3] == [0x00570010, 0x00570011, 0x00570012]
    assert elements[0x005710FF].endswith(b"LO\x04\x00239 ")
    assert elements[0x00571110].endswith(b"LO\x04\x00240 ")
    assert elements[0x00571210].endswith(b"LO\x04\x00480 ")
    assert len(elements) == 481 + 3


def test_a_group_has_an_end() -> None:
    lines = [("LO", "x")] * (240 * 240 + 1)
    with pytest.raises(UnwritablePredictionError, match="private group"):
        block_elements(lines, 0x0055, Characters())
    assert len(block_elements(lines[1:], 0x0055, Characters())) == 240 * 241


def test_private_dictionary_covers_eight_models() -> None:
    dictionary = private_dictionary()
    assert next(iter(dictionary)) == "0055,1010"
    assert list(dictionary)[-1] == "0055,1077"
    assert len(dictionary) == 8 * (6 + 6 + 1)
    names = [entry[1] for entry in dictionary.values()]
    assert len(set(names)) == len(names)
    with pytest.raises(ValueError, match="240"):
        private_dictionary(models=20, classes=20)
