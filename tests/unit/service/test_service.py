"""Discovery and prediction over REST."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from preread.imaging import open_image
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor, pixels_within
from preread.iodeep.reading import decode
from preread.iodeep.writing import encode
from preread.results.structure_set import regions_of
from preread.service.upload import UploadLimits
from tests.unit.iodeep.toy_networks import answering, pointwise
from tests.unit.service.conftest import UID, Serve, image, related

DICOM = {"Content-Type": "application/dicom"}
PREDICT = f"/iodeep/{UID}/predict"


def refused(answer: Any, status: int, words: str) -> None:
    """Check that an error has Orthanc's form and tells no more than it should."""
    assert answer.status_code == status
    told = answer.json()
    assert set(told) == {"Details", "HttpError", "HttpStatus", "Message", "Method", "Uri"}
    assert told["HttpStatus"] == status
    assert words in told["Details"]
    assert "Traceback" not in answer.text


def test_networks_are_listed_with_where_they_predict(serve: Serve) -> None:
    (told,) = serve().get("/iodeep").json()
    assert (told["DnnUID"], told["Modality"], told["WindowWidth"]) == (UID, "CT", 1000)
    assert told["Predict"] == PREDICT
    assert serve().get(f"/iodeep/{UID}").json() == told


def test_discovery_says_which_network_an_image_is_for_and_why(serve: Serve) -> None:
    query = {"Modality": "CT", "SamplesPerPixel": "1", "StudyDescription": "Thorax"}
    told = serve().get("/iodeep", params=query).json()
    assert told["DnnUID"] == UID
    assert told["Candidates"][0]["Predict"] == PREDICT
    told = serve().get("/iodeep", params=query | {"Modality": "MR"}).json()
    assert told["DnnUID"] is None
    assert told["Candidates"][0]["FailedOn"] == "Modality"
    assert told["Warning"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Modality=CT", "SamplesPerPixel"),
        ("Modality=CT&SamplesPerPixel=many", "SamplesPerPixel"),
        ("Modality=CT&SamplesPerPixel=1&Url=http://x", "?Url"),
        (f"Modality={'C' * 300}&SamplesPerPixel=1", "Modality"),
    ],
)
def test_other_questions_are_refused(serve: Serve, query: str, words: str) -> None:
    refused(serve().get(f"/iodeep?{query}"), 400, words)


def test_an_image_is_answered_with_its_regions(serve: Serve) -> None:
    told = serve().post(PREDICT, content=image(3), headers=DICOM).json()
    assert (told["Images"], told["Frames"], told["DnnUID"]) == (1, 1, UID)
    (region,) = told["Regions"]
    assert (region["SOPInstanceUID"], region["FrameNumber"]) == (f"{UID}.3", 1)
    assert (region["AreaPixels"], region["AreaSquareMillimetres"]) == (64, 16)
    mask = np.zeros((32, 48), bool)
    mask[4:12, 23:31] = True
    assert np.array_equal(pixels_within(np.array(region["Polygon"]), 32, 48), mask)


def test_the_answer_is_that_of_the_predictor_inside(
    serve: Serve, folder: Path, tmp_path: Path
) -> None:
    files = [image(number) for number in (1, 2, 3)]
    body, header = related(*files)
    told = serve().post(PREDICT, content=body, headers=header).json()
    network = decode((folder / "bright.dcm").read_bytes())
    frames = [open_image(file, max_bytes=10**6).frame(0) for file in files]
    inside = Predictor(WeightsFolder(tmp_path)).regions(network, frames, pixel_area=0.25)
    assert len(told["Regions"]) == len(inside) == 3
    for outside, region in zip(told["Regions"], inside, strict=True):
        assert outside["SOPInstanceUID"] == f"{UID}.{region.frame + 1}"
        assert np.array(outside["Polygon"]) == pytest.approx(region.polygon, abs=1e-4)
        assert (outside["Score"], outside["AreaPixels"]) == (region.score, region.area)


def test_images_with_and_without_spacing_have_their_own_smallest_area(serve: Serve) -> None:
    """64 pixels of 0.2 x 0.2 mm are below 4 square millimetres; without a size they are enough."""
    body, header = related(image(1, PixelSpacing=[0.2, 0.2]), image(2, PixelSpacing=None), image(3))
    told = serve().post(PREDICT, content=body, headers=header).json()
    assert [region["SOPInstanceUID"][-1] for region in told["Regions"]] == ["2", "3"]
    assert [region["AreaSquareMillimetres"] for region in told["Regions"]] == [None, 16]


