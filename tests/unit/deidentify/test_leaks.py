"""Planted values, searched for in every byte of what comes out."""

import random
import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import dictionary_VR

from preread.deidentify import DeidentificationError, Deidentifier
from preread.deidentify.iod_types import types_of
from preread.deidentify.table import table_e1_1
from preread.elements import read_header

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
SYNTAXES = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN, RLE)

PIXELS = bytes(range(256)) * 4
TOP = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
# Sequences that stay, private ones, ones of which a dummy is wanted, and ones that go.
SEQUENCES = (
    0x00081115, 0x00081140, 0x00082218, 0x00400275, 0x0040A043, 0x0040A730, 0x00700001, 0x00091010,
    0x00081250, 0x52009230, 0x0040A073, 0x00101002, 0x04000561,
)  # fmt: skip


def _tags() -> tuple[tuple[int, bytes], ...]:
    found: dict[int, bytes] = {}
    for row in table_e1_1().rows:
        if row.tag == "private":
            continue
        for filled in (row.tag.replace("x", "0"), row.tag.replace("x", "2")):
            tag = int(filled, 16)
            try:
                vr = dictionary_VR(tag)[:2].encode()
            except KeyError:
                vr = b"LO"
            if vr != b"SQ" and tag >> 16 > 4:
                found[tag] = vr
    found |= {
        0x00001000: b"UI", 0x00041511: b"UI", 0x00080000: b"UL",
        0x00080011: b"LO", 0x00081190: b"UR", 0x00089999: b"UN", 0x00090010: b"LO",
        0x00091001: b"LO", 0x00111002: b"PN", 0x00140102: b"DA", 0x00140104: b"PN",
        0x0040A067: b"PN", 0x04000500: b"OB", 0x60001500: b"LO", 0xFFFCFFFC: b"OB",
    }  # fmt: skip
    return tuple(sorted((tag, vr) for tag, vr in found.items() if tag not in TOP))


TAGS = _tags()
_WANTED = {1: "DZ", 2: "ZD", 3: "XZD"}


class Planter:
    """Makes data sets full of values that must not come out."""

    def __init__(self, node: Any, rng: random.Random, syntax: str) -> None:
        self.node = node
        self.rng = rng
        self.syntax = syntax
        self.values: list[bytes] = []

    def canary(self) -> bytes:
        value = b"Zq%05dKanarienvogel" % len(self.values)
        self.values.append(value)
        return value

    def level(self, depth: int, count: int) -> list[Any]:
        nodes = {}
        for tag, vr in self.rng.sample(TAGS, count):
            claimed = vr
            if self.rng.random() < 0.1:
                claimed = self.rng.choice((b"UN", b"LO", b"OB", b"PN", b"UI", b"UT"))
            nodes[tag] = self.node(tag, claimed, self.canary())
        if depth < 5:
            for tag in self.rng.sample(SEQUENCES, self.rng.randrange(1, 3)):
                nodes[tag] = self.sequence(tag, depth)
        return [nodes[tag] for tag in sorted(nodes)]

    def sequence(self, tag: int, depth: int) -> Any:
        items = [self.level(depth + 1, 8) for _ in range(self.rng.randrange(3))]
        # UN of undefined length holds implicit VR, little endian whatever is around it (PS3.5
        # 6.2.2), which pydicom does not know of a big endian file.
        unknown = self.syntax not in {IMPLICIT, BIG_ENDIAN} and self.rng.random() < 0.2
        return self.node(
            tag,
            b"UN" if unknown else b"SQ",
            items=items,
            undefined=unknown or self.rng.random() < 0.5,
            item_undefined=self.rng.random() < 0.5,
        )


def _pixel_data(node: Any, syntax: str) -> Any:
    if syntax != RLE:
        return node(0x7FE00010, b"OW", PIXELS)
    # An empty offset table and one fragment, written as an item: what is in it nobody reads.
    fragment = [node(0x00281201, b"OW", PIXELS)]
    return node(0x7FE00010, b"OB", items=[[], fragment], undefined=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), syntax=st.sampled_from(SYNTAXES), shuffled=st.booleans())
