"""Table E.3.10-1 as package data, and what an installation adds to it."""

import json
import re
from importlib import resources

import pytest
from pydicom.datadict import private_dictionary_VR

from preread.deidentify.safe_private import SafePrivate, SafePrivateError, safe_private_table
from preread.elements.encoding import VRS
from preread.errors import PrereadError

_TABLE = json.loads(
    resources.files("preread.deidentify").joinpath("safe-private.json").read_text(encoding="utf-8")
)
# Where pydicom's dictionary, collected from many devices, and the standard's table disagree.
_DISAGREE = {("Philips Imaging DD 001", "2001,xx55"), ("HOLOGIC, Inc.", "7E01,xx02")}


def test_its_rows_are_well_formed() -> None:
    assert _TABLE["Columns"] == ["DataElement", "PrivateCreator", "VR", "VM", "Meaning"]
    assert "E.3.10-1" in _TABLE["Source"]
    assert len(_TABLE["Rows"]) == 479
    for element, creator, vr, vm, meaning in _TABLE["Rows"]:
        assert re.fullmatch("[0-9A-F]{3}[13579BDF],xx[0-9A-F]{2}", element), element
        assert creator == creator.strip() != ""
        assert all(each.encode() in VRS for each in vr.split("/") if each), (element, creator)
        assert re.fullmatch(r"\d(-(\d|n))?", vm), (element, creator)
        assert meaning == meaning.strip()


def test_it_names_no_element_twice() -> None:
    names = [(creator, element) for element, creator, *_ in _TABLE["Rows"]]
    assert len(set(names)) == len(names)
    rows = list(SafePrivate().rows())
    assert len(rows) == len(names)
    assert [(row.creator, row.data_element) for row in rows] == names


def test_the_table_leaves_few_vrs_open() -> None:
    open_vr = [(creator, element) for element, creator, vr, *_ in _TABLE["Rows"] if not vr]
    assert {creator for creator, _ in open_vr} == {"SIEMENS Ultrasound SC2000"}
    assert [element for _, element in open_vr] == [
        "0119,xx11", "0119,xx12", "0129,xx03", "0129,xx04", "0129,xx05"
    ]  # fmt: skip
    assert all(row.vr in VRS for row in safe_private_table())


def test_its_vrs_are_those_that_devices_are_known_to_write() -> None:
    """A second source: pydicom's private dictionary, where it has the element."""
    common, differing = 0, set()
    for row in safe_private_table():
        try:
            vr = private_dictionary_VR(row.group << 16 | 0xFF00 | row.element, row.creator)
        except KeyError:
            continue
        common += 1
        if vr[:2].encode() != row.vr:
            differing.add((row.creator, row.data_element))
    assert common > 200
    assert differing == _DISAGREE


@pytest.mark.parametrize(
    ("creator", "group", "element", "vr"),
    [
        ("Philips PET Private Group", 0x7053, 0x00, b"DS"),
        ("Philips PET Private Group", 0x7053, 0x09, b"DS"),
        ("ELSCINT1", 0x00E1, 0x21, b"DS"),
        ("ELSCINT1", 0x01F1, 0x01, b"CS"),
        ("GEMS_ACQU_01", 0x0019, 0x23, b"DS"),
        ("GEMS_ACQU_01", 0x0019, 0x9E, b"LO"),
        ("GEMS_PARM_01", 0x0043, 0x39, b"IS"),
        ("GEMS_HELIOS_01", 0x0045, 0x02, b"FL"),
        ("GEIIS PACS", 0x0903, 0x10, b"US"),
        ("Philips Imaging DD 001", 0x2001, 0x03, b"FL"),
        ("Philips Imaging DD 001", 0x2001, 0x5F, b"SQ"),
        ("Philips Imaging DD 001", 0x2001, 0x7D, b"OW"),
        ("Philips MR Imaging DD 001", 0x2005, 0x0E, b"FL"),
        ("SIEMENS MR HEADER", 0x0019, 0x0C, b"IS"),
        ("SIEMENS MR HEADER", 0x0019, 0x27, b"FD"),
        ("HOLOGIC, Inc.", 0x7E01, 0x12, b"OB"),
        ("NQHeader", 0x0099, 0x02, b"UI"),
        ("NQRight", 0x0299, 0x16, b"FL"),
        ("SIEMENS Ultrasound SC2000", 0x0119, 0x11, b"UN"),
    ],
)
def test_it_lists_what_the_standard_lists(
    creator: str, group: int, element: int, vr: bytes
) -> None:
    assert SafePrivate().vr(creator, group, element) == vr
    assert SafePrivate().vr(f" {creator} \0", group, element) == vr