def test_a_structure_set_is_given_on_demand(serve: Serve) -> None:
    files = [image(number) for number in (1, 2)]
    body, header = related(*files)
    answer = serve().post(PREDICT, content=body, headers=header | {"Accept": "application/dicom"})
    assert answer.headers["Content-Type"] == "application/dicom"
    dataset = dcmread(io.BytesIO(answer.content))
    assert (dataset.Modality, dataset.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
    drawn = regions_of(dataset, [dcmread(io.BytesIO(file)) for file in files])
    told = serve().post(PREDICT, content=body, headers=header).json()["Regions"]
    assert len(drawn) == len(told) == 2
    for one, other in zip(drawn, told, strict=True):
        assert one.polygon == pytest.approx(np.array(other["Polygon"]), abs=1e-3)
    again = serve().post(PREDICT, content=body, headers=header | {"Accept": "application/dicom"})
    assert dcmread(io.BytesIO(again.content)).SOPInstanceUID == dataset.SOPInstanceUID


def test_without_regions_there_is_no_structure_set(serve: Serve) -> None:
    dark = image(1, RescaleIntercept=-2000)
    answer = serve().post(PREDICT, content=dark, headers=DICOM | {"Accept": "application/dicom"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_what_has_no_place_in_the_patient_or_is_of_two_series_makes_no_structure_set(
    serve: Serve,
) -> None:
    accept = DICOM | {"Accept": "application/dicom"}
    nowhere = image(1, ImagePositionPatient=None)
    refused(serve().post(PREDICT, content=nowhere, headers=accept), 422, "ImagePositionPatient")
    body, header = related(image(1), image(2, SeriesInstanceUID="1.2.3"))
    answer = serve().post(PREDICT, content=body, headers=header | {"Accept": "application/dicom"})
    refused(answer, 400, "one series")


@pytest.mark.parametrize(
    ("body", "header", "status", "words"),
    [
        (b"", DICOM, 400, "empty"),
        (b"no image", DICOM, 400, "no DICOM"),
        (b"{}", {"Content-Type": "application/json"}, 415, "application/dicom"),
        (b"{}", {"Content-Type": "multipart/related"}, 400, "boundary"),
        (b"--edge\r\n\r\nx", related()[1], 400, "does not end"),
        (b"--edge\r\nno end of head\r\n--edge--", related()[1], 400, "no end of its header"),
        (related(b"x", kind=b"text/plain")[0], related()[1], 415, "parts of type"),
        (b"\r\n--edge--", related()[1], 400, "one DICOM instance or more"),
        (b"x", DICOM | {"Accept": "text/html"}, 406, "Accept"),
        (b"x" * 1001, DICOM, 413, "1000 bytes"),
        (b"--edge\r\n\r\n" * 200 + b"--edge--", related()[1], 413, "1000 bytes"),
    ],
)
def test_other_requests_are_refused(
    serve: Serve, body: bytes, header: dict[str, str], status: int, words: str
) -> None:
    client = serve(upload=UploadLimits(bytes=1000))
    refused(client.post(PREDICT, content=body, headers=header), status, words)


def test_a_body_of_unknown_length_is_read_no_further_than_it_may_be_long(serve: Serve) -> None:
    sent = []

    def chunks() -> Any:
        for number in range(100):
            sent.append(number)
            yield b"x" * 100

    answer = serve(upload=UploadLimits(bytes=1000)).post(PREDICT, content=chunks(), headers=DICOM)
    refused(answer, 413, "1000 bytes")


def test_an_image_that_is_larger_than_allowed_is_refused(serve: Serve) -> None:
    answer = serve(max_image_bytes=100).post(PREDICT, content=image(), headers=DICOM)
    refused(answer, 400, "take")


def test_unknown_networks_paths_and_methods(serve: Serve) -> None:
    client = serve()
    refused(client.post("/iodeep/1.2.3/predict", content=b"x", headers=DICOM), 404, "DnnUID")
    refused(client.get("/iodeep/../etc"), 404, "")
    refused(client.get("/elsewhere"), 404, "no such resource")
    refused(client.delete("/iodeep"), 405, "")


def test_a_network_that_cannot_run_says_why(serve: Serve, folder: Path) -> None:
    (folder / "classes.dcm").write_bytes(encode(answering([1.0, 2.0, 3.0])))
    (folder / "bright.dcm").unlink()
    answer = serve().post(PREDICT, content=image(), headers=DICOM)
    refused(answer, 422, "neither masks nor boxes")


def test_what_nobody_foresaw_is_answered_without_its_words(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("Doe^Jane")

    monkeypatch.setattr(Predictor, "regions", fails)
    answer = serve().post(PREDICT, content=image(), headers=DICOM)
    refused(answer, 500, "unexpected")
    assert "Doe" not in answer.text


def test_files_that_come_change_go_or_are_no_networks(serve: Serve, folder: Path) -> None:
    client = serve()
    (folder / "broken.dcm").write_bytes(b"no network")
    (folder / "image.dcm").write_bytes(image())
    (folder / "elsewhere.dcm").symlink_to("/etc/hostname")
    (folder / "other.dcm").write_bytes(encode(pointwise(8, 8, DnnUID="1.2.3")))
    assert {one["DnnUID"] for one in client.get("/iodeep").json()} == {UID, "1.2.3"}
    (folder / "other.dcm").write_bytes(encode(pointwise(8, 8, DnnUID="1.2.3", DnnName="newer")))
    assert client.get("/iodeep/1.2.3").json()["DnnName"] == "newer"
    (folder / "other.dcm").unlink()
    assert {one["DnnUID"] for one in client.get("/iodeep").json()} == {UID}


def test_discovery_and_prediction_apart(serve: Serve) -> None:
    discovery = serve(prediction=False, prediction_url="http://prediction:8055")
    (told,) = discovery.get("/iodeep").json()
    assert told["Predict"] == f"http://prediction:8055{PREDICT}"
    refused(discovery.post(PREDICT, content=image(), headers=DICOM), 404, "no such resource")
    prediction = serve(discovery=False)
    refused(prediction.get("/iodeep"), 404, "no such resource")
    assert prediction.post(PREDICT, content=image(), headers=DICOM).status_code == 200
    assert serve(prediction=False).get("/iodeep").json()[0]["Predict"] is None


def test_the_openapi_document_tells_it_all(serve: Serve) -> None:
    told = serve().get("/openapi.json").json()
    assert set(told["paths"]) == {
        "/health", "/iodeep", "/iodeep/{DnnUID}", "/iodeep/{DnnUID}/predict",
    }  # fmt: skip
    post = told["paths"]["/iodeep/{DnnUID}/predict"]["post"]
    assert "application/dicom" in post["requestBody"]["content"]
    assert set(post["responses"]["200"]["content"]) == {"application/json", "application/dicom"}
    assert serve().get("/docs").status_code == 404, "its page would be loaded from elsewhere"
    assert serve().get("/health").json()["Name"] == "Preread IODeep"
