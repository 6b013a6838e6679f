"""Regions in the right place, by others' reading, and what a review makes of them."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.spatial import ReferenceToImageTransformer
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.spatial import cKDTree

from preread.iodeep.region import pixels_within
from preread.iodeep.tracing import trace
from preread.results.structure_set import (
    Decision,
    DrawnRegion,
    ImagePlane,
    NoImagePlaneError,
    ReviewedBy,
    UnwritableStructureSetError,
    Verdict,
    propose,
    regions_of,
    review,
)
from tests.unit.results.structure_set.conftest import NETWORK, Found, Series, sieve

ACCEPT, REJECT = Verdict.ACCEPT, Verdict.REJECT
DOE = ReviewedBy("Doe^Jane")
WHEN = datetime(2026, 11, 22, 8, 5, 1, tzinfo=UTC)
SQUARE = np.array([[10.0, 20.0], [30.0, 20.0], [30.0, 45.0], [10.0, 45.0]])


def reread(dataset: Dataset) -> Dataset:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return pydicom.dcmread(BytesIO(file.getvalue()))


def by_highdicom(source: Dataset, contour: Dataset) -> NDArray[np.float64]:
    """Return a contour's (column, row) by another's arithmetic."""
    to_image = ReferenceToImageTransformer(
        image_position=[float(v) for v in source.ImagePositionPatient],
        image_orientation=[float(v) for v in source.ImageOrientationPatient],
        pixel_spacing=[float(v) for v in source.PixelSpacing],
    )
    points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
    found: NDArray[np.float64] = to_image(points)
    assert np.abs(found[:, 2]).max() < 1e-3  # on its image, in mm
    # There whole numbers are the upper left corners of pixels.
    return found[:, :2] - 0.5


def edge(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (column, row) of the middles of the sides between voxels in and out."""
    padded = np.pad(mask, 1)
    down = np.argwhere(padded[1:] != padded[:-1]) + np.array((0.5, 0))
    across = np.argwhere(padded[:, 1:] != padded[:, :-1]) + np.array((0, 0.5))
    found: NDArray[np.float64] = np.vstack((down, across))[:, ::-1] - 1.0
    return found


def test_contours_lie_on_the_mask(series: Series, made: dict[str, Any]) -> None:
    dataset = reread(propose(series.sources, series.regions, NETWORK, **made))
    images = {source.SOPInstanceUID: n for n, source in enumerate(series.sources)}
    apart = []
    for roi in dataset.ROIContourSequence:
        (contour,) = roi.ContourSequence
        (reference,) = contour.ContourImageSequence
        number = images[reference.ReferencedSOPInstanceUID]
        points = by_highdicom(series.sources[number], contour)
        outline = edge(series.masks[number])
        apart += [*cKDTree(outline).query(points)[0], *cKDTree(points).query(outline)[0]]
    assert len(dataset.ROIContourSequence) == len(series.regions) >= 3
    assert np.mean(apart) < 0.5  # pixels; asked for is below one


def test_what_is_written_is_read_back(series: Series, made: dict[str, Any]) -> None:
    dataset = reread(propose(series.sources, series.regions, NETWORK, **made))
    found = regions_of(dataset, series.sources)
    assert [one.number for one in found] == list(range(1, len(series.regions) + 1))
    for one, region in zip(found, series.regions, strict=True):
        assert one.SOPInstanceUID == series.sources[region.frame].SOPInstanceUID
        assert (one.frame, one.algorithm) == (0, "AUTOMATIC")
        np.testing.assert_allclose(one.polygon, region.polygon, atol=1e-3)


