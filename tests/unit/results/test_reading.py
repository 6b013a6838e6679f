import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from preread.findings.prediction import Prediction, Unlikeness
from preread.results.block import percentages, private_block
from preread.results.reading import ClassPercentage, MalformedBlockError, ModelResult, read_block

MakePrediction = Callable[..., Prediction]

LINES = (
    "{ Model : InceptionV3 }",
    "{ Dataset : IQ-OTHNCCD Lung Cancer Dataset }",
    "{ Date : 2026 11 21 09:23:52.123 }",
    "{ FileName : 2.25.7.dcm }",
    "{ FileSize : 526.862kB }",
    "{ Class : Prediction(%) }",
    "{ Malignant : 99.01 }",
    "{ Benign : 0.99 }",
)
RESULT = ModelResult(
    Model="InceptionV3",
    Dataset="IQ-OTHNCCD Lung Cancer Dataset",
    Date=datetime.fromisoformat("2026-11-21T09:23:52.123"),
    FileName="2.25.7.dcm",
    FileSize=526862,
    classes=(ClassPercentage("Malignant", 99.01), ClassPercentage("Benign", 0.99)),
)


def json_model(
    lines: tuple[str, ...] = LINES, vr: str = "LO", group: str = "0055", block: str = "10"
) -> dict[str, Any]:
    model = {f"{group}00{block}": {"vr": "LO", "Value": ["UACJ_VISOR "]}}
    for index, line in enumerate(lines):
        attribute = {"vr": vr, "Value": [line]}
        if vr == "UN":
            attribute = {"vr": vr, "InlineBinary": base64.b64encode(line.encode()).decode()}
        model[f"{group}{block}{16 + index:02X}"] = attribute
    return model


def data_set(vr: str = "LO", group: int = 0x0055, block: int = 0x10) -> Dataset:
    dataset = Dataset()
    dataset.add(DataElement((group << 16) | block, "LO", "UACJ_VISOR"))
    for index, line in enumerate(LINES):
        value = line.encode() if vr == "UN" else line
        tag = group << 16 | block << 8 | 16 + index
        dataset.add(DataElement(tag, vr, value, validation_mode=IGNORE))  # as CS it is not valid
    return dataset


@pytest.mark.parametrize("vr", ["LO", "ST", "CS", "UN"])
@pytest.mark.parametrize(("group", "block"), [(0x0055, 0x10), (0x0055, 0x42), (0x0061, 0xFF)])
def test_any_vr_group_and_block_is_read(vr: str, group: int, block: int) -> None:
    assert read_block(json_model(LINES, vr, f"{group:04X}", f"{block:02X}")) == (RESULT,)
    assert read_block(data_set(vr, group, block)) == (RESULT,)


def test_no_block_is_no_result() -> None:
    assert read_block({}) == ()
    assert read_block(Dataset()) == ()
    other = json_model()
    other["00550010"]["Value"] = ["UACJ_VISOR2"]
    assert read_block(other) == ()


def test_blocks_of_a_group_are_one_text() -> None:
    model = json_model(LINES[:7]) | json_model(LINES[7:], block="12")
    model["00551110"] = {"vr": "LO", "Value": ["somebody else's"]}
    assert read_block(model) == (RESULT,)


def test_several_models_and_groups() -> None:
    model = json_model(LINES + LINES) | json_model(group="0057")
    assert read_block(model) == (RESULT,) * 3


def test_spaces_and_case_do_not_matter() -> None:
    loose = (
        "{Model:InceptionV3}",
        "{  DATASET :  IQ-OTHNCCD Lung  Cancer Dataset}",
        " { Date :2026 11 21 09:23:52.123} ",
        "{ FileName : 2.25.7.dcm }\0",
        "{ FileSize : 526.862 kB }",
        "{ class : Prediction (%) }",
        "{ Malignant:99.01% }",
        "{ Benign : 0.99 }",
    )
    assert read_block(json_model(loose)) == (RESULT,)


OUTSIDE = "{ OutOfDistribution : 3.21 of 1.00 }"


def test_an_image_outside_is_read() -> None:
    outside = replace(RESULT, OutOfDistribution=3.21)
    model = json_model((*LINES, OUTSIDE, *LINES, *LINES, "{outofdistribution:3.21 of 1.00}"))
    assert read_block(model) == (outside, RESULT, outside)


REASON = "{ Withheld : made for pictures, not for Hounsfield units }"


def test_a_reason_in_place_of_classes_is_read() -> None:
    told = "made for pictures, not for Hounsfield units"
    withheld = replace(RESULT, classes=(), Withheld=told)
    far = replace(withheld, OutOfDistribution=3.21)
    model = json_model((*LINES[:5], REASON, *LINES, *LINES[:5], REASON.lower(), OUTSIDE))
    assert read_block(model) == (withheld, RESULT, replace(far, Withheld=told.lower()))


def test_a_warning_before_classes_is_read() -> None:
    warned = replace(RESULT, Warning="not measured on this kind of image")
    line = "{ Warning : not measured on this kind of image }"
    assert read_block(json_model((*LINES[:5], line, *LINES[5:], *LINES))) == (warned, RESULT)


def test_no_classes_come_after_a_reason() -> None:
    for wrong in (LINES[5], LINES[6], "{ Warning : x }"):
        model = json_model((*LINES[:5], REASON, wrong, *LINES))
        with pytest.raises(MalformedBlockError, match="no line but OutOfDistribution"):
            read_block(model)
        assert read_block(model, skip=lambda _: None) == (RESULT,)


