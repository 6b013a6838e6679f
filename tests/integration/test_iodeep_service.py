"""The service beside a real Orthanc: it offers the networks that Orthanc trusts, and no more."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
from starlette.testclient import TestClient

from preread.archive.pacs import OrthancPacs
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor
from preread.iodeep.writing import encode
from preread.service.application import Offer, application
from preread.service.networks import OrthancNetworks
from tests.integration.test_iodeep import Start, listed, preread, start  # noqa: F401 - a fixture
from tests.unit.iodeep.toy_networks import pointwise
from tests.unit.service.conftest import image


def test_what_orthanc_trusts_is_offered_and_runs_on_its_images(
    start: Start,  # noqa: F811
    tmp_path: Path,
) -> None:
    pacs = start()
    sees = pointwise(32, 48, DnnUID="1.2.7", WindowCenter=500.0, WindowWidth=1000.0)
    blind = pointwise(32, 48, DnnUID="1.2.8", bias=-100.0)
    for name, network, user in (
        ("sees", sees, ("alice", "secret")),
        ("blind", blind, ("bob", "secret")),
    ):
        file = tmp_path / f"{name}.dcm"
        file.write_bytes(encode(network))
        preread(pacs, "push", file, "--url", pacs.url, user=user)
    states = {each["State"] for each in listed(pacs, 2)}
    assert states == {"valid", "untrusted"}
    with OrthancPacs(pacs.url, username="alice", password="secret") as orthanc:
        networks = OrthancNetworks(orthanc, tmp_path / "models")
        predictor = Predictor(WeightsFolder(tmp_path / "models"))
        with TestClient(application(networks, predictor, Offer())) as client:
            assert [each["DnnUID"] for each in client.get("/iodeep").json()] == ["1.2.7"]
            told = client.get("/iodeep?Modality=CT&SamplesPerPixel=1&BodyPartExamined=CHEST").json()
            assert told["DnnUID"] == "1.2.7"
            header = {"Content-Type": "application/dicom", "Accept": "application/dicom"}
            answer = client.post(told["Candidates"][0]["Predict"], content=image(), headers=header)
            assert pydicom.dcmread(io.BytesIO(answer.content)).Modality == "RTSTRUCT"
