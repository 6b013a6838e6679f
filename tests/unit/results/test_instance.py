import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.config import IGNORE
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from preread.findings.prediction import Prediction
from preread.results import (
    UnwritableInstanceError,
    UnwritablePredictionError,
    derived_instance,
    read_block,
    with_predictions,
)
from preread.results.block import percentages
from preread.results.encoding import Characters

MakePrediction = Callable[..., Prediction]
Predictions = tuple[Prediction, ...]

# One or more for each transfer syntax that pydicom packages, and for each kind of image.
IMAGES = (
    "CT_small.dcm",  # explicit
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_padded.dcm",  # trailing padding
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "ExplVR_BigEnd.dcm",  # ultrasound
    "693_J2KI.dcm",
    "J2K_pixelrep_mismatch.dcm",  # Japanese, with escape sequences
    "JPEG-lossy.dcm",
    "JPEG2000.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "SC_rgb_jpeg_dcmd.dcm",  # implicit
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_32bit_2frame.dcm",
    "SC_rgb_small_odd.dcm",  # an odd number of bytes
    "SC_rgb_small_odd_big_endian.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",  # ultrasound, 30 frames, JPEG
    "image_dfl.dcm",  # deflated
    "liver_1frame.dcm",  # one bit for each pixel
    "liver_expb_1frame.dcm",
    "rtdose.dcm",  # implicit, 32 bits
    "rtdose_expb.dcm",
    "rtdose_rle.dcm",
)
VALIDATED = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_expb.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "JPEG-lossy.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "image_dfl.dcm",
)
BLOCK = 0x00551000


def packaged(name: str) -> bytes:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def read(data: bytes) -> FileDataset:
    return dcmread(BytesIO(data))


