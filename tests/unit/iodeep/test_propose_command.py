"""``preread iodeep propose``, as a person meets it."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from preread.archive.pacs import PacsRefusedError
from preread.cli import app
from preread.connecting import Orthanc


class Answering:
    """An Orthanc whose network finds two regions in every series but one."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, Any]] = []

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def post(self, path: str, body: Any) -> Any:
        self.posted.append((path, body))
        if "/9.9/" in path:
            raise PacsRefusedError("POST: Orthanc answers HTTP 409: no network is for this image")
        found = "/3.4/" not in path
        return {
            "State": "done",
            "DnnUID": "1.2.826",
            "Regions": 2 if found else 0,
            "Proposal": "2.25.77" if found else None,
        }


@pytest.fixture
def orthanc(monkeypatch: pytest.MonkeyPatch) -> Answering:
    made = Answering()
    monkeypatch.setattr(Orthanc, "open", lambda _self: made)
    return made


def propose(*words: str) -> Any:
    return CliRunner().invoke(app, ["iodeep", "propose", "--url", "http://127.0.0.1:1", *words])


def test_what_was_found_is_listed(orthanc: Answering) -> None:
    done = propose("1.2", "3.4")
    assert done.exit_code == 0, done.output
    assert [path for path, _ in orthanc.posted] == [
        "/preread/series/1.2/propose",
        "/preread/series/3.4/propose",
    ]
    assert [body for _, body in orthanc.posted] == [{}, {}]
    assert done.stdout.count("2.25.77") == 1
    assert done.stdout.count("1.2.826") == 2


def test_one_image_and_one_network_may_be_named(orthanc: Answering) -> None:
    assert propose("1.2", "--instance", "--network", "1.2.826").exit_code == 0
    assert orthanc.posted == [("/preread/instances/1.2/propose", {"DnnUID": "1.2.826"})]


def test_one_that_is_refused_keeps_no_other_from_its_turn(orthanc: Answering) -> None:
    done = propose("9.9", "1.2")
    assert done.exit_code == 1
    assert "9.9: POST: Orthanc answers HTTP 409" in done.stderr
    assert "2.25.77" in done.stdout
