"""The whole way of a region: a network arrives, a series, its proposal, a decision, in Orthanc."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from preread.iodeep.making import safetensors_of
from preread.iodeep.region import pixels_within
from preread.iodeep.writing import encode
from preread.results.structure_set import regions_of
from tests.integration.pacs import Pacs, eventually
from tests.unit.iodeep.conftest import arrays as arrays  # noqa: PLC0414 - fixtures
from tests.unit.iodeep.conftest import prototype as prototype  # noqa: PLC0414 - fixtures
from tests.unit.iodeep.conftest import weights as weights  # noqa: PLC0414
from tests.unit.iodeep.toy_networks import UID, document, pointwise
from tests.unit.runner.test_network_checking import in_base64

SIDE, SPACING = 128, (0.7, 0.8)
CENTRE, RADIUS = (70.0, 48.0), 14.0
"""Row and column, in pixels of the slices; the disc is on slices 2 to 4."""


def disc() -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: NDArray[np.bool_] = np.hypot(rows - CENTRE[0], columns - CENTRE[1]) <= RADIUS
    return inside


def slices(folder: Path, numbers: Sequence[int], series: str, study: str) -> list[Path]:
    """Write CT slices that lie oblique in the patient; a description alone tells the part."""
    folder.mkdir(exist_ok=True)
    across, down = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    files = []
    for number in numbers:
        dataset = Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.PatientName, dataset.PatientID = "PLANTEDNAME^Jane", "PLANTEDID77"
        dataset.PatientBirthDate, dataset.PatientSex = "19441231", "F"
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260102", "101112", "1"
        dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
        dataset.StudyDescription = "CT Thorax low dose"
        dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.SeriesNumber, dataset.InstanceNumber = 1, number
        dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[study])
        dataset.ImagePositionPatient = (
            np.array([-40.0, -30, 20]) + 5.0 * number * np.cross(across, down)
        ).tolist()
        dataset.ImageOrientationPatient = [*across.tolist(), *down.tolist()]
        dataset.PixelSpacing, dataset.SliceThickness = list(SPACING), 5
        dataset.Rows = dataset.Columns = SIDE
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = 1
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1000, 1, "HU"
        shown = disc() if 2 <= number <= 4 else np.zeros((SIDE, SIDE), dtype=bool)
        # Every slice has pixels of its own.
        pixels = np.where(shown, 1200, 200).astype("<i2")
        pixels[0, 0] = number
        dataset.PixelData = pixels.tobytes()
        path = folder / f"{number}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def network(**facts: Any) -> bytes:
    """Make a network that outlines what is brighter than 0 HU."""
    return encode(pointwise(SIDE, SIDE, WindowCenter=0.0, WindowWidth=800.0, **facts))


@pytest.fixture
def start(make_pacs: Callable[..., Pacs], tmp_path: Path) -> Callable[..., Pacs]:
    models = tmp_path / "models"
    models.mkdir()

    def started(*trusted: bytes, mode: str = "incoming", **results: Any) -> Pacs:
        section = {
            "Deidentify": {"Mode": mode},
            "Models": {"Folder": str(models)},
            "IODeep": {
                "AllowedSHA256": [hashlib.sha256(data).hexdigest() for data in trusted],
                "Proposals": {"QuietSeconds": 2},
            },
            "Results": results,
        }
        return make_pacs(section).start()

    return started


def proposals(pacs: Pacs, count: int = 1, status: str = "proposed") -> list[dict[str, Any]]:
    """Return the proposals of a status, once so many are there."""

    def there() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = pacs.get("/preread/proposals", status=status)
        return found if len(found) == count else None

    found: list[dict[str, Any]] = eventually(
        there, 90, f"{count} {status}; {pacs.runner_log()[-1500:]}"
    )
    return found


def retrieved(pacs: Pacs, told: dict[str, Any]) -> Dataset:
    """Get an object as a viewer does."""
    return pacs.dicomweb().retrieve_instance(
        told["StudyInstanceUID"], told["SeriesInstanceUID"], told["SOPInstanceUID"]
    )


def sources(pacs: Pacs, proposal: dict[str, Any]) -> list[Dataset]:
    full = pacs.get(f"/preread/proposals/{proposal['SOPInstanceUID']}")
    return [pydicom.dcmread(BytesIO(pacs.file(image["ID"]))) for image in full["Images"]]


def distance(polygon: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Return the mean distance of a line from a mask's edge, in pixels."""
    inner = mask & ~(
        np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
    )
    edge = np.argwhere(inner)[:, ::-1].astype(float)
    return float(np.linalg.norm(polygon[:, None] - edge[None], axis=2).min(axis=1).mean())