def written(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def small(**attributes: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "2.25.1"
    dataset.StudyInstanceUID = "2.25.2"
    dataset.SeriesInstanceUID = "2.25.3"
    dataset.Modality = "OT"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def private_groups(dataset: Dataset) -> set[int]:
    return {tag.group for tag in dataset.keys() if tag.is_private}  # noqa: SIM118 - tags


@pytest.mark.parametrize("name", IMAGES)
def test_in_place_changes_nothing_else(name: str, ensemble: Predictions) -> None:
    data = packaged(name)
    result = with_predictions(data, ensemble)
    before, after = read(data), read(result)

    syntax = before.file_meta.TransferSyntaxUID
    encapsulated = syntax.is_encapsulated
    assert after.file_meta.TransferSyntaxUID == (syntax if encapsulated else ExplicitVRLittleEndian)
    assert after.file_meta.MediaStorageSOPInstanceUID == before.SOPInstanceUID
    meta_length = len(b"".join(_encoded_meta(result)))
    assert after.file_meta.FileMetaInformationGroupLength == meta_length

    assert not syntax.is_little_endian or after.PixelData == before.PixelData
    try:
        pixels = before.pixel_array
    except (ValueError, NotImplementedError, RuntimeError, AttributeError):
        pixels = None  # some packaged files cannot be decoded; their bytes were compared above
    if name == "rtdose_expb.dcm":
        # PS3.5 makes OW of words of 16 bits; the program that wrote this file turned all 32.
        # Either way of turning them loses nothing.
        assert sorted(after.PixelData) == sorted(before.PixelData)
    elif pixels is not None:
        assert np.array_equal(after.pixel_array, pixels)

    ours = {tag for tag in after.keys() if tag.group == 0x0055}  # noqa: SIM118 - tags
    assert min(ours) == 0x00550010
    assert ours == {0x00550010, *range(BLOCK + 0x10, BLOCK + 0x10 + 4 * 12)}
    assert {after[tag].VR for tag in ours} <= {"LO", "ST"}
    kept = [tag for tag in after.keys() if tag not in ours and tag != 0x0018A001]  # noqa: SIM118
    originals = [tag for tag in before.keys() if tag.element or tag.group & 1]  # noqa: SIM118
    assert set(originals) <= set(kept)
    assert list(after.keys()) == sorted(after.keys()) or list(before.keys()) != sorted(
        before.keys()
    )
    for tag in originals:
        if tag != 0x7FE00010 and before[tag].VR not in ("UN", "OW", "OB", "SQ", "OB or OW"):
            assert after[tag].value == before[tag].value, tag


def _encoded_meta(data: bytes) -> list[bytes]:
    match = re.match(rb"(?s).{128}DICM\x02\x00\x00\x00UL\x04\x00(.{4})", data)
    assert match
    start = match.end()
    return [data[start : start + int.from_bytes(match[1], "little")]]


@pytest.mark.parametrize("name", IMAGES)
def test_values_are_exact_and_running_again_changes_nothing(
    name: str, ensemble: Predictions
) -> None:
    data = packaged(name)
    result = with_predictions(data, ensemble)
    models = read_block(result)
    assert [model.Model for model in models] == [prediction.model for prediction in ensemble]
    for model in models:
        assert model.Dataset == "IQ-OTHNCCD Lung Cancer Dataset"
        assert model.FileName == f"{read(data).SOPInstanceUID}.dcm"
        assert model.classes == (
            ("Malignant", 60.0),
            ("Benign", 30.0),
            ("Normal", 7.0),
            ("Adenocarcinoma", 2.0),
            ("Large_Cell_Carcinoma", 0.5),
            ("Squamous_Cell_Carcinoma", 0.5),
        )
    assert read_block(read(result)) == models
    assert read_block(read(result).to_json_dict()) == models
    assert with_predictions(result, ensemble) == result
    assert with_predictions(with_predictions(data, ensemble[:1]), ensemble) == result
    stripped = with_predictions(result, ())
    assert read_block(stripped) == ()
    assert with_predictions(stripped, ensemble) == result


names = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=90
).map(lambda name: name.strip() or "x")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    models=st.lists(
        st.tuples(
            names,
            names,
            st.dictionaries(names, st.floats(2**-20, 1, width=32), min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_prediction_is_read_as_it_was_written(
    models: list[tuple[str, str, dict[str, float]]], make_prediction: MakePrediction
) -> None:
    characters = Characters(("ISO_IR 192",))
    predictions = []
    for model, trained_on, shares in models:
        total = sum(map(Fraction, shares.values()))
        probabilities = [float(Fraction(share) / total) for share in shares.values()]
        predictions.append(make_prediction(model, list(shares), probabilities, trained_on))
    try:
        result = with_predictions(written(small(SpecificCharacterSet="ISO_IR 192")), predictions)
    except UnwritablePredictionError:
        return  # two classes that differ in spaces only, or one called Model
    results = read_block(result)
    assert read_block(read(result)) == results
    for given_, found in zip(predictions, results, strict=True):
        assert found.Model == characters.representable(given_.model)
        assert found.Dataset == characters.representable(given_.dataset)
        assert sum(Decimal(f"{share:.2f}") for _, share in found.classes) == Decimal(100)
        expected = [
            (characters.representable(given_.classes[index]), share)
            for index, share in percentages(given_.probabilities)
        ]
        assert list(found.classes) == expected


def test_file_size_is_that_of_the_file_as_fetched(ensemble: Predictions) -> None:
    data = packaged("CT_small.dcm")
    again = with_predictions(with_predictions(data, ensemble), ensemble)
    assert {model.FileSize for model in read_block(again)} == {len(data)}


def test_a_group_in_use_is_left_alone(ensemble: Predictions) -> None:
    dataset = small()
    dataset.private_block(0x0055, "SOMEBODY", create=True).add_new(1, "LO", "theirs")
    dataset.add_new(0x00571234, "LO", "without a creator")
    result = read(with_predictions(written(dataset), ensemble))
    assert private_groups(result) == {0x0055, 0x0057, 0x0059}
    assert result[0x00551001].value == "theirs"
    assert result[0x00571234].value == "without a creator"
    assert result[0x00590010].value == "UACJ_VISOR"
    assert len(read_block(result)) == 4


@pytest.mark.parametrize("length_of_group", [False, True])
def test_old_blocks_go_wherever_they_are(ensemble: Predictions, length_of_group: bool) -> None:
    dataset = small()
    theirs = dataset.private_block(0x0055, "SOMEBODY", create=True)
    theirs.add_new(1, "LO", "theirs")
    for group in (0x0055, 0x0057, 0x0061):
        ours = dataset.private_block(group, "UACJ_VISOR", create=True)
        ours.add_new(0x10, "LO", "{ Model : old }")
        ours.add_new(0xFF, "LO", "anything")
    if length_of_group:
        dataset.add_new(0x00570000, "UL", 4)
    data = written(dataset)
    result = with_predictions(data, ensemble)
    after = read(result)
    assert private_groups(after) == {0x0055, 0x0057}
    assert {tag for tag in after.keys() if tag.group == 0x0055} == {0x00550010, 0x00551001}  # noqa: SIM118
    assert {model.Model for model in read_block(after)} == {each.model for each in ensemble}
    assert with_predictions(result, ensemble) == result


def test_nested_blocks_are_not_ours_to_change(ensemble: Predictions) -> None:
    nested = Dataset()
    nested.private_block(0x0055, "UACJ_VISOR", create=True).add_new(0x10, "LO", "nested")
    dataset = small(ReferencedImageSequence=Items([nested]))
    after = read(with_predictions(written(dataset), ensemble))
    assert after.ReferencedImageSequence[0][0x00551010].value == "nested"


def test_many_lines_go_on_in_the_next_block(make_prediction: MakePrediction) -> None:
    classes = [f"class {index:03d}" for index in range(300)]
    prediction = make_prediction("Wide", classes, [1 / 300] * 300)
    result = with_predictions(packaged("CT_small.dcm"), [prediction, prediction])
    after = read(result)
    creators = [after[tag].value for tag in (0x00550010, 0x00550011, 0x00550012)]
    assert creators == ["UACJ_VISOR"] * 3
    assert 0x00550013 not in after
    assert after[0x00551110].VR == "LO"
    first, second = read_block(result)
    assert first == second
    assert len(first.classes) == 300
    assert with_predictions(result, [prediction] * 2) == result
    assert read_block(after) == read_block(after.to_json_dict()) == (first, second)


@pytest.mark.parametrize(
    ("terms", "name"),
    [("ISO_IR 192", "Größe 中"), ("ISO_IR 100", "Größe U+4E2D"), (None, "Grosse U+4E2D")],
)
def test_names_fit_the_character_set(
    terms: str | None, name: str, make_prediction: MakePrediction
) -> None:
    dataset = small(**({"SpecificCharacterSet": terms} if terms else {}))
    prediction = make_prediction("Größe 中", dataset="a\\b")
    result = with_predictions(written(dataset), [prediction])
    for source in (result, read(result), read(result).to_json_dict()):
        assert [(each.Model, each.Dataset) for each in read_block(source)] == [(name, "a/b")]
    assert read(result).ContributingEquipmentSequence[0].ManufacturerModelName == name


def test_equipment_of_a_model_that_gave_no_class_says_why(ensemble: Predictions) -> None:
    reason = "made for pictures, not for Hounsfield units"
    withheld, marked = replace(ensemble[0], withheld=reason), replace(ensemble[1], warning="odd")
    items = read(with_predictions(written(small()), [withheld, marked]))
    first, second = (one.ContributionDescription for one in items.ContributingEquipmentSequence)
    assert first.startswith(f"No class given to the image ({reason})")
    assert "computed by" not in first
    assert second.startswith("Classification of the image (odd) by a neural network")


def test_equipment_of_others_stays(ensemble: Predictions) -> None:
    other = Dataset()
    other.Manufacturer = "Preread"
    other.PurposeOfReferenceCodeSequence = Items([Dataset()])
    other.PurposeOfReferenceCodeSequence[0].CodeValue = "109104"
    other.PurposeOfReferenceCodeSequence[0].CodingSchemeDesignator = "DCM"
    other.PurposeOfReferenceCodeSequence[0].CodeMeaning = "De-identifying Equipment"
    for undefined_length in (False, True):
        dataset = small(ContributingEquipmentSequence=Items([other]))
        dataset["ContributingEquipmentSequence"].is_undefined_length = undefined_length
        dataset.ContributingEquipmentSequence[
            0
        ].is_undefined_length_sequence_item = undefined_length
        once = with_predictions(written(dataset), ensemble)
        again = with_predictions(once, ensemble)
        assert once == again
        entries = read(again).ContributingEquipmentSequence
        assert len(entries) == 1 + len(ensemble)
        assert entries[0] == other
        model = entries[1]
        assert (model.Manufacturer, model.ManufacturerModelName) == ("Preread", "InceptionV3")
        assert model.SoftwareVersions[1] == "InceptionV3 1.2.0"
        assert "trained on IQ-OTHNCCD Lung Cancer Dataset" in model.ContributionDescription
        assert "not a diagnosis" in model.ContributionDescription
        assert model.ContributionDateTime == "20261121092352.123456-0600"
        assert model.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


@pytest.mark.parametrize("name", IMAGES)
def test_derived_says_what_it_is(name: str, ensemble: Predictions) -> None:
    data = packaged(name)
    result = derived_instance(
        data, ensemble, SeriesInstanceUID="2.25.1001", SOPInstanceUID="2.25.1002"
    )
    before, after = read(data), read(result)
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == "2.25.1002"
    assert after.file_meta.FileMetaInformationGroupLength == len(_encoded_meta(result)[0])
    assert after.SeriesInstanceUID == "2.25.1001"
    assert after.StudyInstanceUID == before.StudyInstanceUID
    assert after.SOPClassUID == before.SOPClassUID
    if "SharedFunctionalGroupsSequence" in before:
        assert after.ImageType == before.ImageType
    else:
        assert after.ImageType[0] == "DERIVED"
    assert list(after.ImageType[1:]) == list(before.get("ImageType", ["", "SECONDARY"])[1:])
    assert len(after.SourceImageSequence) == 1
    source = after.SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert source.ReferencedSOPClassUID == before.SOPClassUID
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    series = after.ReferencedSeriesSequence[-1]
    assert series.SeriesInstanceUID == before.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert after.DerivationCodeSequence[-1].CodingSchemeDesignator == "99PREREAD"
    assert "InceptionV3 1.2.0" in after.DerivationDescription
    assert "not a diagnosis" in after.DerivationDescription
    assert after.SeriesDescription.startswith("Preread predictions")
    assert after.SeriesNumber == 9000 + (before.get("SeriesNumber") or 0)
    assert (after.InstanceCreationDate, after.InstanceCreationTime) == ("20261121", "092352.123456")
    assert len(after.ContributingEquipmentSequence) == 4
    assert not before.file_meta.TransferSyntaxUID.is_little_endian or (
        after.PixelData == before.PixelData
    )
    models = read_block(result)
    assert [model.Model for model in models] == [prediction.model for prediction in ensemble]
    assert models[0].FileName == f"{before.SOPInstanceUID}.dcm"


def test_derived_twice_is_the_same(ensemble: Predictions) -> None:
    data = packaged("CT_small.dcm")
    uids = {"SeriesInstanceUID": "2.25.1001", "SOPInstanceUID": "2.25.1002"}
    result = derived_instance(data, ensemble, **uids)
    assert derived_instance(data, ensemble, **uids) == result
    assert derived_instance(with_predictions(data, ensemble[:1]), ensemble, **uids) == result


def test_derived_refuses_what_makes_no_new_instance(ensemble: Predictions) -> None:
    data = written(small())
    for series, instance, tag in (
        ("2.25.3", "2.25.9", "0020,000E"),
        ("2.25.9", "2.25.1", "0008,0018"),
        ("2.25.9", "patient", "0008,0018"),
        ("2.25.9", "2" * 65, "0008,0018"),
    ):
        with pytest.raises(UnwritableInstanceError, match=tag):
            derived_instance(data, ensemble, SeriesInstanceUID=series, SOPInstanceUID=instance)
    with pytest.raises(UnwritableInstanceError, match="one prediction"):
        derived_instance(data, (), SeriesInstanceUID="2.25.8", SOPInstanceUID="2.25.9")


@pytest.mark.parametrize("uid", [None, "", "2" * 65, "2.25.é"])
def test_an_object_without_its_uid_is_refused(uid: str | None, ensemble: Predictions) -> None:
    dataset = small()
    del dataset.SOPInstanceUID
    if uid is not None:
        dataset.add(DataElement(0x00080018, "LO", uid, validation_mode=IGNORE))
    buffer = BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    with pytest.raises(UnwritableInstanceError, match="0008,0018"):
        with_predictions(buffer.getvalue(), ensemble)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_all_uncompressed_syntaxes_give_the_same_file(syntax: UID, ensemble: Predictions) -> None:
    dataset = read(packaged("CT_small.dcm"))
    dataset.PixelData = dataset.PixelData[: 128 * 128 * 2]
    expected = with_predictions(written(dataset), ensemble)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()
    result = read(with_predictions(written(dataset, syntax), ensemble))
    assert result.PixelData == read(expected).PixelData
    assert read_block(result)[0].classes == read_block(expected)[0].classes
    assert [each.VR for each in result if not each.tag.is_private] == [
        each.VR for each in read(expected) if not each.tag.is_private
    ]
