"""The containers from outside: Orthanc with Preread, and IODeep's services beside it.

In one file, so that one process of pytest starts them, once.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from preread.demo.phantom import write_chest_series
from preread.demo.pictures import write_pictures
from preread.demo.reading import images, outcomes, status, wait_until_read
from preread.demo.sender import send
from preread.iodeep.files_prediction import regions_of_files
from preread.iodeep.opening import FOLDER, WeightsFolder
from preread.iodeep.prediction import Predictor
from preread.iodeep.reading import decode
from preread.phantom import Kind, make_volume
from preread.phantom.writing import write_phantom
from tests.docker.conftest import IMAGE, PASSWORD, ROOT, Container
from tests.integration.pacs import eventually

NETWORK = ROOT / "models" / FOLDER / "unet-small-mr-head.dcm"
HEAD = {"Modality": "MR", "SamplesPerPixel": "1", "BodyPartExamined": "HEAD"}


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
    write_pictures(write_chest_series(tmp_path, seed=7, slices=3))
    assert send(container.node, tmp_path).stored == 6
    wait_until_read(container.orthanc)
    ended = outcomes(container.orthanc)
    assert {outcome.state for outcome in ended} == {"done"}
    studies = {outcome.StudyInstanceUID for outcome in ended}
    found = list(images(container.dicomweb, studies))
    assert len(found) == 6
    names = status(container.orthanc)["Models"]
    models = [container.orthanc.get(f"/preread/models/{name}").json()["Name"] for name in names]
    for image in found:
        assert [result.Model for result in image.results] == models
        for result in image.results:
            whole = round(sum(percentage for _, percentage in result.classes), 2)
            assert whole == (0 if result.Withheld else 100.0)
        assert "SYNTHETIC" not in image.PatientID
    reason = "made for pictures, not for Hounsfield units"
    assert sum({one.Withheld for one in image.results} == {reason} for image in found) == 3


def test_the_image_is_small_enough(
    container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    size = int(_docker("image", "inspect", "-f", "{{.Size}}", IMAGE).stdout) / 1e6
    with capsys.disabled():
        print(f"\nimage: {size:.0f} MB")  # noqa: T201
    assert size <= 1200


def test_memory_and_processes_are_limited_and_what_ends_starts_again(container: Container) -> None:
    told = _docker(
        *("inspect", "-f"),
        "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}",
        container.name,
    )
    assert told.stdout.split() == [str(6 * 2**30), "1024", "unless-stopped"]


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


def answers(url: str) -> Callable[[], bool]:
    def there() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    return there


@pytest.fixture
def services(container: Container, ports: dict[str, int]) -> tuple[str, str]:
    """Return where discovery and prediction answer, once Orthanc has looked at its networks."""
    urls = tuple(
        f"http://127.0.0.1:{ports[name]}" for name in ("DISCOVERY_PORT", "PREDICTION_PORT")
    )
    for url in urls:
        eventually(answers(url), 300, url)
    shipped = len(list(NETWORK.parent.glob("*.dcm")))
    eventually(
        lambda: status(container.orthanc)["Networks"].get("valid") == shipped, 300, "networks"
    )
    return urls[0], urls[1]


def test_a_network_is_found_by_discovery_and_predicts_as_inside(
    container: Container, services: tuple[str, str], tmp_path: Path
) -> None:
    discovery, prediction = services
    network = decode(NETWORK.read_bytes())
    found = httpx.get(f"{discovery}/iodeep", params=HEAD, timeout=30).json()
    inside = container.orthanc.get("/preread/iodeep", params=HEAD).json()
    assert found["DnnUID"] == inside["DnnUID"] == network.DnnUID
    ultrasound = httpx.get(f"{discovery}/iodeep", params=HEAD | {"Modality": "US"}, timeout=30)
    assert ultrasound.json()["DnnUID"] is None

    written = write_phantom(make_volume(Kind.BRAIN, 11), tmp_path)
    predictor = Predictor(WeightsFolder(ROOT / "models"))
    files = [path.read_bytes() for path in written.images]
    there = regions_of_files(predictor, network, files, max_bytes=10**8).regions
    assert there, "the phantom has a lesion that the network finds"
    [number] = {region.frame for region in there[:1]}
    expected = [region for region in there if region.frame == number]
    told = httpx.post(
        f"{prediction}/iodeep/{network.DnnUID}/predict",
        content=files[number],
        headers={"Content-Type": "application/dicom"},
        timeout=120,
    )
    assert told.status_code == 200, told.text
    outside = told.json()["Regions"]
    assert len(outside) == len(expected)
    # Another build of torch rounds otherwise.
    for one, region in zip(outside, expected, strict=True):
        centre = np.array(one["Polygon"]).mean(axis=0)
        assert np.abs(centre - region.polygon.mean(axis=0)).max() < 0.5
        assert one["Score"] == pytest.approx(region.score, abs=0.02)