def test_all_else_is_unknown() -> None:
    safe = SafePrivate()
    assert safe.vr("SIEMENS MR HEADER", 0x0019, 0x0B) is None
    assert safe.vr("SIEMENS MR HEADER", 0x0021, 0x0C) is None
    assert safe.vr("siemens mr header", 0x0019, 0x0C) is None
    assert safe.vr("SIEMENS CSA HEADER", 0x0029, 0x10) is None
    assert safe.vr("", 0x0019, 0x0C) is None
    assert safe.vr("SIEMENS MR HEADER", 0x0019, 0x100C) is None


def test_an_installation_adds_elements() -> None:
    safe = SafePrivate(
        {
            "ACME 1.0 ": ["0019,xx0C DS", "00e1,xxff us", "0021,xx01"],
            "SIEMENS CSA HEADER": ["0029,xx08"],
        }
    )
    assert safe.vr("ACME 1.0", 0x0019, 0x0C) == b"DS"
    assert safe.vr("ACME 1.0", 0x00E1, 0xFF) == b"US"
    assert safe.vr("ACME 1.0", 0x0021, 0x01) == b"UN"
    assert safe.vr("SIEMENS CSA HEADER", 0x0029, 0x08) == b"CS"  # pydicom knows it
    assert safe.vr("SIEMENS MR HEADER", 0x0019, 0x0C) == b"IS"
    added = [row for row in safe.rows() if not row.in_standard]
    assert [(row.creator, row.data_element, row.vr) for row in added] == [
        ("ACME 1.0", "0019,xx0C", b"DS"),
        ("ACME 1.0", "00E1,xxFF", b"US"),
        ("ACME 1.0", "0021,xx01", b"UN"),
        ("SIEMENS CSA HEADER", "0029,xx08", b"CS"),
    ]
    assert SafePrivate().vr("ACME 1.0", 0x0019, 0x0C) is None


def test_what_is_in_the_table_is_changed_by_a_vr_alone() -> None:
    same = SafePrivate({"HOLOGIC, Inc.": ["7E01,xx02"]})
    assert same.vr("HOLOGIC, Inc.", 0x7E01, 0x02) == b"SH"
    other = SafePrivate({"HOLOGIC, Inc.": ["7E01,xx02 LO"]})
    assert other.vr("HOLOGIC, Inc.", 0x7E01, 0x02) == b"LO"
    assert len(list(other.rows())) == len(safe_private_table())
    assert all(row.in_standard for row in other.rows())


@pytest.mark.parametrize(
    "entry",
    [
        "", "0019", "0018,xx0C", "0019,100C", "(0019,xx0C)", "0019,xx0", "0019,xx0G", "0019 xx0C",
        "0019,xx0C ", "0019,xx0C XX", "0019,xx0C DS DS", "0001,xx0C", "0007,xx0C", "FFFF,xx0C",
        "0019,xx0C\n", "٠019,xx0C",
    ],
)  # fmt: skip
def test_malformed_elements_are_refused_by_name(entry: str) -> None:
    with pytest.raises(SafePrivateError) as caught:
        SafePrivate({"ACME 1.0": ["0019,xx01", entry]})
    assert repr(entry) in str(caught.value)
    assert "ACME 1.0" in str(caught.value)
    assert isinstance(caught.value, PrereadError)


@pytest.mark.parametrize("creator", ["", "  ", "A\\B", "A" * 65, "A\nB"])
def test_malformed_creators_are_refused_by_name(creator: str) -> None:
    with pytest.raises(SafePrivateError) as caught:
        SafePrivate({creator: ["0019,xx01"]})
    assert repr(creator) in str(caught.value)


def test_a_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(SafePrivateError, match="write it as a list"):
        SafePrivate({"ACME 1.0": "0019,xx01"})
