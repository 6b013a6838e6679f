"""``preread explain``, as a person meets it."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from preread.archive.pacs import PacsRefusedError
from preread.cli import app
from preread.connecting import Orthanc

MADE = {
    "ID": "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d",
    "State": "done",
    "Reason": "",
    "Model": "net",
    "Class": "Malignant",
    "Probability": 0.8731,
}


class Answering:
    """An Orthanc that answers what a test wants."""

    def __init__(self, *explanations: dict[str, Any]) -> None:
        self.explanations = explanations
        self.posted: list[tuple[str, Any]] = []

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def post(self, path: str, body: Any) -> Any:
        self.posted.append((path, body))
        if "9.9" in path:
            raise PacsRefusedError("POST: Orthanc answers HTTP 404 (Not Found)")
        return {"Explanations": list(self.explanations)}


@pytest.fixture
def orthanc(monkeypatch: pytest.MonkeyPatch) -> Answering:
    made = Answering(MADE)
    monkeypatch.setattr(Orthanc, "open", lambda _: made)
    monkeypatch.setenv("COLUMNS", "200")
    return made


def explain(*words: str) -> Any:
    return CliRunner().invoke(app, ["explain", "--url", "http://127.0.0.1:1", *words])


def test_what_became_of_it_is_listed(orthanc: Answering) -> None:
    done = explain("1.2", "3.4")
    assert done.exit_code == 0
    assert done.stdout.count(MADE["ID"]) == 2
    assert "87.31" in done.stdout
    assert [path for path, _ in orthanc.posted] == [
        "/preread/instances/1.2/explain",
        "/preread/instances/3.4/explain",
    ]
    assert orthanc.posted[0][1] == {}


@pytest.mark.parametrize(
    ("withheld", "shown"),
    [("unlike its training data", "no class: unlike its training data"), ("", "no class ")],
)
def test_a_class_that_was_not_given_has_no_percentage(
    withheld: str, shown: str, orthanc: Answering
) -> None:
    orthanc.explanations = (MADE | {"Withheld": withheld, "Probability": None},)
    done = explain("1.2")
    assert done.exit_code == 0
    assert shown in done.stdout


def test_what_is_wanted_is_told(orthanc: Answering) -> None:
    assert explain("1.2", "--model", "net", "--class", "Benign", "--frame", "0").exit_code == 0
    assert orthanc.posted[0][1] == {"Models": ["net"], "Class": "Benign", "Frame": 0}


def test_one_that_is_refused_keeps_no_other_from_its_picture(orthanc: Answering) -> None:
    done = explain("9.9", "1.2")
    assert done.exit_code == 1
    assert "9.9: POST: Orthanc answers HTTP 404" in done.stderr
    assert MADE["ID"] in done.stdout


def test_a_picture_that_could_not_be_made_is_a_failure(orthanc: Answering) -> None:
    orthanc.explanations = (MADE | {"ID": None, "State": "failed", "Reason": "no copy"},)
    done = explain("1.2")
    assert done.exit_code == 1
    assert "no copy" in done.stdout
