"""Variables in a configuration: what is not set is never taken for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preread.errors import SettingsError
from preread.settings import site_from
from preread.variables import check_files, expanded, named_by

KEYS = frozenset({"Preread", "RegisteredUsers"})


def test_what_is_set_or_has_a_default_is_put_in_its_place() -> None:
    told = {"A": ["${X}-${Y:-b}", {"B": "${Z:-}"}], "N": 3, "EMPTY": "${E}"}
    found = expanded(told, {"X": "a", "E": ""})
    assert found == {"A": ["a-b", {"B": ""}], "N": 3, "EMPTY": ""}


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"Ledger": {"Url": "postgresql://u:${UNSET_HERE}@db/x"}}, "Preread.Ledger.Url"),
        (
            {"Deidentify": {"Recipients": ["a", "${UNSET_HERE}"]}},
            r"Preread.Deidentify.Recipients\[1\]",
        ),
    ],
)
def test_what_is_not_set_is_named_with_its_key(
    section: dict[str, Any], where: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=rf"^{where}: .*UNSET_HERE is not set"):
        site_from({"Preread": section}, tmp_path)


def test_keys_that_are_not_ours_may_hold_what_they_like(tmp_path: Path) -> None:
    site_from({"Name": "${UNSET_HERE}", "OverwriteInstances": False}, tmp_path)


def test_files_that_orthanc_has_expanded_already_are_looked_at_again(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text('{ // "${UNSET_IN_A_COMMENT}"\n "Preread": {"Folder": "${SET}"} }')
    assert check_files(file, KEYS, {"SET": "x"}) == []
    with pytest.raises(SettingsError, match=r"^Preread\.Folder: the variable SET is not set"):
        check_files(tmp_path, KEYS, {})
    file.write_text('{"RegisteredUsers": {"alice": "${SECRET}"}}')
    with pytest.raises(SettingsError, match=r"^RegisteredUsers\.alice: "):
        check_files(file, KEYS, {})
    file.write_text("${SECRET} nonsense")
    assert check_files(file, KEYS, {}) == ["orthanc.json"]


def test_the_configuration_is_the_one_that_orthanc_was_started_on(tmp_path: Path) -> None:
    folder = tmp_path / "configuration"
    folder.mkdir()
    assert named_by(["Orthanc", "--verbose", str(folder), ""], tmp_path) == folder
    assert named_by(["Orthanc", "--version"], tmp_path) == tmp_path
