"""What a header says about who somebody is: nothing crowds it out, and finding it is quick."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from preread.deidentify.known import identifying_texts
from preread.elements import read_header

from .conftest import IMPLICIT, Node

Image = Callable[..., bytes]
REFERRING = 0x00081110  # ReferencedStudySequence, before the patient's group
NAME = 0x00101001
PATIENT = ["Doe^Jane", "HOSP-4711", "19610203"]


def texts(data: bytes, *terms: str) -> list[str]:
    return list(identifying_texts(read_header(data), terms))


def sequence(*items: list[Node], tag: int = REFERRING, undefined: bool = False) -> Node:
    return Node(tag, b"SQ", items=list(items), undefined=undefined, item_undefined=undefined)


def name(text: str, tag: int = NAME) -> Node:
    return Node(tag, b"PN", text.encode())


def test_the_patient_comes_before_what_is_nested(image: Image) -> None:
    many = [[name(f"Person^{number}")] for number in range(2500)]
    found = texts(image(sequence(*many)))
    assert found[:3] == PATIENT
    assert len(found) == 2003


def test_what_is_repeated_does_not_count(image: Image) -> None:
    many = [[name("Again^And")] for _ in range(2500)]
    found = texts(image(sequence(*many, [name("Last^One")])))
    assert found == [*PATIENT, "Again^And", "Last^One"]


def test_the_top_level_has_no_bound(image: Image) -> None:
    # As a file may repeat an element, the patient's name can be its last.
    data = image(*(name(f"Person^{number:04}", 0x00080090) for number in range(2500)))
    assert set(PATIENT) < set(texts(data))
    assert len(texts(data)) == 2503


def test_less_deep_comes_before_deeper(image: Image) -> None:
    deep = sequence([sequence([name("Deep^Er")])], tag=0x00081115)
    found = texts(image(sequence([deep, name("Less^Deep")])))
    assert found == [*PATIENT, "Less^Deep", "Deep^Er"]


def test_an_item_has_its_own_character_set(image: Image) -> None:
    own = Node(0x00080005, b"CS", b"ISO_IR 192")
    node = sequence([own, name("Müller^Eva")], [Node(NAME, b"PN", "Groß".encode("latin-1"))])
    assert texts(image(node), "ISO_IR 100")[3:] == ["Müller^Eva", "Groß"]


def test_sequences_of_nobody_known_are_looked_into(image: Image) -> None:
    node = Node(0x00091010, b"SQ", items=[[name("In^Private")]], undefined=True)
    assert "In^Private" in texts(image(node, syntax=IMPLICIT))


@pytest.mark.parametrize("syntax", [IMPLICIT, "1.2.840.10008.1.2.1"])
def test_deep_nesting_takes_no_more_time_than_flat(image: Image, syntax: str) -> None:
    flat = [name(f"Person^{number}") for number in range(60000)]
    data = image(sequence(flat, undefined=True), syntax=syntax)
    nested = [*flat]
    for _ in range(29):
        nested = [sequence(nested, undefined=True)]
    deep = image(*nested, syntax=syntax)
    shallow = min(seconds(data) for _ in range(3))
    assert min(seconds(deep) for _ in range(3)) < 5 * shallow + 0.1


def seconds(data: bytes) -> float:
    header = read_header(data)
    start = time.perf_counter()
    assert len(list(identifying_texts(header, ()))) == 2003
    return time.perf_counter() - start