def test_no_planted_value_comes_out(
    seed: int,
    syntax: str,
    shuffled: bool,
    deidentifier: Deidentifier,
    node: Any,
    image: Callable[..., bytes],
    write: Callable[..., bytes],
) -> None:
    planter = Planter(node, random.Random(seed), syntax)
    nodes = [
        node(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        *(node(tag, b"UI", b"1.9." + planter.canary()) for tag in TOP[1:]),
        *planter.level(0, 60),
    ]
    nodes = sorted({each.tag: each for each in nodes}.values(), key=lambda each: each.tag)
    if shuffled:
        planter.rng.shuffle(nodes)
        nodes += [node(each.tag, each.vr, planter.canary()) for each in nodes[:5] if not each.items]
    nodes = [each for each in nodes if each.tag >> 16 < 0x7FE0]
    nodes.append(_pixel_data(node, syntax))
    original = write(nodes, syntax)
    done = deidentifier.deidentify(original)

    searched = done.data
    if syntax == DEFLATED:
        searched += zlib.decompress(done.data[read_header(done.data).meta.dataset_start :], -15)
    for value in planter.values:
        assert value not in searched
        assert value[2:7] + b"Kan" not in searched
    assert PIXELS in searched
    assert deidentifier.deidentify(done.data).data == done.data
    back = dcmread(BytesIO(done.data))
    assert [element.tag for element in back] == sorted(element.tag for element in back)
    for element in back.iterall():
        assert not element.tag.is_private
    assert back.PatientID == done.PatientID


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("depth", range(6))
def test_every_row_is_obeyed_at_every_depth(
    syntax: str, depth: int, deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    # A sequence that the table lists goes as a whole; its items are tested elsewhere.
    rng = random.Random(depth)
    planter = Planter(node, rng, syntax)
    level = [node(tag, vr, planter.canary()) for tag, vr in TAGS if tag < 0x7FE00010]
    for each in range(depth):
        level = [
            node(0x00081115, b"SQ", items=[level, level], undefined=bool(each & 1)),
        ]
    original = image(*level, _pixel_data(node, syntax), syntax=syntax)
    done = deidentifier.deidentify(original)
    searched = done.data
    if syntax == DEFLATED:
        searched += zlib.decompress(done.data[read_header(done.data).meta.dataset_start :], -15)
    assert b"Kanarie" not in searched
    data_set = dcmread(BytesIO(done.data))
    for _ in range(depth):
        data_set = data_set[0x00081115][1]
    written = {0x00100010, 0x00100020, 0x00120063, 0x00120064, 0x00280303, 0x00120062}
    types = types_of("1.2.840.10008.5.1.4.1.1.2")
    assert types is not None
    present = {tag for tag, _ in TAGS if tag >> 16 > 4} - (written if depth == 0 else set())
    for row in table_e1_1().rows:
        tag = int(row.tag, 16) if re.fullmatch("[0-9A-F]{8}", row.tag) else 0
        if tag not in present:
            continue
        # Deeper down no type is known: what is valid whatever it is.
        wanted = _wanted(row.action, types.get(tag, 3) if depth == 0 else 1)
        found = _done(data_set, tag, deidentifier)
        # A new UID is the dummy of a UID.
        assert found == wanted or (wanted, found) == ("D", "U"), row


def _wanted(code: str, kind: int) -> str:
    """Return the alternative that a type needs (1, 2 or 3), or the only one there is."""
    alternatives = code.split("/")
    order = "XZDU" if len(alternatives) == 1 else _WANTED[kind]
    return next(each for each in order if each in alternatives)


def _done(data_set: Any, tag: int, deidentifier: Deidentifier) -> str:
    """Return what was done with an attribute, in the table's codes."""
    if tag not in data_set:
        return "X"
    if data_set[tag].is_empty:
        return "Z"
    ours = data_set[tag].VR == "UI" and deidentifier.pseudonyms.is_ours_uid(data_set[tag].value)
    return "U" if ours else "D"


def test_file_meta_and_preamble_keep_nothing(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    original = bytearray(
        image(
            meta=[
                node(0x00020013, b"SH", b"KanarieVersion"),
                node(0x00020016, b"AE", b"KANARIE_SRC"),
                node(0x00020017, b"AE", b"KANARIE_SND"),
                node(0x00020100, b"UI", b"1.9.76543.5"),
                node(0x00020102, b"OB", b"Kanarie private"),
            ]
        )
    )
    original[:128] = b"Kanarie ".ljust(128, b"k")
    done = deidentifier.deidentify(bytes(original))
    assert b"anarie" not in done.data.lower()
    assert b"76543" not in done.data
    meta = dcmread(BytesIO(done.data)).file_meta
    assert meta.MediaStorageSOPInstanceUID == done.SOPInstanceUID
    assert sorted(meta.keys()) == [
        0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013,
    ]  # fmt: skip
    length = meta.FileMetaInformationGroupLength
    assert read_header(done.data).meta.dataset_start == 144 + length


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_what_follows_the_items_of_a_sequence_does_not_slip_through(
    syntax: str, deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    # A delimiter where a defined length does not want one, and something behind it.
    end = struct.pack(">HHI" if syntax == BIG_ENDIAN else "<HHI", 0xFFFE, 0xE0DD, 0)
    original = image(node(0x00081115, b"SQ", end + b"Kanarienvogel "), syntax=syntax)
    assert b"Kanarie" not in deidentifier.deidentify(original).data


def test_a_sequence_that_claims_another_vr_goes(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    inside = image(node(0x00081080, b"LO", b"Kanarienvogel"))
    original = image(
        node(0x00081115, b"OB", inside),
        node(0x00400275, b"UN", inside),
        node(0x00080070, b"SQ", items=[[node(0x00081080, b"LO", b"Kanarienvogel")]]),
    )
    done = deidentifier.deidentify(original)
    assert b"Kanarie" not in done.data
    back = dcmread(BytesIO(done.data))
    assert "Manufacturer" not in back
    assert "ReferencedSeriesSequence" not in back


def test_texts_of_a_report_become_dummies_and_its_structure_stays(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    code = [
        node(0x00080100, b"SH", b"121071"),
        node(0x00080102, b"SH", b"DCM"),
        node(0x00080104, b"LO", b"Finding"),
    ]
    content = [
        node(0x0040A010, b"CS", b"CONTAINS"),
        node(0x0040A040, b"CS", b"TEXT"),
        node(0x0040A043, b"SQ", items=[code]),
        node(0x0040A123, b"PN", b"Kanarie^Karl"),
        node(0x0040A160, b"UT", b"Mrs Kanarie has a nodule"),
    ]
    observer = [
        node(0x0040A075, b"PN", b"Kanarie^Karla"),
        node(0x0040A027, b"LO", b"Kanarie Clinic"),
    ]
    who = [[node(0x00080100, b"SH", b"KANARIE7"), node(0x00080104, b"LO", b"Dr Kanarie")]]
    done = deidentifier.deidentify(
        image(
            node(0x0040A073, b"SQ", items=[observer]),
            node(0x0040A730, b"SQ", items=[content, content]),
            node(0x00401101, b"SQ", items=who),
        )
    )
    assert b"kanarie" not in done.data.lower()
    back = dcmread(BytesIO(done.data))
    item = back.ContentSequence[1]
    assert item.ConceptNameCodeSequence[0].CodeMeaning == "Finding"
    assert item.ValueType == "TEXT"
    assert item.TextValue == "**.**"
    assert back.PersonIdentificationCodeSequence[0].CodeValue == "**.**"


CANARIES = (b"Kanarienvogel", b"Doe^Jane", b"HOSP-4711", b"76543")


@settings(max_examples=400, deadline=None)
@given(data=st.data(), syntax=st.sampled_from(SYNTAXES))
def test_damaged_files_are_refused_or_safe(
    data: st.DataObject,
    syntax: str,
    deidentifier: Deidentifier,
    node: Any,
    image: Callable[..., bytes],
) -> None:
    """Whatever a damaged file still is, the values of its identifying elements do not come out.

    A changed tag makes another attribute of an element, a changed length another value: what then
    cannot be told from the standard's own attributes is not looked for.
    """
    nested = [[node(0x00081080, b"LO", b"Kanarienvogel"), node(0x00081155, b"UI", b"1.9.76543.9")]]
    original = bytearray(
        image(node(0x00081115, b"SQ", items=nested, undefined=True), syntax=syntax)
    )
    cut = data.draw(st.one_of(st.just(len(original)), st.integers(0, len(original))))
    damaged = original[:cut]
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            at = data.draw(st.integers(0, len(damaged) - 1))
            damaged[at] = data.draw(st.integers(0, 255))
    try:
        done = deidentifier.deidentify(bytes(damaged))
    except DeidentificationError as error:
        done, message = None, str(error)
    else:
        message = ""
    assert not any(value.decode() in message for value in CANARIES)
    assert done is None or deidentifier.deidentify(done.data).data == done.data


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_cut_is_refused_or_safe(
    syntax: str, deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    nested = [[node(0x00081080, b"LO", b"Kanarienvogel")]]
    original = image(node(0x00081115, b"SQ", items=nested), syntax=syntax)
    refused = 0
    for cut in range(len(original)):
        try:
            done = deidentifier.deidentify(original[:cut])
        except DeidentificationError:
            refused += 1
            continue
        assert not any(value in done.data for value in CANARIES)
    assert refused > len(original) * 0.9


def _identifying(data: bytes) -> list[bytes]:
    """Return the values that must not come out, by pydicom's own reading."""
    try:
        found = dcmread(BytesIO(data), force=True)
        values = [found.get_item(tag) for tag in (0x00100010, 0x00100020, 0x00100030, 0x00080050)]
    except Exception:  # noqa: BLE001 - malformed on purpose: then there is nothing to look for
        return []
    raw = [value.value for value in values if value is not None]
    texts = [value.strip(b" \0") for value in raw if isinstance(value, bytes)]
    # What also stands elsewhere in the original may stay there.
    return [
        text for text in texts if len(text) >= 8 and data.count(text) == 1 and text != b"Anonymous"
    ]


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", ["malformed", "variety", "lidc-idri-0001"])
def test_public_files_are_refused_or_safe(
    folder: str, deidentifier: Deidentifier, shared_dicom: Path
) -> None:
    files = sorted((shared_dicom / folder).rglob("*.dcm"))
    assert files
    done = 0
    for file in files[:400]:
        original = file.read_bytes()
        try:
            result = deidentifier.deidentify(original)
        except DeidentificationError:
            continue
        done += 1
        assert deidentifier.deidentify(result.data).data == result.data, file.name
        header = result.data[: len(result.data) - result.header.pixel_data_length]
        for value in _identifying(original):
            assert value not in header, file.name
    assert (
        done > len(files) * {"malformed": 0.4, "variety": 0.95, "lidc-idri-0001": 1.0}[folder] - 1
    )
