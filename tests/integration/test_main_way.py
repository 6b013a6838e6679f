"""The way of an image: sent, de-identified, read, and answered over DICOMweb."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from preread.imaging.secondary_capture import secondary_capture
from preread.models.catalogue import Catalogue
from preread.results import ModelResult, read_block
from tests.integration.images import PLANTED, Series, ct_series
from tests.integration.pacs import ROOT, Pacs

Maker = Callable[..., Pacs]
SHARED = ROOT.parent / "shared" / "data"
MODELS = Catalogue.load(ROOT / "models", None)
FOR_PICTURES = "made for pictures, not for Hounsfield units"


@pytest.fixture
def pacs(shared_pacs: Pacs) -> Pacs:
    return shared_pacs


def blocks(pacs: Pacs) -> dict[str, tuple[ModelResult, ...]]:
    """Return the block of every instance as a DICOMweb client sees it, by SOPInstanceUID."""
    client = pacs.dicomweb()
    found: dict[str, tuple[ModelResult, ...]] = {}
    for study in client.search_for_studies():
        for instance in client.retrieve_study_metadata(study["0020000D"]["Value"][0]):
            found[instance["00080018"]["Value"][0]] = read_block(instance)
    return found


def creators(instance: dict[str, Any]) -> list[str]:
    """Return the private creators of our group that an instance reserves."""
    return [
        value["Value"][0]
        for tag, value in instance.items()
        if tag[:4] in ("0055", "0057") and tag[4:6] == "00" and value.get("Value")
    ]


def assert_nothing_of(values: list[str], pacs: Pacs) -> None:
    """Search every byte that was written, also as UTF-16, for identifiers."""
    for file in [*pacs.storage.rglob("*"), pacs.log]:
        if not file.is_file():
            continue
        content = file.read_bytes()
        for value in values:
            for needle in (value.encode(), value.encode("utf-16-le"), value.encode("utf-16-be")):
                assert needle not in content, f"{value} was left in {file.name}"


def assert_each_read_once(
    pacs: Pacs, count: int, models: Sequence[str] = tuple(MODELS.names)
) -> None:
    """Check that every instance carries exactly one block of exactly the chosen models."""
    client = pacs.dicomweb()
    seen = 0
    for study in client.search_for_studies():
        for instance in client.retrieve_study_metadata(study["0020000D"]["Value"][0]):
            seen += 1
            assert creators(instance).count("UACJ_VISOR") == 1
            results = read_block(instance)
            expected = [MODELS[name].card.Name for name in models]
            assert [result.Model for result in results] == expected
            for result in results:
                # They are CT in Hounsfield units, which the shipped models are not made for.
                assert (result.Withheld, result.classes) == (FOR_PICTURES, ())
    assert seen == count


@pytest.mark.shared_data
def test_a_picture_is_given_classes_and_ct_a_reason(make_pacs: Maker, tmp_path: Path) -> None:
    pictures = sorted((SHARED / "iq-oth-nccd" / "malignant").glob("*.jpg"))[:3]
    if not pictures:
        pytest.skip(f"{SHARED / 'iq-oth-nccd'} is not on this machine")
    pacs = make_pacs().start()
    tags = {"Modality": "CT", "BodyPartExamined": "CHEST"}
    for picture in pictures:
        made = secondary_capture(picture.read_bytes(), max_bytes=2**26, tags=tags)
        assert pacs.upload(made).status_code == 200
    pacs.send(ct_series(tmp_path / "ct", 1).files)
    assert pacs.wait_until_read()["done"] == len(pictures) + 1
    expected = [MODELS[name].card.Name for name in MODELS.names]
    told = list(blocks(pacs).values())
    assert all([result.Model for result in results] == expected for results in told)
    given = [result for results in told for result in results if not result.Withheld]
    # Most of what they were trained on is like it, and each percentage is a whole.
    assert len(given) > len(expected)
    for result in given:
        assert sum(round(one.percentage * 100) for one in result.classes) == 10_000
    (withheld,) = (results for results in told if all(one.Withheld for one in results))
    assert {result.Withheld for result in withheld} == {FOR_PICTURES}
    (job,) = (one for one in pacs.get("/preread/jobs") if one["Reason"])
    assert (job["State"], job["Reason"]) == ("done", f"no class: {FOR_PICTURES}")
    result = pacs.get(f"/preread/instances/{job['Instance']}")["Results"][0]
    keys = list(result)
    assert keys.index("Reason") < keys.index("Probabilities")
    assert (result["Withheld"], result["Class"], result["Probabilities"]) == (True, None, None)
    for level in ("Series", "Study"):
        path = f"/preread/{level.lower().replace('study', 'studies')}/{job[level]}"
        (image,) = pacs.get(path)["Instances"]
        assert image["Results"][0] == result
    refused = pacs.http.post(f"/preread/instances/{job['Instance']}/explain", json={})
    assert (refused.status_code, FOR_PICTURES in refused.text) == (409, True)


def test_a_site_may_have_ct_read_with_a_warning(make_pacs: Maker, tmp_path: Path) -> None:
    models = {"Run": ["MobileNetV2-IQ-OTHNCCD"], "OutsideInput": "mark"}
    pacs = make_pacs({"Deidentify": {"Mode": "incoming"}, "Models": models}).start()
    # A synthetic chest: unlike the training pictures or not, it is nowhere without a reason.
    pacs.send(ct_series(tmp_path / "ct", 1).files)
    assert pacs.wait_until_read()["done"] == 1
    ((result,),) = blocks(pacs).values()
    if result.Withheld:
        assert (result.Withheld, result.Warning) == ("unlike its training data", "")
    else:
        assert result.Warning == "not measured on this kind of image"
        assert result.classes


def test_a_series_is_deidentified_read_and_found(pacs: Pacs, tmp_path: Path) -> None:
    series = ct_series(tmp_path / "ct", 12)
    pacs.send(series.files, associations=4)
    assert pacs.wait_until_read()["done"] == 12
    assert_each_read_once(pacs, 12)
    assert_nothing_of([*PLANTED, *series.uids], pacs)
    studies = pacs.dicomweb().search_for_studies()
    assert len(studies) == 1
    told = pacs.get(f"/preread/studies/{studies[0]['0020000D']['Value'][0]}")
    assert len(told["Instances"]) == 12
    assert "diagnosis" in told["Notice"]
    one = told["Instances"][0]
    assert pacs.get(f"/preread/instances/{one['SOPInstanceUID']}")["ID"] == one["ID"]
    assert len(pacs.get(f"/preread/series/{one['ParentSeries']}")["Instances"]) == 12
    result = one["Results"][0]
    assert {"Model", "Version", "Dataset", "WeightsSHA256", "Engine"} <= set(result)


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_chest(pacs: Pacs) -> None:
    files = sorted((SHARED / "dicom" / "lidc-idri-0001").glob("*.dcm"))
    if not files:
        pytest.skip(f"{SHARED / 'dicom/lidc-idri-0001'} is not on this machine")
    identifiers: set[str] = set()
    for file in files:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            identifiers.add(str(dataset.get(keyword, "")))
    pacs.send(files, associations=4)
    assert pacs.wait_until_read(600)["done"] == len(files) == 133
    assert_each_read_once(pacs, 133)
    assert_nothing_of(sorted(i for i in identifiers if len(i) > 6), pacs)


def test_pixels_are_untouched(pacs: Pacs, tmp_path: Path) -> None:
    series = ct_series(tmp_path / "ct", 1)
    pacs.send(series.files)
    pacs.wait_until_read()
    stored = tmp_path / "stored.dcm"
    stored.write_bytes(pacs.file(pacs.instances()[0]))
    assert pydicom.dcmread(stored).PixelData == pydicom.dcmread(series.files[0]).PixelData


@pytest.mark.parametrize(
    "name", ["MR_small_implicit.dcm", "CT_small.dcm", "JPEG2000.dcm", "image_dfl.dcm"]
)
def test_other_encodings_show_their_values(pacs: Pacs, tmp_path: Path, name: str) -> None:
    """Results of an Implicit VR source show their values in WADO-RS metadata."""
    dataset = pydicom.dcmread(str(get_testdata_file(name)))
    dataset.Modality = "CT"
    dataset.BodyPartExamined = "CHEST"
    file = tmp_path / name
    dataset.save_as(file)
    assert pacs.upload(file.read_bytes()).status_code == 200
    pacs.wait_until_read()
    results = next(iter(blocks(pacs).values()))
    assert [result.Model for result in results] == [MODELS[n].card.Name for n in MODELS.names]
    assert all(result.classes or result.Withheld for result in results)


def test_two_patients_without_an_id_do_not_merge(pacs: Pacs, tmp_path: Path) -> None:
    for number in range(2):
        series = ct_series(tmp_path / str(number), 1, patient="")
        dataset = pydicom.dcmread(series.files[0])
        dataset.PatientName = ""
        dataset.PatientBirthDate = ""
        dataset.save_as(series.files[0])
        pacs.send(series.files)
    assert len(pacs.get("/patients")) == 2


def test_the_same_patient_stays_the_same_across_restarts(make_pacs: Maker, tmp_path: Path) -> None:
    pacs = make_pacs().start()
    pacs.send(ct_series(tmp_path / "a", 1).files)
    pacs.stop()
    pacs.start()
    pacs.send(ct_series(tmp_path / "b", 1).files)
    assert len(pacs.get("/patients")) == 1
    assert len(pacs.get("/studies")) == 2


def test_a_folder_of_configuration_files(make_pacs: Maker, tmp_path: Path) -> None:
    """Debian's own service starts Orthanc so."""
    pacs = make_pacs()
    folder = tmp_path / "etc"
    folder.mkdir()
    pacs.configuration.rename(folder / "orthanc.json")
    pacs.configuration = folder
    pacs.start()
    pacs.send(ct_series(tmp_path / "ct", 1).files)
    assert pacs.wait_until_read()["done"] == 1


