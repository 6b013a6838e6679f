"""What is broken, foreign or huge is refused or left unread, and everything else goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless, generate_uid

from tests.integration.images import Series, ct_series
from tests.integration.pacs import ROOT, Pacs

SHARED = ROOT.parent / "shared" / "data" / "dicom"


@pytest.fixture
def pacs(shared_pacs: Pacs) -> Pacs:
    return shared_pacs


def base_pixels(series: Series) -> bytes:
    """Return the pixel data of a series' first image."""
    pixels: bytes = pydicom.dcmread(series.files[0]).PixelData
    return pixels


def bad_files(folder: Path) -> dict[str, Path]:
    """Write one file per kind of trouble."""
    base = ct_series(folder / "base", 1)
    whole = base.files[0].read_bytes()

    def changed(name: str, **attributes: object) -> Path:
        dataset = pydicom.dcmread(base.files[0])
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in attributes.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        path = folder / f"{name}.dcm"
        dataset.save_as(path)
        return path

    files = {
        "no pixel data": changed("none", PixelData=None),
        "zero rows": changed("zero", Rows=0),
        "a huge claim": changed("huge", Rows=40000, Columns=40000),
        "short pixel data": changed("short", PixelData=b"\0" * 64),
        "a damaged frame": changed("damaged"),
        "unknown transfer syntax": changed("syntax"),
        "frames that nobody counts": changed("frames", PixelData=base_pixels(base) * 3),
        "pixels in a private attribute": changed("private", PixelData=None),
        "no number for a slope": changed("slope", RescaleSlope="1.00000"),
        "truncated": folder / "truncated.dcm",
        "text": folder / "text.dcm",
        "empty": folder / "empty.dcm",
    }
    damage(files["a damaged frame"])
    syntax = files["unknown transfer syntax"]
    syntax.write_bytes(
        syntax.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0", 1)
    )
    slope = files["no number for a slope"]
    slope.write_bytes(slope.read_bytes().replace(b"1.00000 ", b"1.#QNAN "))
    private = pydicom.dcmread(files["pixels in a private attribute"])
    private.add_new(0x07A10010, "LO", "ELSCINT1")
    private.add_new(0x07A1100A, "OB", b"\1\2" * 500)
    private.save_as(files["pixels in a private attribute"])
    files["truncated"].write_bytes(whole[: len(whole) * 2 // 3])
    files["text"].write_text("this is no DICOM file")
    files["empty"].write_bytes(b"")
    return files


def damage(path: Path) -> None:
    """Put a frame in RLE into a file, whose header is right and whose segments hold too little."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = RLELossless
    offsets = b"".join(number.to_bytes(4, "little") for number in (2, 64, 70))
    dataset.PixelData = encapsulate([offsets.ljust(64, b"\0") + bytes(12)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


def test_each_kind_of_trouble_is_told_and_the_good_image_is_read(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs().start()
    outcome = {}
    for name, file in bad_files(tmp_path / "bad").items():
        answer = pacs.upload(file.read_bytes())
        assert answer.status_code in (200, 400), (name, answer.text)
        assert "Traceback" not in answer.text
        outcome[name] = answer.status_code
    assert outcome["truncated"] == outcome["text"] == 400
    assert outcome["frames that nobody counts"] == outcome["pixels in a private attribute"] == 400
    refused = [failure["Reason"] for failure in pacs.get("/preread/failures")]
    assert any("more frames than NumberOfFrames" in reason for reason in refused)
    assert any("(07A1,100A)" in reason or "Rows and Columns" in reason for reason in refused)
    pacs.send(ct_series(tmp_path / "good", 2).files)
    jobs = pacs.wait_until_read()
    assert jobs["done"] == 2
    accepted = [name for name, status in outcome.items() if status == 200]
    told = [
        job for state in ("failed", "unread") for job in pacs.get("/preread/jobs", status=state)
    ]
    assert len(told) == len(accepted)
    assert all(len(job["Reason"]) > 10 for job in told)
    assert any("RescaleSlope (0028,1053) had a value" in job["Reason"] for job in told)
    assert pacs.runner_pid()


def test_a_failed_job_can_be_retried_and_nothing_else(pacs: Pacs, tmp_path: Path) -> None:
    files = bad_files(tmp_path / "bad")
    assert pacs.upload(files["a damaged frame"].read_bytes()).status_code == 200
    pacs.wait_until_read()
    job = (pacs.get("/preread/jobs", status="failed") + pacs.get("/preread/jobs", status="unread"))[
        0
    ]
    answer = pacs.http.post(f"/preread/jobs/{job['ID']}/retry")
    assert answer.status_code == 200, answer.text
    pacs.wait_until_read()
    assert pacs.get(f"/preread/jobs/{job['ID']}")["State"] == job["State"]
    pacs.send(ct_series(tmp_path / "good", 1).files)
    pacs.wait_until_read()
    done = pacs.get("/preread/jobs", status="done")[0]
    assert pacs.http.post(f"/preread/jobs/{done['ID']}/retry").status_code == 409
    assert pacs.http.get(f"/preread/jobs/{done['ID']}/retry").status_code == 405


@pytest.mark.parametrize("name", ["reportsi.dcm", "rtplan.dcm", "rtstruct.dcm", "waveform_ecg.dcm"])
def test_what_is_no_image_passes_deidentified_and_unread(pacs: Pacs, name: str) -> None:
    path = get_testdata_file(name)
    if path is None:
        pytest.skip(f"pydicom does not package {name} here")
    assert pacs.upload(Path(str(path)).read_bytes()).status_code == 200
    assert pacs.wait_until_read()["unread"] == 1
    stored = pydicom.dcmread(pydicom.filebase.DicomBytesIO(pacs.file(pacs.instances()[0])))
    assert stored.PatientIdentityRemoved == "YES"
    assert pacs.get("/preread/jobs")[0]["Reason"]


def test_pictures_become_secondary_captures(pacs: Pacs) -> None:
    import base64
    import io

    import numpy as np
    from PIL import Image

    grey = Image.fromarray(np.linspace(0, 255, 128 * 128).reshape(128, 128).astype(np.uint8))
    for kind in ("PNG", "JPEG"):
        buffer = io.BytesIO()
        grey.save(buffer, kind)
        uri = f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
        tags = {"PatientID": "PLANTEDID77", "Modality": "CT", "BodyPartExamined": "CHEST"}
        answer = pacs.http.post("/preread/images", json={"Content": uri, "Tags": tags})
        assert answer.status_code == 200, answer.text
        assert answer.json()["ID"] in pacs.instances()
    jobs = pacs.wait_until_read()
    assert jobs["done"] == 2
    # No model would be chosen for a picture of which nothing is said: it is not stored unread.
    for content in (buffer.getvalue(), json.dumps({"Content": uri}).encode()):
        answer = pacs.http.post("/preread/images", content=content)
        assert answer.status_code == 400, answer.text
        assert '"Tags": {"Modality": "CT"}' in answer.json()["Details"]
    assert len(pacs.instances()) == 2
    for content in (b"", b"no picture", b"\x89PNG\r\n\x1a\n", b'{"Content": 1}', b'{"Odd": 1}'):
        answer = pacs.http.post("/preread/images", content=content)
        assert answer.status_code == 400, answer.text
        assert "Traceback" not in answer.text


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("folder", ["malformed", "variety"])
def test_everything_odd_at_once(pacs: Pacs, tmp_path: Path, folder: str) -> None:
    files = sorted(
        file
        for file in (SHARED / folder).rglob("*")
        if file.is_file() and file.suffix not in (".json", ".csv", ".md")
    )
    if not files:
        pytest.skip(f"{SHARED / folder} is not on this machine")
    accepted = 0
    for number, file in enumerate(files):
        if number % 2:
            accepted += pacs.send([file], check=False)
        else:
            answer = pacs.upload(file.read_bytes())
            assert answer.status_code in (200, 400), (file.name, answer.text)
            accepted += answer.status_code == 200
        if number % 25 == 0:
            assert pacs.answers()
    assert accepted
    pacs.send(ct_series(tmp_path / "good", 2).files)
    jobs = pacs.wait_until_read(600)
    assert jobs["done"] >= 2
    for state in ("failed", "unread"):
        for job in pacs.get("/preread/jobs", status=state, limit=10_000):
            assert len(job["Reason"]) > 5
            assert "Traceback" not in job["Reason"]
    for refusal in pacs.get("/preread/failures"):
        assert "unexpected" not in refusal["Reason"], refusal
