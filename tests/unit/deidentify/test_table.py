"""Table E.1-1 as package data."""

import re

from pydicom.datadict import dictionary_description, dictionary_has_tag

from preread.deidentify.profile import CONTENT_SEQUENCE
from preread.deidentify.table import PRIVATE, table_e1_1


def test_it_holds_all_rows_of_both_editions() -> None:
    table = table_e1_1()
    assert len(table.rows) == 621 + 35
    assert "2024b" in table.edition
    assert "2026c" in table.edition
    tags = [row.tag for row in table.rows]
    assert len(set(tags)) == len(tags)
    assert tags[-1] == PRIVATE
    assert all(re.fullmatch("[0-9A-Fx]{8}", tag) for tag in tags[:-1])


def test_its_codes_are_the_standards() -> None:
    rows = table_e1_1().rows
    assert {row.action for row in rows} == {
        "D", "Z", "X", "U", "X/Z", "X/D", "X/Z/D", "Z/D", "X/Z/U*"
    }  # fmt: skip
    assert {code for row in rows for code in row.options.values()} == {"K", "C"}
    assert {option for row in rows for option in row.options} == {
        "RetainSafePrivate",
        "RetainUIDs",
        "RetainDeviceIdentity",
        "RetainInstitutionIdentity",
        "RetainPatientCharacteristics",
        "RetainLongitudinalFullDates",
        "RetainLongitudinalModifiedDates",
        "CleanDescriptors",
        "CleanStructuredContent",
        "CleanGraphics",
    }


def test_its_names_are_those_of_the_dictionary() -> None:
    known = [
        row for row in table_e1_1().rows if "x" not in row.tag and row.tag != PRIVATE
        if dictionary_has_tag(int(row.tag, 16))
    ]  # fmt: skip
    equal = [
        row for row in known if dictionary_description(int(row.tag, 16)).lower() == row.name.lower()
    ]
    assert len(known) > 600
    assert len(equal) > 0.97 * len(known)
    assert {row.tag: row.action for row in known}[f"{CONTENT_SEQUENCE:08X}"] == "D"
