"""Options, held and quarantined objects, and the way back, in a real Orthanc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from tests.integration.images import PLANTED, ct_series
from tests.integration.pacs import Pacs, eventually

WORDS = ("WINTERBOTTOM", "FEATHERSTONE")


def section(mode: str = "incoming", **deidentify: Any) -> dict[str, Any]:
    """Return the settings of a site that reads nothing: only identities matter here."""
    return {"Deidentify": {"Mode": mode, **deidentify}, "Models": {"Run": []}}


def capture(path: Path, *words: str) -> Path:
    """Write a secondary capture of speckle with words burned into it."""
    noise = np.random.default_rng(1).integers(0, 60, (480, 640), dtype=np.uint8)
    picture = Image.fromarray(noise)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(28)
    for line, word in enumerate(words):
        draw.text((24, 30 + 60 * line), word, fill=255, font=font)
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = "PLANTEDNAME^Jane", "PLANTEDID77"
    dataset.PatientBirthDate, dataset.PatientSex = "19441231", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240229", "235959", "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "PLANTEDACC", ""
    dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = noise.shape
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = np.asarray(picture).tobytes()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def legible(pixels: Any) -> str:
    """Return what tesseract reads."""
    if shutil.which("tesseract") is None:
        pytest.skip("not installed: tesseract-ocr, which judges what is legible")
    picture = BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    command = ["tesseract", "stdin", "stdout", "--psm", "11"]
    done = subprocess.run(command, input=picture.getvalue(), capture_output=True, check=True)
    return done.stdout.decode()


def only(pacs: Pacs) -> Dataset:
    """Wait for the one instance and return it."""
    (instance,) = eventually(pacs.instances, 120, f"an instance; {pacs.runner_log()[-1500:]}")
    return pydicom.dcmread(BytesIO(pacs.file(instance)))


def nothing_planted_in(pacs: Pacs) -> None:
    """Search every file of the node."""
    for path in pacs.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for value in (*PLANTED, *WORDS):
                assert value.encode() not in content, (path, value)


def test_options_of_the_configuration_are_applied(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    names = ["RetainLongitudinalModifiedDates", "CleanDescriptors", "RetainPatientCharacteristics"]
    pacs = make_pacs(section(Options=names)).start()
    series = ct_series(tmp_path / "ct", 2)
    moments = [("20240229", "235959.5"), ("20240301", "000001.5")]
    for path, (date, time) in zip(series.files, moments, strict=True):
        dataset = pydicom.dcmread(path)
        dataset.AcquisitionDate, dataset.AcquisitionTime = date, time
        dataset.SeriesDescription, dataset.PatientAge = "Chest PLANTEDNAME 1.5 mm", "079Y"
        dataset.save_as(path)
    pacs.send(series.files)
    found = [pydicom.dcmread(BytesIO(pacs.file(each))) for each in pacs.instances()]
    found.sort(key=lambda each: each.AcquisitionDate + each.AcquisitionTime)
    first, second = (
        datetime.strptime(each.AcquisitionDate + each.AcquisitionTime, "%Y%m%d%H%M%S.%f").replace(
            tzinfo=UTC
        )
        for each in found
    )
    assert second - first == timedelta(seconds=2)
    assert first.year < 2024 or first.month == 1
    assert {each.SeriesDescription for each in found} == {"Chest 1.5 mm"}
    assert {each.PatientAge for each in found} == {"079Y"}
    codes = {item.CodeValue for item in found[0].DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113105", "113107", "113108"}
    nothing_planted_in(pacs)
    lines = (pacs.own_folder / "audit.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert found[0].SOPInstanceUID in "".join(lines)
    one_patient_whoever_fills_in_the_issuer(pacs, tmp_path / "later.dcm", series.files[0])


def one_patient_whoever_fills_in_the_issuer(pacs: Pacs, later: Path, first: Path) -> None:
    """Send an object of the same study that says more, after a restart."""
    dataset = pydicom.dcmread(first)
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.IssuerOfPatientID = "PLANTEDPLACE"
    dataset.Modality = "X PLANTEDNAME"
    dataset.save_as(later)
    pacs.stop()
    pacs.start()
    pacs.send([later])
    assert len(pacs.instances()) == 3
    assert len(pacs.get("/patients")) == len(pacs.get("/studies")) == 1
    stored = [pydicom.dcmread(BytesIO(pacs.file(each))) for each in pacs.instances()]
    assert len({each.AcquisitionDate + each.AcquisitionTime for each in stored}) == 2
    modalities = {
        pacs.get(f"/series/{each}")["MainDicomTags"].get("Modality", "")
        for each in pacs.get("/series")
    }
    assert modalities == {"CT", ""}
    nothing_planted_in(pacs)


def test_text_in_pixels_is_gone_before_orthanc_stores_it(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs(section(Options=["CleanPixelData"])).start()
    file = capture(tmp_path / "capture.dcm", *WORDS)
    before = pydicom.dcmread(file).pixel_array
    assert all(word in legible(before) for word in WORDS)
    pacs.send([file])
    stored = only(pacs)
    assert not any(word[:5] in legible(stored.pixel_array) for word in WORDS)
    assert stored.BurnedInAnnotation == "NO"
    codes = {item.CodeValue for item in stored.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113101"}
    changed = before != stored.pixel_array
    assert changed[:10].sum() == changed[200:].sum() == 0
    others = np.ones(before.shape, bool)
    others[14:150, 8:360] = False  # the two lines of text, with a margin
    assert (~changed[others]).mean() >= 0.99
    eventually(lambda: pacs.get("/preread/quarantine") == [], 20)
    nothing_planted_in(pacs)
    # A resend, and the stored file itself sent once more, change nothing.
    pacs.send([file])
    eventually(lambda: pacs.get("/preread/quarantine") == [], 60)
    assert pacs.upload(pacs.file(pacs.instances()[0])).json()["ID"] == pacs.instances()[0]
    assert only(pacs).SOPInstanceUID == stored.SOPInstanceUID


def test_what_is_held_survives_kills_of_everything(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs(section(Options=["CleanPixelData"])).start()
    eventually(pacs.runner_pid, 60, "a runner")
    files = [capture(tmp_path / f"{number}.dcm", WORDS[0]) for number in range(3)]
    pacs.send(files)
    os.kill(pacs.runner_pid(), signal.SIGKILL)
    pacs.kill()
    pacs.start()
    eventually(lambda: len(pacs.instances()) == 3, 180, "three instances")
    for instance in pacs.instances():
        assert pydicom.dcmread(BytesIO(pacs.file(instance))).BurnedInAnnotation == "NO"
    eventually(lambda: pacs.get("/preread/quarantine") == [], 30)
    nothing_planted_in(pacs)


def test_pixels_that_cannot_be_cleaned_go_to_the_quarantine(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs(section(Options=["CleanPixelData"])).start()
    file = capture(tmp_path / "capture.dcm", WORDS[0])
    dataset = pydicom.dcmread(file)
    # The frame is half as wide as the header says, which only decoding tells.
    half, stream = Image.fromarray(dataset.pixel_array[:, :320]), BytesIO()
    half.save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(file, enforce_file_format=True)
    pacs.send([file])
    (entry,) = eventually(
        lambda: [e for e in pacs.get("/preread/quarantine") if e["State"] == "quarantined"], 120
    )
    assert entry["Reason"]
    assert not any(value in json.dumps(entry) for value in PLANTED)
    assert pacs.instances() == []
    answer = pacs.http.post(f"/preread/quarantine/{entry['ID']}/retry")
    assert answer.status_code == 202
    (again,) = eventually(
        lambda: [
            e
            for e in pacs.get("/preread/quarantine")
            if e["State"] == "quarantined" and e["Time"] != entry["Time"]
        ],
        120,
    )
    assert again["ID"] == entry["ID"]  # it is there once, however often it is tried
    assert pacs.http.delete(f"/preread/quarantine/{again['ID']}").status_code == 200
    assert pacs.http.delete(f"/preread/quarantine/{again['ID']}").status_code == 404
    assert pacs.get("/preread/quarantine") == []
    nothing_planted_in(pacs)


def test_a_quarantine_takes_what_would_be_refused(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs(section(Quarantine={"Enabled": True})).start()
    (file,) = ct_series(tmp_path / "ct", 1).files
    dataset = pydicom.dcmread(file)
    dataset.SOPClassUID = dataset.SOPInstanceUID
    dataset.save_as(file)
    sent = file.read_bytes()
    answer = pacs.upload(sent)
    assert answer.status_code == 200
    assert not answer.json().get("ID")
    (entry,) = pacs.get("/preread/quarantine")
    assert entry["State"] == "quarantined"
    status = pacs.get("/preread/status")
    assert (status["Held"], status["Quarantined"], status["Refused"]) == (0, 1, 1)
    assert 'preread_kept_objects{state="quarantined"} 1.0' in pacs.http.get("/preread/metrics").text
    assert "repeats the SOPInstanceUID" in entry["Reason"]
    assert pacs.instances() == []
    target = tmp_path / "back.dcm"
    command = [sys.executable, "-m", "preread", "quarantine", "export", entry["ID"], str(target)]
    subprocess.run([*command, "--config", str(pacs.configuration)], check=True)
    assert target.read_bytes() == sent
    assert target.stat().st_mode & 0o777 == 0o600
    target.unlink()
    assert "PLANTED" not in pacs.log.read_text()
    nothing_planted_in(pacs)


def test_a_copy_has_clean_pixels_and_the_original_is_untouched(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs(section("copy", Options=["CleanPixelData"])).start()
    file = capture(tmp_path / "capture.dcm", *WORDS)
    pacs.send([file])
    eventually(lambda: len(pacs.instances()) == 2, 120, f"a copy; {pacs.runner_log()[-1500:]}")
    found = [pydicom.dcmread(BytesIO(pacs.file(each))) for each in pacs.instances()]
    (original,) = (each for each in found if each.PatientID == "PLANTEDID77")
    (copy,) = (each for each in found if each.PatientID != "PLANTEDID77")
    assert original.PixelData == pydicom.dcmread(file).PixelData
    assert not any(word[:5] in legible(copy.pixel_array) for word in WORDS)
    assert copy.BurnedInAnnotation == "NO"


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a recipient with openssl; return certificate and key."""
    paths = folder / "recipient.pem", folder / "recipient.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=recipient", "-out", str(paths[0]), "-keyout", str(paths[1])],
        check=True, capture_output=True,
    )  # fmt: skip
    return paths