def errors_of(folder: Path, dataset: Dataset) -> list[str]:
    """Return what dciodvfy finds wrong."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    path = folder / "checked.dcm"
    dataset.save_as(path, enforce_file_format=True)
    run = subprocess.run(["dciodvfy", path], capture_output=True, check=False, timeout=60)
    return [line for line in run.stderr.decode().splitlines() if line.startswith("Error")]


def test_a_region_from_the_series_arrival_to_the_approved_structure_set(
    start: Callable[..., Pacs], tmp_path: Path
) -> None:
    data = network()
    pacs = start(data)
    series, study = generate_uid(), generate_uid()
    assert pacs.upload(data).status_code == 200
    files = slices(tmp_path / "ct", [3, 1, 2, 5], series, study)
    pacs.send(files)
    [proposal] = proposals(pacs)
    assert (proposal["Regions"], proposal["Network"]["DnnUID"]) == (2, UID)

    stored, images = retrieved(pacs, proposal), sources(pacs, proposal)
    assert stored.SOPClassUID == RTStructureSetStorage
    assert stored.ApprovalStatus == "UNAPPROVED"
    assert b"PLANTED" not in pacs.file(proposal["ID"])
    assert [int(image.InstanceNumber) for image in images] == [1, 2, 3, 5]
    numbers = {str(image.SOPInstanceUID): int(image.InstanceNumber) for image in images}
    drawn = regions_of(stored, images)
    assert sorted(numbers[one.SOPInstanceUID] for one in drawn) == [2, 3]
    for one in drawn:
        assert distance(one.polygon, disc()) < 1
        # In whole thousandths of a millimetre; pixels whose centre lies on the line may go over.
        wrong = pixels_within(one.polygon, SIDE, SIDE) ^ disc()
        assert wrong.sum() <= 0.02 * disc().sum()
    assert errors_of(tmp_path, stored) == []

    # A slice that was late takes the proposal's place.
    pacs.send(slices(tmp_path / "late", [4], series, study))
    eventually(lambda: proposals(pacs)[0]["Regions"] == 3, 90, pacs.runner_log()[-1500:])
    [proposal] = proposals(pacs)
    eventually(lambda: len(pacs.dicomweb().search_for_instances(
        search_filters={"Modality": "RTSTRUCT"}, study_instance_uid=proposal["StudyInstanceUID"]
    )) == 1, 60)  # fmt: skip

    reviewed = pacs.http.post(
        f"/preread/proposals/{proposal['SOPInstanceUID']}/review",
        json={
            "Version": 0,
            "Reviewer": "Roe^Richard",
            "Regions": [{"Region": 2, "Decision": "reject"}],
            "Others": "accept",
            "Comment": "vessel",
        },
    )
    assert reviewed.status_code == 200, reviewed.text
    approved = retrieved(pacs, proposal | {"SOPInstanceUID": reviewed.json()["SOPInstanceUID"]})
    assert approved.ApprovalStatus == "APPROVED"
    assert approved.ReviewerName == "Roe^Richard"
    assert approved.ReviewDate
    assert approved.ReviewTime
    assert approved.SeriesInstanceUID == proposal["SeriesInstanceUID"]
    kept = regions_of(approved, sources(pacs, proposal))
    assert len(kept) == 2
    assert all(distance(one.polygon, disc()) < 1 for one in kept)
    assert errors_of(tmp_path, approved) == []
    again = pacs.http.post(
        f"/preread/proposals/{proposal['SOPInstanceUID']}/review",
        json={"Version": 0, "Reviewer": "Doe^Jane", "Others": "reject"},
    )
    assert again.status_code == 409


def test_a_network_of_the_prototypes_layout_runs(
    start: Callable[..., Pacs], tmp_path: Path, prototype: Callable[..., bytes]
) -> None:
    described = document(["cnn2d"], SIDE, SIDE, convolutional={"cn1": 1}, kernel={"kernel1": 1})
    arrays = {
        "layers.1.0.weight": np.full((1, 1, 1, 1), 40, np.float32),
        "layers.1.0.bias": np.full(1, -20, np.float32),
    }
    data = prototype(
        str(described),
        in_base64(safetensors_of(arrays)),
        Modality="CT",
        BodyPartExamined="Chest",
        Rows=str(SIDE),
        Columns=str(SIDE),
    )
    pacs = start(data)
    assert pacs.upload(data).status_code == 200
    pacs.send(slices(tmp_path / "ct", [2], generate_uid(), generate_uid()))
    [proposal] = proposals(pacs)
    assert (proposal["Regions"], proposal["Network"]["Name"]) == (1, "unet_mri")
    [one] = regions_of(retrieved(pacs, proposal), sources(pacs, proposal))
    assert distance(one.polygon, disc()) < 1


def test_one_slice_on_request_and_none_where_no_network_is(
    start: Callable[..., Pacs], tmp_path: Path
) -> None:
    data = network()
    pacs = start(data, mode="copy", AttachToOriginal=True)
    series, study = generate_uid(), generate_uid()
    pacs.send(slices(tmp_path / "ct", [2, 3], series, study))
    pacs.wait_until_read()
    [instance] = [
        one["ID"]
        for one in pacs.get("/instances", expand="")
        if one["MainDicomTags"]["SOPInstanceUID"]
        == pydicom.dcmread(tmp_path / "ct" / "2.dcm").SOPInstanceUID
    ]
    refused = pacs.http.post(f"/preread/instances/{instance}/propose", json={})
    assert refused.status_code == 409
    assert "no network" in refused.json()["Details"]
    assert pacs.upload(data).status_code == 200
    eventually(lambda: [n["State"] for n in pacs.get("/preread/iodeep")] == ["valid"], 60)
    asked = pacs.http.post(f"/preread/instances/{instance}/propose", json={})
    assert asked.status_code == 200, asked.text
    assert (asked.json()["Regions"], asked.json()["DnnUID"]) == (1, UID)
    found = pacs.get(f"/preread/proposals/{asked.json()['Proposal']}")
    assert found["StudyInstanceUID"] != study
    attached = pydicom.dcmread(BytesIO(pacs.file(found["Attached"])))
    assert attached.StudyInstanceUID == study
    assert attached.PatientID == "PLANTEDID77"
    named = pacs.http.post(f"/preread/iodeep/{UID}/predict", json={"Series": series})
    assert named.status_code == 200, named.text
    assert named.json()["Regions"] == 2
