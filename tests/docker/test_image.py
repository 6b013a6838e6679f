"""The container image, from outside."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx

from preread.demo.phantom import write_chest_series
from preread.demo.reading import images, outcomes, status, wait_until_read
from preread.demo.sender import send
from tests.docker.conftest import IMAGE, PASSWORD, Container


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


def _processes(container: Container) -> list[str]:
    """Return a line for each: pid, uid and command line."""
    told = _docker("top", container.name, "-eo", "pid,uid,args")
    lines = told.stdout.splitlines()[1:]
    assert lines, told.stderr
    return lines


def test_an_image_sent_from_outside_comes_back_with_its_prediction(
    container: Container, tmp_path: Path
) -> None:
    write_chest_series(tmp_path, seed=7, slices=3)
    assert send(container.node, tmp_path).stored == 3
    wait_until_read(container.orthanc)
    ended = outcomes(container.orthanc)
    assert {outcome.state for outcome in ended} == {"done"}
    studies = {outcome.StudyInstanceUID for outcome in ended}
    found = list(images(container.dicomweb, studies))
    assert len(found) == 3
    names = status(container.orthanc)["Models"]
    models = [container.orthanc.get(f"/preread/models/{name}").json()["Name"] for name in names]
    for image in found:
        assert [result.Model for result in image.results] == models
        for result in image.results:
            assert round(sum(percentage for _, percentage in result.classes), 2) == 100.0
        assert "SYNTHETIC" not in image.PatientID


def test_nobody_is_let_in_without_a_password(container: Container) -> None:
    for path in ("/system", "/preread/status", "/dicom-web/studies"):
        assert httpx.get(container.node.url + path).status_code == 401
        wrong = httpx.get(container.node.url + path, auth=("alice", "wrong"))
        assert wrong.status_code == 401


def test_everything_runs_as_an_ordinary_user(container: Container) -> None:
    processes = _processes(container)
    assert {line.split()[1] for line in processes} == {"10042"}
    assert any("Orthanc" in line for line in processes)
    assert any("preread runner" in line for line in processes)


def test_passwords_are_in_no_command_line_and_no_log(container: Container) -> None:
    logged = _docker("logs", container.name)
    assert "Orthanc has started" in logged.stdout + logged.stderr
    assert PASSWORD not in "".join([*_processes(container), logged.stdout, logged.stderr])


def test_it_does_not_start_without_users(container: Container) -> None:
    done = _docker("run", "--rm", IMAGE)
    assert done.returncode == 1
    assert done.stderr.startswith("preread: no users: PREREAD_USERS must hold")
    assert done.stderr.count("\n") == 1