def test_it_says_whose_it_is_what_made_it_and_that_nobody_approved(
    series: Series, made: dict[str, Any]
) -> None:
    dataset = reread(propose(series.sources, series.regions, NETWORK, **made))
    first = series.sources[0]
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert dataset[keyword].value == first[keyword].value, keyword
    assert (dataset.SeriesInstanceUID, dataset.SOPInstanceUID) == ("2.25.8", "2.25.81")
    assert dataset.ApprovalStatus == "UNAPPROVED"
    assert (dataset.StructureSetDate, dataset.StructureSetTime) == ("20261121", "092352.123456")
    for text in (
        dataset.StructureSetDescription,
        dataset.StructureSetROISequence[0].ROIDescription,
        dataset.ContributingEquipmentSequence[0].ContributionDescription,
    ):
        for word in ("Chest U-Net 1.2", "2.25.77", "ab" * 32, "Research"):
            assert word in text
    for roi in dataset.StructureSetROISequence:
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
    for one in dataset.RTROIObservationsSequence:
        assert one.ROIInterpreter == "Chest U-Net"
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == first.FrameOfReferenceUID
    (study,) = frame.RTReferencedStudySequence
    (of_series,) = study.RTReferencedSeriesSequence
    assert of_series.SeriesInstanceUID == first.SeriesInstanceUID
    listed = [one.ReferencedSOPInstanceUID for one in of_series.ContourImageSequence]
    assert listed == [source.SOPInstanceUID for source in series.sources]


def errors_of(dataset: Dataset, path: Path) -> list[str]:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    # Debian's of 2022 is older than SyntheticData (0008,001C) and takes it for an error.
    del dataset.SyntheticData
    dataset.save_as(path, enforce_file_format=True)
    run = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    assert "RTStructureSet" in lines
    return [line for line in lines if line.startswith("Error")]


def test_dciodvfy_finds_no_error(series: Series, made: dict[str, Any], tmp_path: Path) -> None:
    proposal = propose(series.sources, series.regions, NETWORK, **made)
    verdicts = [REJECT] + [ACCEPT] * (len(series.regions) - 1)
    mixed = [Decision(n, verdict) for n, verdict in enumerate(verdicts, start=1)]
    none = [Decision(one.region, REJECT) for one in mixed]
    for decisions in (mixed, none):
        reviewed = review(proposal, decisions, DOE, WHEN, "so", SOPInstanceUID="2.25.82")
        assert errors_of(reviewed, tmp_path / "reviewed.dcm") == []
    assert errors_of(proposal, tmp_path / "proposal.dcm") == []


def test_a_review_leaves_the_accepted_and_says_who_and_when(
    series: Series, made: dict[str, Any]
) -> None:
    proposal = propose(series.sources, series.regions[:3], NETWORK, **made)
    before = proposal.to_json()
    edited = SQUARE + 0.25
    decisions = [Decision(3, ACCEPT, edited), Decision(1, ACCEPT), Decision(2, REJECT)]
    dataset = reread(
        review(
            *(proposal, decisions, DOE, WHEN, "The second is a vessel."),
            SOPInstanceUID="2.25.82",
            number=2,
            sources=series.sources,
        )
    )
    assert proposal.to_json() == before
    assert dataset.ApprovalStatus == "APPROVED"
    assert (dataset.ReviewDate, dataset.ReviewTime) == ("20261122", "080501")
    assert dataset.ReviewerName == "Doe^Jane"
    assert dataset.SeriesInstanceUID == proposal.SeriesInstanceUID
    assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == "2.25.82"
    assert dataset.InstanceNumber == 3
    assert dataset.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == "2.25.81"
    for words in ("accepted: 3, 1", "edited: 3", "rejected: 2", "vessel", NETWORK.uid):
        assert words in dataset.StructureSetDescription
    first, third = regions_of(dataset, series.sources)
    assert (first.number, first.algorithm) == (1, "AUTOMATIC")
    assert (third.number, third.algorithm) == (3, "SEMIAUTOMATIC")
    assert len(dataset.RTROIObservationsSequence) == len(dataset.StructureSetROISequence) == 2
    np.testing.assert_allclose(first.polygon, series.regions[0].polygon, atol=1e-3)
    np.testing.assert_allclose(third.polygon, edited, atol=1e-3)


