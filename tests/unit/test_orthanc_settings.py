"""What Preread takes from the settings of Orthanc itself, in the words of each version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preread.errors import SettingsError
from preread.settings import site_from


@pytest.mark.parametrize("told", [True, "Always", "IfChanged"])
def test_words_for_overwriting_are_those_of_orthanc(told: object, tmp_path: Path) -> None:
    incoming: dict[str, Any] = {"Preread": {"Deidentify": {"Mode": "incoming"}}}
    site = site_from({"OverwriteInstances": told, **incoming}, tmp_path)
    assert site.orthanc.overwrite_instances
    # An original could be replaced.
    with pytest.raises(SettingsError, match="set OverwriteInstances: false"):
        site_from({"OverwriteInstances": told, "Preread": {}}, tmp_path)


@pytest.mark.parametrize("told", [False, "Never"])
def test_words_for_keeping_are_those_of_orthanc(told: object, tmp_path: Path) -> None:
    assert not site_from({"OverwriteInstances": told}, tmp_path).orthanc.overwrite_instances
    incoming: dict[str, Any] = {"Preread": {"Deidentify": {"Mode": "incoming"}}}
    with pytest.raises(SettingsError, match="needs OverwriteInstances: true"):
        site_from({"OverwriteInstances": told, **incoming}, tmp_path)


def test_another_word_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="OverwriteInstances"):
        site_from({"OverwriteInstances": "Sometimes"}, tmp_path)
