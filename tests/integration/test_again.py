"""Resends, corrections, deletions and objects that come back while images are read."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import RTStructureSetStorage, generate_uid

from preread.results import read_block
from tests.integration.images import Series, ct_series
from tests.integration.pacs import Pacs, eventually
from tests.integration.test_main_way import assert_each_read_once

Maker = Callable[..., Pacs]

MODELS = ("MobileNetV2-CT-Scan", "MobileNetV2-IQ-OTHNCCD")
"""Two with one backbone: what matters here is how often an image is read, not by how many."""


SETTINGS: dict[str, Any] = {
    "Deidentify": {"Mode": "incoming"},
    "Models": {"Run": list(MODELS)},
}


@pytest.fixture(scope="module")
def shared_settings() -> dict[str, Any]:
    return SETTINGS


@pytest.fixture
def pacs(shared_pacs: Pacs) -> Pacs:
    return shared_pacs


@pytest.fixture
def own_pacs(make_pacs: Maker) -> Pacs:
    """Return a running Orthanc that no other test has seen, nor will see."""
    return make_pacs(SETTINGS).start()


def corrected(series: Series, folder: Path) -> list[Path]:
    """Return the same instances with other pixels."""
    folder.mkdir()
    files = []
    for file in series.files:
        dataset = pydicom.dcmread(file)
        dataset.PixelData = (dataset.pixel_array // 2 + 7).tobytes()
        dataset.save_as(folder / file.name)
        files.append(folder / file.name)
    return files


def pixels(pacs: Pacs) -> dict[int, bytes]:
    """Return the pixel data of all instances by InstanceNumber."""
    found = {}
    for instance in pacs.instances():
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(pacs.file(instance)))
        found[int(dataset.InstanceNumber)] = dataset.PixelData
    return found


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_corrected_resend_ends_with_one_block_on_the_newer_pixels(
    pacs: Pacs, tmp_path: Path, when: str
) -> None:
    series = ct_series(tmp_path / "ct", 16, size=256)
    newer = corrected(series, tmp_path / "newer")
    pacs.send(series.files)
    if when == "after":
        pacs.wait_until_read()
    send_again(pacs, newer)
    pacs.wait_until_read()
    assert_each_read_once(pacs, 16, MODELS)
    assert pixels(pacs) == {int(d.InstanceNumber): d.PixelData for d in map(pydicom.dcmread, newer)}


def test_the_same_resent_many_times_while_it_is_read(pacs: Pacs, tmp_path: Path) -> None:
    series = ct_series(tmp_path / "ct", 4, size=256)
    for _ in range(6):
        send_again(pacs, series.files)
    pacs.wait_until_read()
    assert_each_read_once(pacs, 4, MODELS)


@pytest.mark.parametrize("level", ["instances", "studies"])
def test_what_is_deleted_while_it_waits_or_is_read_stays_deleted(
    pacs: Pacs, tmp_path: Path, level: str
) -> None:
    for round_number in range(5):
        series = ct_series(tmp_path / str(round_number), 6, size=256, seed=round_number)
        pacs.send(series.files)
        time.sleep(0.03 * round_number)
        for resource in pacs.get(f"/{level}"):
            assert pacs.http.delete(f"/{level}/{resource}").status_code == 200
        pacs.wait_until_read()
        assert pacs.instances() == []
    time.sleep(1)
    assert pacs.instances() == []


def test_a_deleted_instance_that_is_sent_again_lives(pacs: Pacs, tmp_path: Path) -> None:
    series = ct_series(tmp_path / "ct", 1)
    pacs.send(series.files)
    pacs.http.delete(f"/instances/{pacs.instances()[0]}")
    pacs.send(series.files)
    pacs.wait_until_read()
    assert_each_read_once(pacs, 1, MODELS)


def test_identified_originals_of_before_are_not_changed(make_pacs: Maker, tmp_path: Path) -> None:
    """They were stored in another mode; the node is now one that de-identifies what arrives."""
    before = make_pacs({"Deidentify": {"Mode": "off"}, "Predictions": {"Placement": "derived"}})
    before.start().send(ct_series(tmp_path / "ct", 2).files)
    before.wait_until_read()
    originals = {instance: before.file(instance) for instance in before.instances()}
    before.stop()

    pacs = make_pacs().start()
    for study in pacs.get("/studies"):
        answer = pacs.http.post(f"/preread/studies/{study}/analyze", json={}, timeout=120)
        assert answer.status_code == 200, answer.text
        told = {one["Reason"] for one in answer.json()["Instances"]}
        assert all("this node did not de-identify it" in reason for reason in told), told
    pacs.wait_until_read()
    assert {instance: pacs.file(instance) for instance in pacs.instances()} == originals


def stored_image(pacs: Pacs) -> Dataset:
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(pacs.file(pacs.instances()[0])))


def structured_report(image: Dataset) -> Dataset:
    """Return a Comprehensive SR that a viewer might save, on a pseudonymous image."""
    observer = highdicom.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=highdicom.sr.PersonObserverIdentifyingAttributes(
            name="PLANTEDDOCTOR^John"
        ),
    )
    report = highdicom.sr.MeasurementReport(
        observation_context=highdicom.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[
            highdicom.sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=highdicom.sr.TrackingIdentifier(
                    uid=highdicom.UID(), identifier="Region 1"
                ),
                source_images=[
                    highdicom.sr.SourceImageForMeasurementGroup.from_source_image(image)
                ],
            )
        ],
    )
    return highdicom.sr.ComprehensiveSR(
        evidence=[image],
        content=report,
        series_number=9,
        series_instance_uid=highdicom.UID(),
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="A viewer",
        is_complete=True,
    )


def structure_set(image: Dataset) -> Dataset:
    """Return an RT Structure Set that a viewer might save, on a pseudonymous image."""
    result = Dataset()
    result.file_meta = pydicom.dataset.FileMetaDataset()
    result.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    result.SOPClassUID = RTStructureSetStorage
    result.SOPInstanceUID = generate_uid()
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        if keyword in image:
            setattr(result, keyword, image[keyword].value)
    result.SeriesInstanceUID = generate_uid()
    result.Modality = "RTSTRUCT"
    result.StructureSetLabel = "REGIONS"
    result.OperatorsName = "PLANTEDDOCTOR^John"
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    contour = Dataset()
    contour.ContourImageSequence = [reference]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = 3
    contour.ContourData = [0, 0, 0, 1, 0, 0, 1, 1, 0]
    roi = Dataset()
    roi.ReferencedROINumber = 1
    roi.ContourSequence = [contour]
    result.ROIContourSequence = [roi]
    return result


@pytest.mark.parametrize("make", [structured_report, structure_set])
def test_what_a_viewer_saves_lands_in_the_same_study(
    own_pacs: Pacs, tmp_path: Path, make: Callable[[Dataset], Dataset]
) -> None:
    pacs = own_pacs
    pacs.send(ct_series(tmp_path / "ct", 1).files)
    pacs.wait_until_read()
    image = stored_image(pacs)
    pacs.dicomweb().store_instances([make(image)])
    pacs.wait_until_read()
    assert len(pacs.get("/studies")) == 1
    assert len(pacs.instances()) == 2
    other = next(
        d
        for d in (
            pydicom.dcmread(pydicom.filebase.DicomBytesIO(pacs.file(i))) for i in pacs.instances()
        )
        if d.Modality != "CT"
    )
    assert other.StudyInstanceUID == image.StudyInstanceUID
    assert other.PatientID == image.PatientID
    assert str(image.SOPInstanceUID) in str(other)
    assert "PLANTED" not in str(other)
    unread = pacs.get("/preread/jobs", status="unread")
    assert len(unread) == 1
    assert unread[0]["Reason"]


class Modality:
    """Sends files over four associations and sends again what was not acknowledged.

    `pause` is the time in seconds that each association rests after a file: it decides how long
    the transfer lasts.
    """

    def __init__(self, pacs: Pacs, files: list[Path], *, pause: float) -> None:
        self._pacs = pacs
        self._pause = pause
        self.acknowledged: set[str] = set()
        self._threads = [
            threading.Thread(target=self._send, args=(files[number::4],)) for number in range(4)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, files: list[Path]) -> None:
        for file in files:
            for _ in range(300):
                if self._pacs.send([file], check=False):
                    self.acknowledged.add(file.name)
                    time.sleep(self._pause)
                    break
                time.sleep(0.1)

    @property
    def busy(self) -> bool:
        """Tell whether there is still something to send."""
        return any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        """Wait until everything is acknowledged."""
        for thread in self._threads:
            thread.join(300)


def send_again(pacs: Pacs, files: list[Path]) -> None:
    """Send what is there already.

    Where its result is being stored at that moment, and takes long, it is refused as busy.
    """
    modality = Modality(pacs, files, pause=0)
    modality.wait()
    assert len(modality.acknowledged) == len(files)


@pytest.fixture
def many(tmp_path: Path) -> Series:
    """Return a series that takes a while to send and to read."""
    return ct_series(tmp_path / "ct", 133, size=512)


def wait_for_another(pacs: Pacs, pid: int) -> None:
    """Wait until the runner of this pid has ended."""
    eventually(lambda: pacs.runner_pid() != pid, 30, "the end of the killed runner")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_runner_is_killed_ten_times(own_pacs: Pacs, many: Series) -> None:
    pacs = own_pacs
    # The plugin waits longer before each restart, so that ten kills take over a minute.
    modality = Modality(pacs, many.files, pause=3.5)
    randomly = random.Random(7)
    during = 0
    for _ in range(10):
        pid = eventually(pacs.runner_pid, 90, "the runner's restart")
        time.sleep(randomly.uniform(0, 1.5))
        during += modality.busy
        os.kill(pid, signal.SIGKILL)
        wait_for_another(pacs, pid)
    assert during == 10
    modality.wait()
    assert len(modality.acknowledged) == 133
    jobs = pacs.wait_until_read(400)
    assert jobs["failed"] == 0
    assert jobs["done"] == 133
    assert_each_read_once(pacs, 133, MODELS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_orthanc_is_killed_ten_times(own_pacs: Pacs, many: Series) -> None:
    pacs = own_pacs
    modality = Modality(pacs, many.files, pause=0.6)
    randomly = random.Random(11)
    during = 0
    for _ in range(10):
        time.sleep(randomly.uniform(0, 1))
        during += modality.busy
        pacs.kill()
        pacs.start()
    modality.wait()
    assert during == 10
    assert len(modality.acknowledged) == 133
    assert pacs.wait_until_read(400)["failed"] == 0
    assert_each_read_once(pacs, 133, MODELS)
    assert all(read_block(pacs.file(instance)) for instance in pacs.instances())
