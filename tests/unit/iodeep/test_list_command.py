"""``preread iodeep list``, as a person meets it."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from preread.cli import app
from preread.connecting import Orthanc
from preread.errors import SettingsError


class Answering:
    """An Orthanc with one network, which is for every image."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def json(self, path: str, query: Any) -> Any:
        self.asked.append((path, query))
        candidate = {"DnnUID": "1.2", "DnnName": "chest", "Fits": True, "FailedOn": None}
        return {"DnnUID": "1.2", "Warning": "", "Candidates": [candidate | {"Reason": "CHEST"}]}


@pytest.fixture
def orthanc(monkeypatch: pytest.MonkeyPatch) -> Answering:
    made = Answering()
    monkeypatch.setattr(Orthanc, "open", lambda _self: made)
    return made


def list_networks(*words: str) -> Any:
    return CliRunner().invoke(app, ["iodeep", "list", "--url", "http://127.0.0.1:1", *words])


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (
            ["--study-description", "CT Thorax"],
            {"Modality": "CT", "SamplesPerPixel": "1", "StudyDescription": "CT Thorax"},
        ),
        (
            ["--body-part", "CHEST", "--study-description", "x", "--samples-per-pixel", "3"],
            {
                "Modality": "CT",
                "SamplesPerPixel": "3",
                "BodyPartExamined": "CHEST",
                "StudyDescription": "x",
            },
        ),
    ],
)
def test_an_image_is_asked_about_as_over_rest(
    orthanc: Answering, words: list[str], query: dict[str, str]
) -> None:
    done = list_networks("--modality", "CT", *words)
    assert done.exit_code == 0, done.output
    assert orthanc.asked == [("/preread/iodeep", query)]
    assert "chosen" in done.stdout


@pytest.mark.parametrize("option", ["--body-part", "--study-description"])
@pytest.mark.parametrize("instance", [[], ["--instance", "1.2"]])
def test_what_an_image_says_needs_its_modality(
    orthanc: Answering, option: str, instance: list[str]
) -> None:
    done = list_networks(option, "HEAD", *instance)
    assert isinstance(done.exception, SettingsError)
    assert f"{option}: expected --modality" in str(done.exception)
    assert orthanc.asked == []
