"""``preread serve-iodeep``: a process of its own on a port of this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from preread.cli import app
from preread.errors import SettingsError
from preread.iodeep.weights import HashOfFile
from preread.iodeep.writing import encode
from preread.service.command import Role, check_of
from preread.service.networks import FolderNetworks
from preread.settings import site_from
from tests.ports import free_port
from tests.unit.iodeep.toy_networks import pointwise
from tests.unit.service.conftest import UID, image


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "expected --folder or --orthanc, and not both"),
        (["--folder", ".", "--orthanc", "http://127.0.0.1:8042"], "and not both"),
        (["--orthanc", "file:///etc/passwd"], "--orthanc: expected an address"),
        (["--folder", ".", "--prediction-url", "prediction"], "--prediction-url: expected"),
    ],
)
def test_what_makes_no_service_is_refused(options: list[str], words: str) -> None:
    outcome = CliRunner().invoke(app, ["serve-iodeep", *options])
    assert isinstance(outcome.exception, SettingsError)
    assert words in str(outcome.exception)


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    outcome = CliRunner().invoke(app, ["serve-iodeep", "--folder", str(tmp_path)])
    assert isinstance(outcome.exception, SettingsError)
    # Not by its name from PyPI: nobody here owns that name.
    assert "pip install '.[service]'" in str(outcome.exception)


@pytest.mark.parametrize(
    ("role", "offered"),
    [(Role.BOTH, [UID]), (Role.PREDICTION, [UID]), (Role.DISCOVERY, [UID, "1.2.3"])],
)
def test_what_cannot_be_run_is_not_offered(
    folder: Path, tmp_path: Path, role: Role, offered: list[str]
) -> None:
    """Discovery alone need not have the weights; what cannot be built nobody can run."""
    elsewhere = pointwise(32, 48, DnnUID="1.2.3")
    (folder / "elsewhere.dcm").write_bytes(
        encode(replace(elsewhere, DnnWeights=HashOfFile("a" * 64)))
    )
    strange = pointwise(32, 48, DnnUID="1.2.4")
    text = strange.DnnArchitecture
    assert isinstance(text, str)
    (folder / "strange.dcm").write_bytes(
        encode(replace(strange, DnnArchitecture=text.replace("cnn2d", "cnn9d")))
    )
    site = site_from({"Preread": {"Models": {"Folder": str(tmp_path)}}}, tmp_path)
    found = FolderNetworks(folder, check_of(site, role)).all()
    assert sorted(one.DnnUID for one in found) == sorted(offered)


def test_it_answers(folder: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "preread", "serve-iodeep", "--folder", str(folder)]
    with subprocess.Popen(
        [*command, "--port", str(port), "--models", str(tmp_path)], stderr=subprocess.PIPE
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                await_answer(client, process)
                assert client.get("/iodeep").json()[0]["DnnUID"] == UID
                header = {"Content-Type": "application/dicom"}
                predict = f"/iodeep/{UID}/predict"
                told = client.post(predict, content=image(), headers=header).json()
                assert [region["AreaPixels"] for region in told["Regions"]] == [64]
                assert client.post(predict, content=b"x", headers=header).status_code == 400
        finally:
            process.terminate()
            _, said = process.communicate(timeout=60)
    assert process.returncode in (0, -15)
    assert b"Traceback" not in said


def await_answer(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < ends:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"the service does not answer, or ended: {process.poll()}")
