"""Regions on images without a place in the patient, as highdicom and dciodvfy read them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from preread.iodeep.region import pixels_within
from preread.iodeep.tracing import trace
from preread.results.region_report import region_report
from preread.results.structure_set import (
    Decision,
    ReviewedBy,
    UnwritableStructureSetError,
    Verdict,
)
from tests.unit.results.structure_set.conftest import NETWORK, Found, sieve

ROE = ReviewedBy("Roe^Jane")
UNCHECKED = "Who reviewed was not authenticated."
SQUARE = np.array([[10.0, 20.0], [30.0, 20.0], [30.0, 45.0], [10.0, 45.0]])
REGIONS = [Found(0, SQUARE), Found(1, SQUARE / 2)]
ACCEPTED = [Decision(1, Verdict.ACCEPT), Decision(2, Verdict.ACCEPT)]
EDITED = [Decision(1, Verdict.REJECT), Decision(2, Verdict.ACCEPT, SQUARE + 3)]
MADE: dict[str, Any] = {
    "moment": datetime(2026, 11, 21, 9, 23, 52, tzinfo=UTC),
    "SeriesInstanceUID": "2.25.8",
    "SOPInstanceUID": "2.25.81",
}


@pytest.fixture
def sources() -> list[Dataset]:
    found = []
    for number in (1, 2):
        source = Dataset()
        source.SOPClassUID = SecondaryCaptureImageStorage
        source.SOPInstanceUID = f"2.25.1{number}"
        source.StudyInstanceUID, source.SeriesInstanceUID = "2.25.3", "2.25.2"
        source.PatientID, source.PatientName = "id", "Doe^John"
        source.Rows = source.Columns = 64
        source.Modality = "OT"
        found.append(source)
    return found


def reread(dataset: Dataset) -> Any:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return hd.sr.srread(BytesIO(file.getvalue()))


def lines(report: Any) -> list[np.ndarray[Any, Any]]:
    groups = report.content.get_planar_roi_measurement_groups()
    return [group.roi.value for group in groups]


def test_highdicom_reads_the_lines_back(sources: list[Dataset]) -> None:
    report = reread(region_report(sources, REGIONS, NETWORK, **MADE))
    assert (report.PatientID, report.StudyInstanceUID) == ("id", "2.25.3")
    assert (report.VerificationFlag, report.SOPInstanceUID) == ("UNVERIFIED", "2.25.81")
    for line, region in zip(lines(report), REGIONS, strict=True):
        np.testing.assert_allclose(line[:-1] - 0.5, region.polygon)
        np.testing.assert_allclose(line[0], line[-1])
    group = report.content.get_planar_roi_measurement_groups()[1]
    assert group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
        "2.25.12"
    )
    text = report.to_json()
    for word in (NETWORK.uid, "ab" * 32, "Chest U-Net", "Research"):
        assert word in text


@pytest.mark.parametrize("characters", [None, "ISO_IR 100"])
def test_names_of_any_letters_are_kept(sources: list[Dataset], characters: str | None) -> None:
    if characters:
        sources[0].SpecificCharacterSet = characters
        sources[0].PatientName = "Müller^Jörg"
        file = BytesIO()
        sources[0].save_as(file, implicit_vr=False, little_endian=True)
        sources[0] = pydicom.dcmread(BytesIO(file.getvalue()), force=True)
    network = replace(NETWORK, name="Größe")
    report = reread(
        region_report(
            sources,
            REGIONS,
            network,
            **MADE,
            reviewer=ReviewedBy("Łukasz^Żak"),
            decisions=ACCEPTED,
            comment="żółć",
        )
    )
    assert comments(report) == ["żółć", UNCHECKED]
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert report.PatientName == ("Müller^Jörg" if characters else "Doe^John")
    (verified,) = report.VerifyingObserverSequence
    assert verified.VerifyingObserverName == "Łukasz^Żak"
    assert str(verified.VerificationDateTime).startswith("20261121092352")
    assert "Größe" in report.SeriesDescription


def comments(report: Any) -> list[str]:
    """Read what lies among the evaluations of the whole report."""
    (container,) = [
        item for item in report.content[0].ContentSequence if item.name.value == "C0034375"
    ]
    assert (container.name.scheme_designator, container.relationship_type.value) == (
        "UMLS",
        "CONTAINS",
    )
    assert {item.name.value for item in container.ContentSequence} == {"121106"}
    return [item.value for item in container.ContentSequence]


def test_a_review_verifies_it_and_says_what_was_decided(sources: list[Dataset]) -> None:
    report = reread(
        region_report(
            sources,
            REGIONS,
            NETWORK,
            number=2,
            reviewer=ROE,
            decisions=EDITED,
            comment="The second was too small.",
            **MADE,
        )
    )
    assert report.VerificationFlag == "VERIFIED"
    assert report.VerifyingObserverSequence[0].VerifyingObserverName == "Roe^Jane"
    found = [
        [(told.name.value, told.value.value) for told in group.get_qualitative_evaluations()]
        for group in report.content.get_planar_roi_measurement_groups()
    ]
    assert found == [
        [("REVIEW", "REJECTED")],
        [("REVIEW", "ACCEPTED"), ("LINE", "EDITED")],
    ]
    assert comments(report) == ["The second was too small.", UNCHECKED]


def test_a_line_that_was_edited_is_shown_instead_of_the_networks(sources: list[Dataset]) -> None:
    made = region_report(sources, REGIONS, NETWORK, reviewer=ROE, decisions=EDITED, **MADE)
    report = reread(made)
    first, second = lines(report)
    np.testing.assert_allclose(first[:-1] - 0.5, REGIONS[0].polygon)
    np.testing.assert_allclose(second[:-1] - 0.5, SQUARE + 3)
    assert comments(report) == [UNCHECKED]


def test_dciodvfy_finds_no_error(sources: list[Dataset], tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    changes: list[dict[str, Any]] = [
        {},
        {"reviewer": ROE, "decisions": ACCEPTED},
        {
            "reviewer": ROE,
            "decisions": EDITED,
            "comment": "Größe\nstimmt nicht.",
        },
    ]
    for more in changes:
        path = tmp_path / "report.dcm"
        made = region_report(sources, REGIONS, NETWORK, **MADE, **more)
        made.save_as(path, enforce_file_format=True)
        run = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        told = (run.stdout + run.stderr).splitlines()
        assert [line for line in told if line.startswith("Error")] == []
        assert "ComprehensiveSR" in told
    assert pydicom.dcmread(path).Modality == "SR"


@pytest.mark.parametrize(
    ("regions", "more", "words"),
    [
        ([], {}, "1 to"),
        ([Found(2, SQUARE)], {}, "no such frame"),
        ([Found(0, SQUARE[:2])], {}, "3 to"),
        (
            REGIONS,
            {"reviewer": ROE, "decisions": ACCEPTED[:1]},
            "a decision for each",
        ),
        (REGIONS[:1], {"decisions": [Decision(1, Verdict.ACCEPT, SQUARE[:2])]}, "3 to"),
    ],
)
def test_what_cannot_be_reported(
    sources: list[Dataset], regions: list[Found], more: Any, words: str
) -> None:
    with pytest.raises(UnwritableStructureSetError, match=words):
        region_report(sources, regions, NETWORK, **MADE, **more)


def test_a_header_that_cannot_be_used_is_not_quoted(sources: list[Dataset]) -> None:
    del sources[0].StudyInstanceUID
    with pytest.raises(UnwritableStructureSetError, match="header does not allow it"):
        region_report(sources, REGIONS, NETWORK, **MADE)


def test_a_misspelt_character_set_of_the_image_is_no_obstacle(sources: list[Dataset]) -> None:
    for source in sources:
        source.SpecificCharacterSet = "ISO-IR 100"
        source.PatientName = "M\xfcller^J\xf6rg"
    report = reread(region_report(sources, REGIONS, NETWORK, **MADE))
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == "M\xfcller^J\xf6rg"
    assert len(lines(report)) == 2


def test_an_image_of_a_retired_class_is_named_as_the_reason(sources: list[Dataset]) -> None:
    for source in sources:
        source.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6"  # ultrasound, before 1993
    with pytest.raises(UnwritableStructureSetError, match=r"SOPClassUID \(0008,0016\)"):
        region_report(sources, REGIONS, NETWORK, **MADE)


def test_a_line_too_long_for_its_element_is_cut_into_parts(sources: list[Dataset]) -> None:
    mask = sieve(196, 5, 3)
    (part,) = trace(mask.astype(np.float32), mask, 0.5)
    assert len(part.polygon) > 8191
    report = reread(region_report(sources, [Found(0, part.polygon)], NETWORK, **MADE))
    groups = report.content.get_planar_roi_measurement_groups()
    assert len(groups) > 1
    found = np.zeros(mask.shape, dtype=bool)
    for group in groups:
        within = pixels_within(group.roi.value[:-1] - 0.5, *mask.shape)
        assert not (found & within).any()
        found |= within
    assert np.array_equal(found, mask)
    assert len({group.tracking_uid for group in groups}) == 1
