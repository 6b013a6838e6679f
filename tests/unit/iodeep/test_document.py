from __future__ import annotations

import pytest

from preread.iodeep.document import (
    DEEPEST,
    LARGEST_ARCHITECTURE,
    document_text,
    parse_document,
    rows_and_columns,
)
from preread.iodeep.errors import InvalidIODeepError


@pytest.mark.parametrize(
    "text",
    [
        '{"architecture": {"1": "cnn2d"}, "stride": [1, 2.5], "bias": true, "kernel": null}',
        "{'architecture': {1: 'cnn2d'}, 'stride': (1, 2.5), 'bias': True, 'kernel': None}",
        "\ufeff {'architecture': {'1': 'cnn2d'}, 'stride':[1,2.5,], 'bias': True,'kernel':None}\0",
    ],
)
def test_json_and_a_python_literal_say_the_same(text: str) -> None:
    assert parse_document(text) == {
        "architecture": {"1": "cnn2d"},
        "stride": [1, 2.5],
        "bias": True,
        "kernel": None,
    }


def test_quotes_within_texts_are_kept() -> None:
    assert parse_document(r"""{'a': "it's", "b": 'x\'y', 'c': '{[('}""") == {
        "a": "it's",
        "b": "x'y",
        "c": "{[(",
    }


def test_what_is_written_is_ascii_and_reads_the_same() -> None:
    document = {"name": "Größe\\", "n": -1.5e-3}
    text = document_text(document)
    assert text.isascii()
    assert parse_document(text) == document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "'cnn2d'",
        "{'a': __import__('os').system('true')}",
        "{'a': open}",
        "{'a': 9**9**9}",
        f"{{'a': {'9' * 400}}}",
        "{'a': 'x' * 1000000000}",
        "{'a': [x for x in (1,)]}",
        "{'a': b'bytes'}",
        "{'a': {1, 2}}",
        "{'a': 1j}",
        "{'a': 1e999}",
        '{"a": NaN}',
        '{"a": Infinity}',
        "{(1, 2): 'a'}",
        "{True: 'a'}",
        "{'a': " + "9" * 5000 + "}",
        "{'a': 99999999999999999999}",
        "{'a': '''b'''}}",
        "{'a' 'b'}",
        "{'a': 1",
        "# {}",
        "{'a': f'{open}'}",
    ],
)
def test_what_is_no_data_is_refused(text: str) -> None:
    with pytest.raises(InvalidIODeepError, match=r"^IODeep: DnnArchitecture: ") as caught:
        parse_document(text)
    assert caught.value.attribute == "DnnArchitecture"


@pytest.mark.parametrize("opening", ["[", "(", '{"a":', "{'a':(", "-"])
def test_what_is_nested_without_end_is_refused(opening: str) -> None:
    with pytest.raises(InvalidIODeepError, match=r"deeper|something else"):
        parse_document(opening * (LARGEST_ARCHITECTURE // len(opening)))


def test_the_deepest_nesting_is_read() -> None:
    inner = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert parse_document(f'{{"a": {inner}}}')
    with pytest.raises(InvalidIODeepError, match=f"deeper than {DEEPEST}"):
        parse_document(f'{{"a": [{inner}]}}')


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidIODeepError, match="larger than"):
        parse_document('{"a": "' + "b" * LARGEST_ARCHITECTURE + '"}')


@pytest.mark.parametrize(
    ("data_format", "expected"),
    [
        ("channels_first", (20, 30)),
        ("Channels_Last ", (10, 20)),
        ("", (20, 30)),
        ({"data_format": "channels_last"}, (10, 20)),
        ({"data_format": "channels_first"}, (20, 30)),
    ],
)
def test_rows_and_columns_follow_the_format(data_format: object, expected: tuple[int, int]) -> None:
    shape = {"input_shape0": "10", "input_shape1": 20, "input_shape2": " 30"}
    document = {"input_shape": shape, "data_format": data_format}
    assert rows_and_columns(document) == expected


@pytest.mark.parametrize(
    "shape",
    [
        None,
        "3",
        {},
        {"input_shape0": 1, "input_shape1": 2},
        {"input_shape0": 1, "input_shape1": 0, "input_shape2": 5},
        {"input_shape0": 1, "input_shape1": "1e3", "input_shape2": 5},
    ],
)
def test_a_shape_that_is_no_images_has_none(shape: object) -> None:
    assert rows_and_columns({"input_shape": shape}) is None
