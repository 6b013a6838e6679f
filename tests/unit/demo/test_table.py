"""What the terminal shows."""

import io
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from preread.demo.reading import Image, Outcome
from preread.demo.table import chosen, series_tables, unread_lines
from preread.results.reading import ClassPercentage, ModelResult


def _image(number: int, malignant: float, models: tuple[str, ...] = ("MobileNetV2",)) -> Image:
    classes = (ClassPercentage("Malignant", malignant), ClassPercentage("Normal", 100 - malignant))
    return Image(
        PatientID="pseudonym",
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4",
        SOPInstanceUID=f"1.2.3.4.{number}",
        Modality="CT",
        InstanceNumber=number,
        results=tuple(ModelResult(Model=model, classes=classes) for model in models),
    )


def _text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=160)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_a_series_shows_its_images_in_order_and_their_mean() -> None:
    (table,) = series_tables([_image(2, 40.0), _image(1, 20.0)])
    text = _text(table)
    assert "CT series, 2 images read, patient pseudonym" in text
    assert text.index("Malignant 20.00") < text.index("Malignant 40.00")
    assert "mean of 2" in text
    assert "Normal 70.00   Malignant 30.00" in text


def test_each_model_has_its_row() -> None:
    (table,) = series_tables([_image(1, 20.0, ("MobileNetV2", "ResNet50V2"))])
    assert table.row_count == 4
    assert "CT series, 1 image read, patient pseudonym" in _text(table)


def test_models_of_one_name_and_two_data_sets_are_two() -> None:
    one, two = (
        ModelResult(Model="MobileNetV2", Dataset=name, classes=(ClassPercentage(name, 100.0),))
        for name in ("First", "Second")
    )
    (table,) = series_tables([replace(_image(1, 20.0), results=(one, two))])
    lines = [line for line in _text(table).splitlines() if "mean of 1" in line]
    assert ["First 100.00" in line for line in lines] == [True, False]
    assert ["Second 100.00" in line for line in lines] == [False, True]


def test_an_image_outside_shows_no_class_and_is_not_in_the_mean() -> None:
    image = _image(3, 50.0)
    outside = replace(image, results=(replace(image.results[0], OutOfDistribution=3.21),))
    (table,) = series_tables([_image(1, 20.0), outside])
    text = _text(table)
    assert "unlike its training data: 3.21 times the threshold" in text
    assert "50.00" not in text
    assert "mean of 1" in text
    assert "Normal 80.00   Malignant 20.00" in text
    (table,) = series_tables([outside])
    assert "none of 1 was given a class" in _text(table)
    assert "mean of" not in _text(table)


def test_a_reason_stands_in_place_of_classes_and_a_warning_before_them() -> None:
    image = _image(3, 50.0)
    reason = "made for pictures, not for Hounsfield units"
    withheld = replace(image, results=(replace(image.results[0], classes=(), Withheld=reason),))
    (table,) = series_tables([withheld])
    text = _text(table)
    assert f"no class: {reason}" in text
    assert f"none of 1 was given a class: {reason}" in text
    marked = replace(image, results=(replace(image.results[0], Warning="never measured"),))
    (table,) = series_tables([marked])
    assert "never measured: Malignant 50.00" in _text(table)


def test_a_long_series_shows_some_images_the_first_and_the_last_among_them() -> None:
    images = [_image(number, 50.0) for number in range(1, 101)]
    shown = [image.InstanceNumber for image in chosen(images)]
    assert len(shown) == 8
    assert (shown[0], shown[-1]) == (1, 100)


def test_a_series_without_predictions_has_no_table() -> None:
    assert list(series_tables([_image(1, 20.0, ())])) == []


def test_what_was_not_read_is_told_by_reason_once_for_each_image() -> None:
    outcomes = [
        Outcome(1, "unread", "no model applies", "1.2.3", "1"),
        Outcome(2, "unread", "no model applies", "1.2.3", "2"),
        Outcome(3, "superseded", "a newer one arrived", "1.2.3", "3"),
        Outcome(4, "done", "", "1.2.3", "3"),
        Outcome(5, "failed", "", "1.2.3", "4"),
    ]
    assert unread_lines(outcomes) == [
        "1 image failed: no reason given",
        "2 images unread: no model applies",
    ]