def test_who_holds_the_key_gets_the_original_back(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    public, private = certificate(tmp_path)
    pacs = make_pacs(
        {"Deidentify": {"Mode": "incoming", "Recipients": [str(public)]}}, name="sealed"
    ).start()
    series = ct_series(tmp_path / "ct", 1)
    pacs.send(series.files)
    pacs.wait_until_read()
    nothing_planted_in(pacs)
    stored = tmp_path / "stored.dcm"
    stored.write_bytes(pacs.file(pacs.instances()[0]))
    command = [sys.executable, "-m", "preread", "reidentify", str(stored), "--output"]
    command += [str(tmp_path / "back"), "--certificate", str(public), "--key", str(private)]
    subprocess.run(command, check=True)
    before = pydicom.dcmread(series.files[0])
    after = pydicom.dcmread(tmp_path / "back" / f"{before.SOPInstanceUID}.dcm")
    results = {element.tag for element in after if element.tag.group == 0x0055}
    assert results, "the predictions stay"
    for element in before:
        assert after[element.tag].value == element.value, element.tag
    assert {e.tag for e in after} - {e.tag for e in before} - results <= {0x0018A001}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            section(Options=["RetainLongitudinalFullDates", "RetainLongitudinalModifiedDates"]),
            "exclude each other",
        ),
        (section("copy", Options=["RetainUIDs"]), "would take the original's place"),
        (section(Options=["CleanEverything"]), "Preread.Deidentify.Options"),
        (section(Recipients=["missing.pem"]), "missing.pem"),
        (section(Options=["RetainSafePrivate"], SafePrivate={"ACME": ["18,xx"]}), "ACME"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(
    make_pacs: Callable[..., Pacs], settings: dict[str, Any], words: str
) -> None:
    pacs = make_pacs(settings)
    process = pacs.launch()
    assert process.wait(60) != 0
    log = pacs.log.read_text()
    assert words in log
    assert "Traceback" not in log
