"""What is written: DICOM that others read, the same each time, and synthetic by its own word."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage
from skimage.draw import polygon2mask

from preread.phantom import Acquisition, Kernel, Kind, PhantomError, Volume, make_volume
from preread.phantom.writing import PhantomFiles, write_phantom

QUICK = Acquisition(slice_thickness=10.0, kernel=Kernel.LUNG, size=128)
Written = tuple[Volume, PhantomFiles]


@pytest.fixture(scope="module", params=list(Kind))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    volume = make_volume(request.param, 2, QUICK)
    return volume, write_phantom(volume, tmp_path_factory.mktemp("phantom"))


def _objects(files: PhantomFiles) -> list[Path]:
    return [*files.images, files.segmentation, files.structure_set]


def test_the_same_seed_makes_the_same_bytes(written: Written, tmp_path: Path) -> None:
    volume, files = written
    again = write_phantom(make_volume(volume.kind, volume.seed, QUICK), tmp_path)
    for one, other in zip(_objects(files), _objects(again), strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert files.truth.read_text() == again.truth.read_text()


def test_each_object_says_that_it_is_synthetic(written: Written) -> None:
    _, files = written
    assert files.folder.name.startswith("synthetic-")
    assert json.loads(files.truth.read_text())["Synthetic"] is True
    for path in _objects(files):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert dataset.SyntheticData == "YES"
        for keyword in (
            "PatientName",
            "PatientID",
            "PatientComments",
            "StudyDescription",
            "SeriesDescription",
            "ManufacturerModelName",
        ):
            assert "synthetic" in str(dataset[keyword].value).lower(), keyword


def test_all_objects_are_one_study_of_three_series(written: Written) -> None:
    _, files = written
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in _objects(files)]
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({dataset[keyword].value for dataset in datasets}) == 1
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 3
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
    truth = json.loads(files.truth.read_text())
    assert truth["SeriesInstanceUID"] == datasets[0].SeriesInstanceUID


def test_images_hold_the_slices_where_they_lie(written: Written) -> None:
    volume, files = written
    chest = volume.kind is Kind.CHEST
    assert len(files.images) == volume.grid.slices
    for number, path in enumerate(files.images):
        dataset = pydicom.dcmread(path)
        assert dataset.SOPClassUID == (CTImageStorage if chest else MRImageStorage)
        assert [float(v) for v in dataset.ImagePositionPatient] == pytest.approx(
            volume.grid.position(0, 0, number), abs=1e-5
        )
        assert float(dataset.SliceThickness) == 10.0
        shift = int(dataset.get("RescaleIntercept", 0))
        values = dataset.pixel_array.astype(int) + shift
        if number in (0, 9):
            np.testing.assert_array_equal(values, volume.slice_(number))
    assert dataset.get("ConvolutionKernel") == ("LUNG" if chest else None)


def test_uids_depend_on_how_it_is_imaged() -> None:
    from preread.phantom.images import image_uid, uid

    volumes = [
        make_volume(Kind.CHEST, 1, acquisition)
        for acquisition in (
            QUICK,
            Acquisition(10.0, Kernel.SOFT, 128),
            Acquisition(5.0, Kernel.LUNG, 128),
            Acquisition(10.0, Kernel.LUNG, 64),
        )
    ]
    volumes.append(make_volume(Kind.CHEST, 2, QUICK))
    assert len({image_uid(volume, 3) for volume in volumes}) == 5
    assert len({uid(volume, "study") for volume in volumes}) == 2


def test_highdicom_reads_the_segmentation(written: Written) -> None:
    volume, files = written
    found = highdicom.seg.segread(files.segmentation)
    assert found.number_of_segments == len(volume.lesions)
    labels = volume.labels(volume.masks())
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in files.images]
    pixels = found.get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(pixels, labels)
    in_space = found.get_volume(combine_segments=True)
    middle = np.argwhere(in_space.array == 1).mean(axis=0)
    lesion = volume.lesions[0]
    said = np.array([lesion.x, lesion.y, lesion.z])
    grid = volume.grid
    voxel = (grid.pixel_spacing, grid.pixel_spacing, grid.slice_thickness)
    apart = np.abs(in_space.map_indices_to_reference(middle[np.newaxis])[0] - said)
    assert (apart <= np.array(voxel) / 2).all()


def _enclosed(roi: Dataset, volume: Volume, numbers: dict[str, int]) -> np.ndarray[Any, Any]:
    """Return the voxels within the contours of a ROI, by their patient coordinates alone."""
    grid = volume.grid
    mask = np.zeros((grid.slices, grid.size, grid.size), dtype=bool)
    for contour in roi.ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        assert len(points) == contour.NumberOfContourPoints
        column, row, slice_ = grid.voxel(*points.T)
        number = numbers[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        assert slice_ == pytest.approx(number, abs=1e-3)
        outline = np.column_stack([row, column])
        mask[number] |= polygon2mask(mask.shape[1:], outline)  # type: ignore[no-untyped-call]  # scikit-image has no types
    return mask


def test_pydicom_reads_the_structure_set(written: Written) -> None:
    volume, files = written
    dataset = pydicom.dcmread(files.structure_set)
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in files.images]
    numbers = {uid: number for number, uid in enumerate(uids)}
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == uids
    labels = volume.labels(volume.masks())
    assert len(dataset.ROIContourSequence) == len(volume.lesions)
    for number, roi in enumerate(dataset.ROIContourSequence, start=1):
        assert roi.ReferencedROINumber == number
        np.testing.assert_array_equal(_enclosed(roi, volume, numbers), labels == number)
    for roi, lesion in zip(dataset.StructureSetROISequence, volume.lesions, strict=True):
        assert float(roi.ROIVolume) == pytest.approx(lesion.volume / 1000, abs=1e-6)


def test_the_json_says_what_is_true_of_each_lesion(written: Written) -> None:
    volume, files = written
    truth = json.loads(files.truth.read_text())
    labels = volume.labels(volume.masks())
    assert (truth["Kind"], truth["Seed"]) == (volume.kind, 2)
    assert truth["Kernel"] == ("lung" if volume.kind is Kind.CHEST else None)
    assert len(truth["Lesions"]) == len(volume.lesions)
    for number, (said, lesion) in enumerate(zip(truth["Lesions"], volume.lesions, strict=True), 1):
        assert said["Centre"] == pytest.approx([lesion.x, lesion.y, lesion.z], abs=1e-3)
        assert said["Diameter"] == pytest.approx(lesion.diameter, abs=1e-3)
        assert said["Density"] == lesion.density
        assert (said["Malignant"], said["Spiculation"]) == (lesion.malignant, lesion.spiculation)
        assert said["Voxels"] == (labels == number).sum()
        shown = np.flatnonzero((labels == number).any(axis=(1, 2)))
        assert len(said["SOPInstanceUIDs"]) == len(shown)


def _dciodvfy(path: Path) -> list[str]:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    run = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return (run.stdout + run.stderr).splitlines()


def test_dciodvfy_finds_no_error(written: Written, tmp_path: Path) -> None:
    volume, files = written
    image = "CTImage" if volume.kind is Kind.CHEST else "MRImage"
    for path, iod in (
        (files.images[0], image),
        (files.segmentation, "Segmentation"),
        (files.structure_set, "RTStructureSet"),
    ):
        # Debian's dciodvfy of 2022 is older than SyntheticData (0008,001C): takes it for an error.
        dataset = pydicom.dcmread(path)
        del dataset.SyntheticData
        dataset.save_as(tmp_path / path.name)
        lines = _dciodvfy(tmp_path / path.name)
        assert [line for line in lines if line.startswith("Error")] == []
        assert iod in lines


def test_nothing_is_written_over(written: Written) -> None:
    volume, files = written
    before = files.truth.read_bytes()
    with pytest.raises(PhantomError, match="there already"):
        write_phantom(volume, files.folder.parent)
    assert files.truth.read_bytes() == before


def test_progress_is_told_after_each_slice(tmp_path: Path) -> None:
    volume = make_volume(Kind.BRAIN, 1, Acquisition(10.0, size=64))
    told: list[None] = []
    write_phantom(volume, tmp_path, lambda: told.append(None))
    assert len(told) == volume.grid.slices