def test_models_and_metrics(make_pacs: Maker, tmp_path: Path) -> None:
    pacs = make_pacs().start()
    pacs.send(ct_series(tmp_path / "ct", 1).files)
    pacs.wait_until_read()
    names = pacs.get("/preread/models")
    assert names == list(MODELS.names)
    card = pacs.get(f"/preread/models/{names[0]}")
    assert card["Classes"]
    metrics = pacs.http.get("/preread/metrics")
    assert metrics.status_code == 200
    assert 'preread_jobs{state="done"} 1.0' in metrics.text
    for path, status in (
        ("/preread/nothing", 404),
        ("/preread/models/nothing", 404),
        ("/preread/jobs?status=odd", 400),
        ("/preread/jobs/999999", 404),
        ("/preread/instances/1.2.3", 404),
    ):
        answer = pacs.http.get(path)
        assert answer.status_code == status
        assert answer.json()["HttpStatus"] == status
        assert answer.json()["Details"]


def test_copy_leaves_the_original_and_makes_a_second_study(
    make_pacs: Maker, tmp_path: Path
) -> None:
    pacs = make_pacs({"Deidentify": {"Mode": "copy"}}).start()
    series = ct_series(tmp_path / "ct", 3)
    pacs.send(series.files)
    assert pacs.wait_until_read()["done"] == 3
    assert len(pacs.get("/studies")) == 2
    found = blocks(pacs)
    originals = set(series.uids)
    assert len(found) == 6
    for uid, results in found.items():
        assert bool(results) == (uid not in originals)
    sent = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, series.files)}
    kept = 0
    for instance in pacs.instances():
        stored = pydicom.dcmread(pydicom.filebase.DicomBytesIO(pacs.file(instance)))
        if stored.SOPInstanceUID in sent:
            kept += 1
            assert stored == sent[stored.SOPInstanceUID]
        else:
            assert not any(value in str(stored) for value in PLANTED)
    assert kept == 3