def test_what_is_rejected_as_a_whole_keeps_what_was_proposed(
    series: Series, made: dict[str, Any]
) -> None:
    proposal = propose(series.sources, series.regions[:2], NETWORK, **made)
    decisions = [Decision(1, REJECT), Decision(2, REJECT)]
    dataset = reread(review(proposal, decisions, DOE, WHEN, SOPInstanceUID="2.25.82"))
    assert dataset.ApprovalStatus == "REJECTED"
    assert len(regions_of(dataset, series.sources)) == 2


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ([Decision(1, ACCEPT)], "one decision for each"),
        ([Decision(1, ACCEPT), Decision(1, REJECT)], "one decision for each"),
        ([Decision(1, ACCEPT), Decision(3, REJECT)], "one decision for each"),
        ([Decision(1, ACCEPT, SQUARE), Decision(2, REJECT)], "the image on which region 1"),
        ([Decision(1, ACCEPT, SQUARE[:2]), Decision(2, REJECT)], "3 to"),
    ],
)
def test_reviews_that_cannot_be(
    series: Series, made: dict[str, Any], decisions: list[Decision], words: str
) -> None:
    proposal = propose(series.sources, series.regions[:2], NETWORK, **made)
    with pytest.raises(UnwritableStructureSetError, match=words):
        review(proposal, decisions, DOE, WHEN, SOPInstanceUID="2.25.82")


def test_the_frames_of_an_enhanced_image(series: Series, made: dict[str, Any]) -> None:
    first, second = series.sources[:2]
    image = Dataset()
    for element in first:
        image.add(element)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del image[keyword]
    image.NumberOfFrames = 2
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = first.PixelSpacing
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = []
    for source in (first, second):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = source.ImagePositionPatient
        group.PlanePositionSequence = [position]
        image.PerFrameFunctionalGroupsSequence.append(group)
    dataset = reread(propose([image], [Found(1, SQUARE)], NETWORK, **made))
    (contour,) = dataset.ROIContourSequence[0].ContourSequence
    assert contour.ContourImageSequence[0].ReferencedFrameNumber == 2
    points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
    np.testing.assert_allclose(points, ImagePlane.of(second).to_patient(SQUARE), atol=1e-4)
    (found,) = regions_of(dataset, [image])
    assert found.frame == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("ImagePositionPatient"), "ImagePositionPatient .* missing"),
        (lambda s: s.pop("PixelSpacing"), "PixelSpacing .* missing"),
        (lambda s: s.pop("FrameOfReferenceUID"), "FrameOfReferenceUID .* missing"),
        (lambda s: setattr(s, "PixelSpacing", [1, 0]), "distances above 0"),
        (lambda s: setattr(s, "ImagePositionPatient", [1, 0]), "expected 3 numbers"),
        (lambda s: setattr(s, "ImageOrientationPatient", [2, 0, 0, 0, 1, 0]), "length 1"),
        (lambda s: setattr(s, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "right angle"),
        (lambda s: setattr(s, "NumberOfFrames", 2), "missing"),
    ],
)
def test_images_without_a_place(
    series: Series, made: dict[str, Any], change: Any, words: str
) -> None:
    source = series.sources[0]
    change(source)
    with pytest.raises(NoImagePlaneError, match=words):
        propose([source], [Found(0, SQUARE)], NETWORK, **made)


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([], "1 to"),
        ([Found(99, SQUARE)], "no frame 99"),
        ([Found(-1, SQUARE)], "no frame -1"),
        ([Found(0, SQUARE[:2])], "3 to"),
        ([Found(0, SQUARE * np.nan)], "no number"),
    ],
)
def test_regions_that_cannot_be(
    series: Series, made: dict[str, Any], regions: list[Found], words: str
) -> None:
    with pytest.raises(UnwritableStructureSetError, match=words):
        propose(series.sources, regions, NETWORK, **made)


def test_images_of_two_series_are_not_one_proposal(series: Series, made: dict[str, Any]) -> None:
    series.sources[1].SeriesInstanceUID = "2.25.9"
    with pytest.raises(UnwritableStructureSetError, match="one series"):
        propose(series.sources, [Found(0, SQUARE)], NETWORK, **made)