def test_what_is_absent_is_empty() -> None:
    lines = (LINES[0], LINES[5], "{ A : B : 100.00 }")
    assert read_block(json_model(lines)) == (
        ModelResult(Model="InceptionV3", classes=(ClassPercentage("A : B", 100.0),)),
    )


@pytest.mark.parametrize(
    ("index", "line", "expected"),
    [
        (0, "InceptionV3", "form"),
        (0, "{ Dataset : SECRET }", "before any other"),
        (1, "{ Model }", "form"),
        (1, "{ SECRET : x }", "one of Model, Dataset"),
        (2, "{ Date : 2026 13 21 09:23:52.123 }", "such as 2026 11 21"),
        (2, "{ Date : SECRET }", "such as 2026 11 21"),
        (3, "{ Dataset : SECRET }", "one Dataset"),
        (4, "{ FileSize : SECRET }", "526.862kB"),
        (6, "{ Malignant : SECRET }", "percentage"),
        (6, "{ Malignant : 100.01 }", "percentage"),
        (6, "{ Malignant : nan }", "percentage"),
        (6, "{ OutOfDistribution : 3.21 }", "such as 3.21 of 1.00"),
        (6, "{ OutOfDistribution : 1.00 of 1.00 }", "such as 3.21 of 1.00"),
        (6, "{ OutOfDistribution : nan of 1.00 }", "such as 3.21 of 1.00"),
        (6, "{ OutOfDistribution : SECRET }", "such as 3.21 of 1.00"),
        (6, "{ Malignant : 3.21 of 1.00 }", "percentage"),
        (5, OUTSIDE, "one of Model, Dataset"),
        (6, "{ Malignant : " + "9" * 5000 + " }", "4096"),
        (6, "", "form"),
        (5, "{ Withheld : }", "a reason after Withheld"),
        (5, "{ Warning : }", "a reason after Warning"),
    ],
)
def test_a_malformed_line_is_named(index: int, line: str, expected: str) -> None:
    model = json_model((*LINES[:index], line, *LINES[index + 1 :], *LINES))
    with pytest.raises(MalformedBlockError, match=expected) as caught:
        read_block(model)
    assert caught.value.tag == 0x00551010 + index
    assert f"(0055,{0x1010 + index:04X})" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    skipped: list[MalformedBlockError] = []
    assert read_block(model, skip=skipped.append) == (RESULT,)
    assert [error.tag for error in skipped] == [0x00551010 + index]


def test_nothing_comes_after_the_line_of_an_image_outside() -> None:
    model = json_model((*LINES[:7], OUTSIDE, LINES[7], *LINES))
    with pytest.raises(MalformedBlockError, match="nothing after OutOfDistribution"):
        read_block(model)
    assert read_block(model, skip=lambda _: None) == (RESULT,)


@pytest.mark.parametrize(
    "attribute",
    [
        {"vr": "UN", "BulkDataURI": "http://somewhere/else"},
        {"vr": "UN", "InlineBinary": "not base 64!"},
        {"vr": "SQ", "Value": {"a": 1}},
        {"vr": "LO"},
        {"vr": "LO", "Value": [None]},
        {"vr": "LO", "Value": [{"Alphabetic": "x"}]},
    ],
)
def test_values_that_are_not_there_are_named(attribute: dict[str, Any]) -> None:
    with pytest.raises(MalformedBlockError, match="0055,1012"):
        read_block(json_model() | {"00551012": attribute})


def test_other_attributes_of_the_json_model_are_left_alone() -> None:
    noise: dict[str, Any] = {"00080005": {"vr": "CS"}, "nonsense": 1, "00091010": None}
    assert read_block(json_model() | noise) == (RESULT,)


def test_what_is_written_is_read(make_prediction: MakePrediction) -> None:
    prediction = make_prediction(
        "Née:V3", ("a b", "x : y", "Date"), (0.25, 0.5, 0.25), dataset="Größe \\ 中 (§)"
    )
    lines = private_block([prediction] * 2, SOPInstanceUID="2.25.7", file_size=526862)
    first, second = read_block(json_model(tuple(text for _, text in lines)))
    assert first == second
    assert first.Model == "Nee:V3"
    assert first.Dataset == "Grosse / U+4E2D (U+00A7)"
    assert first.classes == (("x : y", 50.0), ("a b", 25.0), ("Date", 25.0))
    assert [share for _, share in percentages(prediction.probabilities)] == [50.0, 25.0, 25.0]


@pytest.mark.parametrize("score", [0.5, 1.0, 1.0001, 77.7])
def test_what_is_written_of_an_image_outside_is_read(
    score: float, make_prediction: MakePrediction
) -> None:
    usual = make_prediction()
    prediction = make_prediction(unlikeness=Unlikeness(score, 1.0))
    lines = private_block([prediction, usual], SOPInstanceUID="2.25.7", file_size=1)
    first, second = read_block(json_model(tuple(text for _, text in lines)))
    assert second.OutOfDistribution is None
    if prediction.outside:
        assert first.OutOfDistribution == pytest.approx(max(score, 1.01), abs=0.01)
        assert (first.Withheld, first.classes) == ("unlike its training data", ())
    else:
        assert first == second


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("vr", ["CS", "LO", "UN"])
def test_files_are_read(vr: str, implicit: bool) -> None:
    dataset = data_set(vr, 0x0057, 0x11)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "2.25.1"
    dataset.file_meta = FileMetaDataset()
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    data = buffer.getvalue()
    assert read_block(data) == read_block(bytearray(data)) == read_block(memoryview(data))
    assert read_block(data) == (RESULT,)
    assert read_block(dcmread(BytesIO(data))) == (RESULT,)
