"""IODeep's services in containers of their own: found by discovery, and the answers of inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from preread.iodeep.files_prediction import regions_of_files
from preread.iodeep.opening import FOLDER, WeightsFolder
from preread.iodeep.prediction import Predictor
from preread.iodeep.reading import decode
from preread.phantom import Kind, make_volume
from preread.phantom.writing import write_phantom
from tests.docker.conftest import ROOT, Container
from tests.integration.pacs import eventually

NETWORK = ROOT / "models" / FOLDER / "unet-small-mr-head.dcm"
HEAD = {"Modality": "MR", "SamplesPerPixel": "1", "BodyPartExamined": "HEAD"}


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
    status = "/preread/status"
    eventually(
        lambda: container.orthanc.get(status).json()["Networks"].get("valid") == shipped,
        300,
        "networks",
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
    images = [path.read_bytes() for path in written.images]
    there = regions_of_files(predictor, network, images, max_bytes=10**8).regions
    assert there, "the phantom has a lesion that the network finds"
    [number] = {region.frame for region in there[:1]}
    expected = [region for region in there if region.frame == number]
    told = httpx.post(
        f"{prediction}/iodeep/{network.DnnUID}/predict",
        content=images[number],
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