def test_a_header_that_cannot_be_used_is_not_quoted(series: Series, made: dict[str, Any]) -> None:
    del series.sources[0].SOPClassUID
    with pytest.raises(UnwritableStructureSetError, match="header does not allow it"):
        propose(series.sources, [Found(0, SQUARE)], NETWORK, **made)


def filled(drawn: list[DrawnRegion], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of contours, of which no two may share one."""
    found = np.zeros(shape, dtype=bool)
    for one in drawn:
        within = pixels_within(one.polygon, *shape)
        assert not (found & within).any()
        found |= within
    return found


def longest(dataset: Dataset) -> int:
    """Return the bytes of the longest contour."""
    return max(
        len("\\".join(map(str, contour.ContourData)))
        for item in dataset.ROIContourSequence
        for contour in item.ContourSequence
    )


def test_a_line_too_long_for_its_element_is_cut_into_parts(
    series: Series, made: dict[str, Any]
) -> None:
    mask = sieve(180, 6, 3)
    (part,) = trace(mask.astype(np.float32), mask, 0.5)
    dataset = reread(propose(series.sources, [Found(0, part.polygon)], NETWORK, **made))
    contours = dataset.ROIContourSequence[0].ContourSequence
    assert len(contours) > 1
    assert [int(one.ContourNumber) for one in contours] == list(range(1, len(contours) + 1))
    assert {one["ContourData"].VR for one in contours} == {"DS"}
    assert longest(dataset) < 2**16
    drawn = regions_of(dataset, series.sources)
    assert {one.number for one in drawn} == {1}
    assert np.array_equal(filled(drawn, mask.shape), mask)


def test_an_edited_line_too_long_for_its_element_is_cut_too(
    series: Series, made: dict[str, Any]
) -> None:
    angles = np.linspace(0, 2 * np.pi, 6000, endpoint=False)
    circle = np.column_stack((64.2 + 50 * np.cos(angles), 63.9 + 50 * np.sin(angles)))
    proposal = propose(series.sources, [Found(0, SQUARE)], NETWORK, **made)
    decisions = [Decision(1, ACCEPT, circle)]
    dataset = reread(
        review(
            *(proposal, decisions, DOE, WHEN),
            SOPInstanceUID="2.25.82",
            sources=series.sources,
        )
    )
    assert longest(dataset) < 2**16
    drawn = regions_of(dataset, series.sources)
    assert len(drawn) > 1
    assert np.array_equal(filled(drawn, (128, 128)), pixels_within(circle, 128, 128))


def test_a_line_that_cutting_cannot_shorten_is_refused(
    series: Series, made: dict[str, Any]
) -> None:
    """To and fro across the whole image: each cut gives both sides as many points."""
    ends = np.array([[1.25, 1.25], [100.25, 100.75], [1.75, 2.25]])
    with pytest.raises(UnwritableStructureSetError, match="too long"):
        propose(series.sources, [Found(0, np.tile(ends, (5000, 1)))], NETWORK, **made)


def test_points_lie_on_fine_pixels_as_exactly_as_on_others(
    series: Series, made: dict[str, Any]
) -> None:
    for source in series.sources:
        source.PixelSpacing = [0.02, 0.01]
    line = SQUARE + np.array([[0.021, 0.022]])
    dataset = reread(propose(series.sources, [Found(0, line)], NETWORK, **made))
    (found,) = regions_of(dataset, series.sources)
    np.testing.assert_allclose(found.polygon, line, atol=2e-3)


def test_a_contour_of_another_image_is_refused(series: Series, made: dict[str, Any]) -> None:
    dataset = propose(series.sources, [Found(0, SQUARE)], NETWORK, **made)
    (contour,) = dataset.ROIContourSequence[0].ContourSequence
    with pytest.raises(UnwritableStructureSetError, match="no image that is here"):
        regions_of(dataset, series.sources[1:])
    contour.ContourImageSequence[0].ReferencedSOPInstanceUID = series.sources[1].SOPInstanceUID
    with pytest.raises(UnwritableStructureSetError, match="off its image"):
        regions_of(dataset, series.sources)
