"""The types of the attributes with conditional actions, as package data."""

import io
import json
import subprocess
import sys

import highdicom
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from preread.deidentify import Deidentifier
from preread.deidentify.iod_types import types_of
from preread.deidentify.options import DeidentifyOptions, Option
from preread.deidentify.profile import profile_of
from preread.deidentify.secret import Secret
from tests.unit.deidentify.iod_type_facts import (
    PATH,
    conditional_tags,
    demanded_tags,
    facts,
    types_by_sop_class,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
PET = "1.2.840.10008.5.1.4.1.1.128"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
ECHO_SR = "1.2.840.10008.5.1.4.1.1.88.72"
UNKNOWN = "1.2.840.10008.5.1.4.1.1.11.99"
TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_written = json.loads(PATH.read_text(encoding="utf-8"))
_same_tables = pytest.mark.skipif(
    _written["MadeFrom"] != f"highdicom {highdicom.__version__}",
    reason=f"{PATH.name} was made from another version of highdicom's tables",
)


@_same_tables
def test_the_file_holds_the_facts() -> None:
    assert _written == facts()


@_same_tables
def test_what_is_read_is_what_the_tables_say() -> None:
    known = 0
    for uid, types in types_by_sop_class():
        assert types_of(uid) == types
        known += 1
    assert known > 170


def test_the_file_is_small_and_of_conditional_attributes_alone() -> None:
    assert PATH.stat().st_size < 20_000
    tags = [int(tag, 16) for tag in _written["Tags"]]
    assert set(tags) <= set(conditional_tags())
    assert len(tags) > 35
    assert set("".join(_written["Patterns"])) == set("123-")


@pytest.mark.parametrize(
    ("sop_class", "keyword", "expected"),
    [
        (CT, "ContentDate", 2),  # General Image: 2C
        (CT, "ContentTime", 2),
        (CT, "AcquisitionDate", 3),
        (CT, "AcquisitionDateTime", 3),
        (CT, "SeriesDate", 3),
        (CT, "PatientID", 2),
        (CT, "PatientSexNeutered", 2),  # Patient Study: 2C
        (CT, "ContrastBolusAgent", 2),  # Contrast/Bolus, where the image has it
        (CT, "DeviceSerialNumber", 3),  # General Equipment
        (CT, "ProtocolName", 3),
        (CT, "InstitutionName", 3),
        (ENHANCED_CT, "ContentDate", 1),  # Multi-frame Functional Groups
        (ENHANCED_CT, "AcquisitionDateTime", 1),  # CT Image of enhanced CT: 1C
        (ENHANCED_CT, "DeviceSerialNumber", 1),  # Enhanced General Equipment
        (ENHANCED_CT, "AcquisitionContextSequence", 2),
        (ENHANCED_CT, "ReferencedPerformedProcedureStepSequence", 1),  # 1C
        (PET, "SeriesDate", 1),  # PET Series
        (PET, "AcquisitionDate", 2),  # PET Image
        (RT_PLAN, "RTPlanDate", 2),  # RT General Plan
        (RT_PLAN, "OperatorsName", 2),  # RT Series
        (RT_PLAN, "ReviewerName", 2),  # Approval: 2C
        (TEXT_SR, "ContentDate", 1),  # SR Document General
        (TEXT_SR, "ReferencedPerformedProcedureStepSequence", 2),  # SR Document Series
        (ECG, "WaveformAnnotationSequence", 1),
        (ECG, "AcquisitionDateTime", 1),  # Waveform Identification
        (SECONDARY_CAPTURE, "ContentDate", 2),
        (GSPS, "PresentationCreationDate", 1),  # Presentation State Identification
        (GSPS, "PresentationCreationTime", 1),
        (ECHO_SR, "TimezoneOffsetFromUTC", 1),  # Timezone
        (CT, "TimezoneOffsetFromUTC", 3),  # SOP Common
    ],
)
def test_the_types_are_the_standards(sop_class: str, keyword: str, expected: int) -> None:
    types = types_of(sop_class)
    tag = tag_for_keyword(keyword)
    assert types is not None
    assert tag is not None
    assert types[tag] == expected


@_same_tables
def test_nothing_is_removed_that_an_iod_demands() -> None:
    """A presentation state without the time that it was made at is none."""
    asked = demanded_tags()
    for uid, types in types_by_sop_class():
        top = profile_of().top(uid)
        removed = {tag for tag in asked if types.get(tag, 3) < 3 and tag not in top}
        assert not removed, uid


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["19000101", "000000", "+0000"]),
        (["RetainLongitudinalFullDates"], ["20240501", "101112", "+0200"]),
    ],
)
def test_what_an_iod_demands_gets_a_valid_dummy(options: list[str], expected: list[str]) -> None:
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.PresentationCreationDate, dataset.PresentationCreationTime = "20240501", "101112"
    dataset.TimezoneOffsetFromUTC = "+0200"
    found = {}
    for sop_class in (GSPS, ECHO_SR, CT, UNKNOWN):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        file = io.BytesIO()
        dataset.save_as(file)
        chosen = DeidentifyOptions(options=frozenset(map(Option, options)))
        made = Deidentifier(Secret(bytes(32)), chosen).deidentify(file.getvalue()).data
        found[sop_class] = dcmread(io.BytesIO(made))
    assert [found[GSPS].PresentationCreationDate, found[GSPS].PresentationCreationTime] == expected[
        :2
    ]
    assert found[UNKNOWN].PresentationCreationDate == expected[0]
    assert found[ECHO_SR].TimezoneOffsetFromUTC == expected[2]
    assert ("PresentationCreationDate" in found[CT]) is bool(options)


def test_an_attribute_that_the_iod_does_not_have_is_absent() -> None:
    types = types_of(CT)
    assert types is not None
    for keyword in ("RTPlanDate", "WaveformAnnotationSequence", "StartAcquisitionDateTime"):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        assert tag in conditional_tags()
        assert tag not in types


@pytest.mark.parametrize(
    "sop_class", ["", "1.2.3", "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.501.1", CT + ".999"]
)
def test_a_sop_class_that_is_not_known_has_no_types(sop_class: str) -> None:
    assert types_of(sop_class) is None


def test_padding_does_not_count() -> None:
    assert types_of(CT + "\0") is types_of(CT)


def test_the_types_of_a_sop_class_are_kept() -> None:
    assert types_of(CT) is types_of(CT)


def test_highdicom_is_not_needed() -> None:
    code = (
        "import sys; from preread.deidentify.iod_types import types_of\n"
        f"assert types_of({CT!r})\n"
        "heavy = {'highdicom', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
