"""The picture as a DICOM object."""

from __future__ import annotations

import datetime as dt
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from preread.elements import read_header
from preread.imaging.attention import ATTENTION_MAP
from preread.models.catalogue import Catalogue
from preread.results import UnwritableInstanceError
from preread.results.heat_map import heat_map
from tests.unit.results.conftest import MakePrediction
from tests.unit.results.test_conformance import errors_of, inflated

PICTURE = np.random.default_rng(3).integers(0, 256, (61, 83, 3), dtype=np.uint8)
MOMENT = dt.datetime(2026, 11, 21, 9, 23, 52, tzinfo=dt.UTC)
UIDS = {"SeriesInstanceUID": "2.25.1001", "SOPInstanceUID": "2.25.1002"}
SOURCES = (
    "CT_small.dcm",
    "693_J2KI.dcm",
    "MR_small_implicit.dcm",
    "JPEG-lossy.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "image_dfl.dcm",
)


def packaged(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


def changed(**values: Any) -> bytes:
    dataset = pydicom.dcmread(BytesIO(packaged("CT_small.dcm")))
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


@pytest.fixture
def made(make_prediction: MakePrediction) -> Any:
    def make(source: bytes, frame: int = 0, **more: Any) -> Dataset:
        return pydicom.dcmread(BytesIO(written(source, frame, **more)))

    def written(source: bytes, frame: int = 0, **more: Any) -> bytes:
        how: dict[str, Any] = {"label": "Malignant", "frame": frame, "moment": MOMENT} | UIDS | more
        return heat_map(source, PICTURE, make_prediction(dataset="Größe"), **how)

    make.bytes = written  # type: ignore[attr-defined]
    return make


def test_it_is_a_picture_in_the_images_study(made: Any) -> None:
    source = pydicom.dcmread(BytesIO(packaged("CT_small.dcm")))
    image = made(packaged("CT_small.dcm"))
    assert image.SOPClassUID == SecondaryCaptureImageStorage
    assert image.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyID"):
        assert image[keyword].value == source[keyword].value
    assert (image.SeriesInstanceUID, image.SOPInstanceUID) == ("2.25.1001", "2.25.1002")
    assert image.file_meta.MediaStorageSOPInstanceUID == "2.25.1002"
    np.testing.assert_array_equal(image.pixel_array, PICTURE)
    assert (image.PhotometricInterpretation, image.SamplesPerPixel) == ("RGB", 3)
    assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert ATTENTION_MAP in image.ImageType
    assert (image.BurnedInAnnotation, image.Modality, image.ConversionType) == ("YES", "OT", "WSD")
    assert image.SeriesDescription == "Preread attention: InceptionV3 Malignant"
    assert image.SeriesNumber == 9500 + int(source.SeriesNumber)
    assert image.InstanceNumber == source.InstanceNumber


def test_it_says_what_it_was_made_of(made: Any) -> None:
    source = pydicom.dcmread(BytesIO(packaged("CT_small.dcm")))
    image = made(packaged("CT_small.dcm"))
    (origin,) = image.SourceImageSequence
    assert origin.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert "ReferencedFrameNumber" not in origin
    (series,) = image.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert "InceptionV3 1.2.0" in image.DerivationDescription
    assert "not a diagnosis" in image.DerivationDescription
    (equipment,) = image.ContributingEquipmentSequence
    assert equipment.ManufacturerModelName == "InceptionV3"
    assert "Größe" in equipment.ContributionDescription
    assert "ab" * 32 in equipment.ContributionDescription


def test_a_frame_is_named_as_the_standard_counts(made: Any) -> None:
    image = made(packaged("examples_ybr_color.dcm"), frame=4)
    assert image.SourceImageSequence[0].ReferencedFrameNumber == 5
    assert image.InstanceNumber == 5


def test_nothing_but_patient_and_study_is_taken_over(made: Any) -> None:
    data = changed(
        InstitutionName="PLANTEDPLACE",
        ImageComments="PLANTEDNOTE",
        PatientAddress="PLANTEDSTREET",
        OperatorsName="PLANTEDNAME",
    )
    assert b"PLANTED" in data
    assert b"PLANTED" not in made.bytes(data)


def test_deidentification_stays_on_record_without_its_seal(made: Any) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113100", "DCM", "Basic"
    marks = {"PatientIdentityRemoved": "YES", "DeidentificationMethod": ["Words", "SEAL"]}
    image = made(changed(**marks, DeidentificationMethodCodeSequence=[code]))
    assert image.PatientIdentityRemoved == "YES"
    assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert "DeidentificationMethod" not in image
    assert made(changed(**marks)).DeidentificationMethod == ["Words", "SEAL"]


def test_other_characters_pass(made: Any) -> None:
    latin = changed(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürg", PatientID="Ä1")
    image = made(latin)
    assert image.PatientName == "Müller^Jürg"
    # Orthanc files it under the same patient.
    assert read_header(made.bytes(latin)).PatientID == read_header(latin).PatientID


def test_the_same_again_has_the_same_uids(made: Any) -> None:
    first, second = made(packaged("CT_small.dcm")), made(packaged("CT_small.dcm"))
    assert first.SOPInstanceUID == second.SOPInstanceUID


@pytest.mark.parametrize("name", SOURCES)
def test_dciodvfy_finds_no_error_that_the_source_has_not(
    name: str, made: Any, tmp_path: Path
) -> None:
    data = packaged(name)
    before = {error.partition(" - ")[2] for error in errors_of(inflated(data), tmp_path)}
    after = {error.partition(" - ")[2] for error in errors_of(made.bytes(data), tmp_path)}
    assert after - before == set()


@pytest.mark.parametrize(
    "source",
    [
        changed(StudyInstanceUID=None),
        changed(SOPInstanceUID=None),
        changed(SeriesInstanceUID=None),
        b"no DICOM at all" * 20,
    ],
)
def test_what_has_no_identity_is_refused_in_one_line(source: bytes, made: Any) -> None:
    with pytest.raises(UnwritableInstanceError) as caught:
        made(source)
    assert "\n" not in str(caught.value)


def test_no_model_is_for_it(made: Any) -> None:
    data = made.bytes(packaged("CT_small.dcm"))
    choice = Catalogue(()).choose(read_header(data))
    assert choice.reason == "it shows what a network looked at"
