"""Table E.1-1 as package data."""

import json
import re
from pathlib import Path

import pytest
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


OPTIONS = {
    "rtnSafePrivOpt": "RetainSafePrivate",
    "rtnUIDsOpt": "RetainUIDs",
    "rtnDevIdOpt": "RetainDeviceIdentity",
    "rtnInstIdOpt": "RetainInstitutionIdentity",
    "rtnPatCharsOpt": "RetainPatientCharacteristics",
    "rtnLongFullDatesOpt": "RetainLongitudinalFullDates",
    "rtnLongModifDatesOpt": "RetainLongitudinalModifiedDates",
    "cleanDescOpt": "CleanDescriptors",
    "cleanStructContOpt": "CleanStructuredContent",
    "cleanGraphOpt": "CleanGraphics",
}
NOT_ACTIONS = {"name", "tag", "id", "stdCompIOD", "basicProfile"}


def _tag(source: str) -> str:
    if source.endswith("IS ODD"):
        return PRIVATE
    return source.strip("()").replace(",", "").replace("X", "x")


@pytest.mark.shared_data
def test_it_is_the_standards_in_every_row_and_column() -> None:
    folder = Path(__file__).parents[4] / "shared" / "data" / "ps3.15"
    if not folder.is_dir():
        pytest.skip("the published table is not beside the project")
    source = [
        row
        for name in ("table-e1-1-2024b.json", "table-e1-1-2026c-additions.json")
        for row in json.loads((folder / name).read_text(encoding="utf-8"))
    ]
    # A name may come with a note: in a line of its own.
    expected = {
        _tag(row["tag"]): (
            row["name"].splitlines()[0],
            row["basicProfile"],
            {OPTIONS[key]: code for key, code in row.items() if key not in NOT_ACTIONS},
        )
        for row in source
    }
    assert len(expected) == len(source)
    assert {row.tag: (row.name, row.action, row.options) for row in table_e1_1().rows} == expected
