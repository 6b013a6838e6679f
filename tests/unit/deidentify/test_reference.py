"""The conformance statement says what the engine does, row by row."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from preread.deidentify import Deidentifier, DeidentifyOptions, Option, Pseudonyms, Secret
from preread.deidentify.dummies import dummy
from preread.deidentify.iod_types import types_of
from preread.deidentify.options import BASIC_PROFILE
from preread.deidentify.pixels.policy import _WRITING
from preread.deidentify.reference import SHORT_NAMES, markdown
from preread.deidentify.safe_private import safe_private_table
from preread.deidentify.table import table_e1_1
from preread.elements import dictionary_vr

DOCUMENT = Path(__file__).parents[3] / "docs" / "deidentification.md"
CT = "1.2.840.10008.5.1.4.1.1.2"
KEPT_SEQUENCE = 0x00082218  # Anatomic Region Sequence
CODE_VALUE, CODE_MEANING, PATIENT_NAME = 0x00080100, 0x00080104, 0x00100010
STAYING_TEXT = 0x00620006  # Segment Description
TEXT = b"CHEST Qwertzkov "
CLEAN = b"CHEST "
UID = b"1.9.76543.9.9\0"
TIMEZONE = 0x00080201
VALUES = {
    b"AE": b"ORIGIN", b"AS": b"044Y", b"CS": b"CHEST ", b"DA": b"20200102",
    b"DS": b"1.5 ", b"DT": b"20200102101010", b"IS": b"17", b"PN": b"Doe^Jane",
    b"TM": b"101010", b"UI": UID, b"UR": b"http://a.b",
    b"US": b"\1\0", b"OB": b"\1\2", b"OW": b"\1\2",
}  # fmt: skip


@dataclass(frozen=True)
class DocumentedRow:
    tag: int
    name: str
    done: str
    options: dict[Option, str]

    def at_the_top(self) -> str:
        """What is done in a CT image."""
        top = self.done.partition("; nested: ")[0]
        by_type = re.findall(r"(\S.*?) \(type ([^)]+)\)", top)
        if not by_type:
            return top
        wanted = str((types_of(CT) or {}).get(self.tag, 3))
        (found,) = (words for words, types in by_type if wanted in types.split(" or "))
        return str(found).removeprefix(", ")

    def nested(self) -> str:
        top, _, nested = self.done.partition("; nested: ")
        return nested or top


def _table(title: str) -> list[list[str]]:
    section = markdown().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[1:]]


@cache
def _documented() -> tuple[DocumentedRow, ...]:
    long_names = {short: option for option, short in SHORT_NAMES.items()}
    found = []
    for tag, name, _, _, done, options in _table("All rows of Table E.1-1"):
        if not re.fullmatch(r"\([0-9A-F]{4},[0-9A-F]{4}\)", tag):
            continue
        changed = {
            long_names[part.split()[0]]: part.partition(": ")[2]
            for part in filter(None, options.split("; "))
        }
        found.append(DocumentedRow(int(tag[1:5] + tag[6:10], 16), name, done, changed))
    return tuple(found)


def _testable() -> list[DocumentedRow]:
    return [row for row in _documented() if row.tag >> 16 > 4 and dictionary_vr(row.tag)]


def _node(node: Any, tag: int) -> Any:
    vr = dictionary_vr(tag)[:2]
    if vr != b"SQ":
        value = b"+0100 " if tag == TIMEZONE else VALUES.get(vr, TEXT)
        return node(tag, vr, value)
    inside = [
        node(CODE_VALUE, b"SH", TEXT),
        node(CODE_MEANING, b"LO", TEXT),
        node(PATIENT_NAME, b"PN", b"Doe^Jane"),
        node(STAYING_TEXT, b"ST", TEXT),
    ]
    return node(tag, vr, items=[inside])


@dataclass(frozen=True)
class Bench:
    """Puts an element into an image and tells what came of it."""

    node: Any
    image: Callable[..., bytes]
    engine: Deidentifier

    def at_the_top(self, tag: int) -> Dataset:
        return self._read(self.image(_node(self.node, tag)))

    def nested(self, tag: int) -> Dataset:
        outer = self.node(KEPT_SEQUENCE, b"SQ", items=[[_node(self.node, tag)]])
        inner: Dataset = self._read(self.image(outer))[KEPT_SEQUENCE][0]
        return inner

    def _read(self, data: bytes) -> Dataset:
        return dcmread(BytesIO(self.engine.deidentify(data).data))


def _raw(data_set: Dataset, tag: int) -> bytes:
    value: Any = data_set.get_item(tag).value
    return value or b""


def _check(words: str, data_set: Dataset, tag: int, pseudonyms: Pseudonyms) -> None:
    """Hold an element against what the document says of it."""
    vr = dictionary_vr(tag)[:2]
    words = words.removeprefix("written anew: ")
    if words == "removed":
        assert tag not in data_set
        return
    assert tag in data_set
    if words == "emptied":
        assert not (data_set[tag].value if vr == b"SQ" else _raw(data_set, tag))
    elif words == "dummy":
        assert _raw(data_set, tag).strip(b" ") == dummy(vr, "**.**").strip(b" ")
    elif words == "new UID":
        told = _raw(data_set, tag).decode().strip("\0")
        assert told == pseudonyms.uid(UID.decode().strip("\0"))
    elif words == "pseudonym":
        assert pseudonyms.is_ours_patient(_raw(data_set, tag).decode().strip())
    elif words == "kept":
        assert _raw(data_set, tag) == _node(lambda *given: given, tag)[2]
    elif words == "moved":
        assert len(_raw(data_set, tag)) == len(VALUES[vr])
        assert _raw(data_set, tag) != VALUES[vr]
    elif words == "cleaned":
        assert _raw(data_set, tag).strip() == CLEAN.strip()
    elif words == "alias":
        assert re.fullmatch(rb"AE[A-Z2-7]{14}", _raw(data_set, tag))
    else:
        _check_items(words, data_set[tag][0])


def _check_items(words: str, item: Dataset) -> None:
    # What the file holds, since a text of a code is none that pydicom would leave as it is.
    code, text = (_raw(item, tag).strip() for tag in (CODE_VALUE, STAYING_TEXT))
    assert not _raw(item, PATIENT_NAME).strip()
    expected = {
        "items de-identified": (TEXT, TEXT),
        "items kept, texts and codes dummies": (b"**.**", b"**.**"),
        "tree kept, texts and codes of a site dummies": (b"**.**", b"**.**"),
        "items kept, texts cleaned": (TEXT, CLEAN),
    }[words]
    assert (code, text) == tuple(each.strip() for each in expected)


def _id(row: DocumentedRow) -> str:
    return f"{row.tag:08X}"


@pytest.fixture
def bench(node: Any, image: Callable[..., bytes], deidentifier: Deidentifier) -> Bench:
    return Bench(node, image, deidentifier)


@pytest.mark.parametrize("row", _testable(), ids=_id)
def test_what_is_documented_is_done(
    row: DocumentedRow, bench: Bench, pseudonyms: Pseudonyms
) -> None:
    _check(row.at_the_top(), bench.at_the_top(row.tag), row.tag, pseudonyms)
    _check(row.nested(), bench.nested(row.tag), row.tag, pseudonyms)


@pytest.mark.parametrize("option", sorted({key for row in _testable() for key in row.options}))
def test_what_is_documented_of_an_option_is_done(
    option: Option,
    node: Any,
    image: Callable[..., bytes],
    secret: Secret,
    pseudonyms: Pseudonyms,
) -> None:
    engine = Deidentifier(secret, DeidentifyOptions(options=frozenset((option,))))
    bench = Bench(node, image, engine)
    found = [row for row in _testable() if option in row.options]
    assert found
    for row in found:
        words = row.options[option].partition(" (")[0]
        top = row.at_the_top() if words == "no change" else words
        nested = row.nested() if words == "no change" else words
        try:
            _check(top, bench.at_the_top(row.tag), row.tag, pseudonyms)
            _check(nested, bench.nested(row.tag), row.tag, pseudonyms)
        except AssertionError as error:
            raise AssertionError(f"{row}: {error}") from error


def test_every_row_of_the_table_is_there_once() -> None:
    rows = _table("All rows of Table E.1-1")
    assert [(name, code) for _, name, _, code, _, _ in rows] == [
        (row.name, row.action) for row in table_e1_1().rows
    ]
    assert len({tag for tag, *_ in rows}) == len(rows)
    assert sum(len(row.options) for row in _documented()) > 500


def test_every_safe_private_element_is_there_once() -> None:
    told = [
        f"{creator.strip('`')} {group} {element}"
        for creator, elements in _table("Safe private attributes")
        for part in elements.split("; ")
        for group, _, numbers in [part.partition(": ")]
        for element in numbers.split()
    ]
    known = [f"{each.creator} {each.group:04X} {each.element:02X}" for each in safe_private_table()]
    assert sorted(told) == sorted(known)


def test_every_option_is_there_with_its_code() -> None:
    rows = {cells[0].strip("`"): cells[1] for cells in _table("What is claimed") if len(cells) == 4}
    assert rows == {option.value: option.code for option in Option}
    assert BASIC_PROFILE[0] in markdown()


def test_the_modalities_that_are_looked_at_are_those_of_the_policy() -> None:
    (cells,) = (cells for cells in _table("Pixels") if cells[0].startswith("Modality AR"))
    assert set(re.findall(r"[A-Z]{2,}", cells[0])) == _WRITING


def test_the_example_of_the_audit_trail_is_json_without_an_original_identifier() -> None:
    section = markdown().partition("\n## Audit trail\n")[2]
    line = section.partition("```json\n")[2].partition("```")[0]
    message = json.loads(line)
    assert message["EventIdentification"]["EventID"]["csd-code"] == "110103"
    assert "INVENTED" not in line
    assert "1.2.3." not in line


def test_the_example_of_regions_is_one(tmp_path: Path) -> None:
    from preread.deidentify.pixels.regions import load_regions

    text = markdown().partition("\n### Regions\n")[2].partition("```json\n")[2].partition("```")[0]
    file = tmp_path / "regions.json"
    file.write_text(text, encoding="utf-8")
    assert len(load_regions(file).rules) == len(load_regions().rules) + 1


def test_links_within_the_statement_lead_to_headings() -> None:
    text = markdown()
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
    anchors |= set(re.findall(r'<a id="([^"]+)"></a>', text))
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert links
    assert links <= anchors


def test_nothing_is_left_of_the_template() -> None:
    assert "{{" not in markdown()
    assert max(map(len, markdown().split("\n\n")[0].splitlines())) < 100


def test_the_file_in_docs_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(), "run `make docs`"