def test_a_copy_is_made_anew_when_the_original_comes_again(
    make_pacs: Maker, tmp_path: Path
) -> None:
    pacs = make_pacs({"Deidentify": {"Mode": "copy"}}).start()
    series = ct_series(tmp_path / "ct", 1)
    pacs.send(series.files)
    pacs.wait_until_read()
    before = set(pacs.instances())
    copies = [pacs.file(instance) for instance in before]
    time.sleep(1.1)  # the block tells the time of the reading, in whole seconds at least
    pacs.send(series.files)
    assert pacs.wait_until_read()["done"] == 2
    assert set(pacs.instances()) == before
    assert sum(pacs.file(instance) in copies for instance in before) == 1
    assert pacs.jobs()["failed"] == 0


@pytest.mark.parametrize("mode", ["incoming", "off"])
def test_derived_results_leave_the_stored_instance_alone(
    make_pacs: Maker, tmp_path: Path, mode: str
) -> None:
    pacs = make_pacs(
        {"Deidentify": {"Mode": mode}, "Predictions": {"Placement": "derived"}},
        configuration={"OverwriteInstances": False},
    ).start()
    pacs.send(ct_series(tmp_path / "ct", 2).files)
    assert pacs.wait_until_read()["done"] == 2
    assert len(pacs.get("/studies")) == 1
    assert len(pacs.get("/series")) == 2
    found = blocks(pacs)
    assert sorted(bool(results) for results in found.values()) == [False, False, True, True]


def run_again(pacs: Pacs, study: str, **body: Any) -> Any:
    return pacs.http.post(f"/preread/studies/{study}/analyze", json=body, timeout=120)


def test_analyzing_again_replaces_the_block(pacs: Pacs, tmp_path: Path) -> None:
    series: Series = ct_series(tmp_path / "ct", 2)
    pacs.send(series.files)
    pacs.wait_until_read()
    study = pacs.get("/studies")[0]
    answer = run_again(pacs, study)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["Instances"]) == 2
    assert_each_read_once(pacs, 2)
    assert run_again(pacs, study, Models=["nothing"]).status_code == 400
    assert run_again(pacs, study, Asynchronous=True).status_code == 202
    pacs.wait_until_read()
    assert_each_read_once(pacs, 2)
    assert run_again(pacs, "1.2.3").status_code == 404


def test_jpeg2000_stays_jpeg2000(pacs: Pacs) -> None:
    data = Path(str(get_testdata_file("JPEG2000.dcm"))).read_bytes()
    assert pacs.upload(data).status_code == 200
    pacs.wait_until_read()
    before = pydicom.dcmread(str(get_testdata_file("JPEG2000.dcm")))
    after = pydicom.filebase.DicomBytesIO(pacs.file(pacs.instances()[0]))
    read = pydicom.dcmread(after)
    assert read.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    # Its encoder left a comment in the stream, which goes; nothing is encoded anew.
    assert before.PixelData.count(b"\xff\x64") > read.PixelData.count(b"\xff\x64")
    assert before.PixelData.endswith(read.PixelData[-80:])
    assert (read.pixel_array == before.pixel_array).all()
