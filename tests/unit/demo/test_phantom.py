"""The computed chest."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage

from preread.demo.phantom import (
    PIXEL_SPACING,
    SIZE,
    Phantom,
    PhantomError,
    chest_series,
    write_chest_series,
)


def _row_and_column(x: float, y: float) -> tuple[int, int]:
    return tuple(round(v / PIXEL_SPACING + (SIZE - 1) / 2) for v in (y, x))  # type: ignore[return-value]  # two in, two out


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_chest_series(tmp_path / name, seed=3, slices=2)
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_another_seed_makes_another_chest_of_another_patient() -> None:
    one, other = (next(chest_series(seed, slices=1)) for seed in (1, 2))
    assert one.PixelData != other.PixelData
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert one[keyword].value != other[keyword].value


def test_it_says_that_it_is_synthetic() -> None:
    dataset = next(chest_series(slices=1))
    assert dataset.SyntheticData == "YES"
    for keyword in ("PatientName", "PatientID", "StudyDescription", "SeriesDescription"):
        assert "synthetic" in str(dataset[keyword].value).lower()
    assert "no patient" in dataset.ImageComments


def test_a_series_is_one_volume() -> None:
    datasets = list(chest_series(slices=3))
    assert {dataset.SOPClassUID for dataset in datasets} == {CTImageStorage}
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 3
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 1
    assert [float(dataset.ImagePositionPatient[2]) for dataset in datasets] == [-5, 0, 5]
    assert [dataset.InstanceNumber for dataset in datasets] == [1, 2, 3]


def test_tissues_have_their_hounsfield_units() -> None:
    phantom = Phantom(1)
    nodule = phantom.nodule
    image = phantom.slice_at(nodule.z)
    row, column = _row_and_column(nodule.x, nodule.y)
    assert image.shape == (512, 512)
    assert 0 < image[row - 3 : row + 4, column - 3 : column + 4].mean() < 70
    assert image[:20, :20].mean() == pytest.approx(-1000, abs=10)
    mirrored = _row_and_column(-np.sign(nodule.x) * 100, -40)
    lung = image[mirrored[0] - 3 : mirrored[0] + 4, mirrored[1] - 3 : mirrored[1] + 4]
    assert -950 < lung.mean() < -700
    assert image.max() > 250  # ribs and spine


@pytest.mark.parametrize("seed", [0, 5, 11])
def test_every_chest_has_its_nodule_inside_a_lung(seed: int) -> None:
    phantom = Phantom(seed)
    nodule = phantom.nodule
    image = phantom.slice_at(nodule.z)
    row, column = _row_and_column(nodule.x, nodule.y)
    assert image[row, column] > -100
    reach = round(1.6 * nodule.radius / PIXEL_SPACING)
    above = image[row - reach - 2 : row - reach + 3, column - 2 : column + 3]
    assert above.mean() < -300


@pytest.mark.parametrize("slices", [0, -1, 48])
def test_an_impossible_number_of_slices_is_refused(slices: int) -> None:
    with pytest.raises(PhantomError, match="expected 1 to 47"):
        next(chest_series(slices=slices))


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(PhantomError, match="0 or more"):
        Phantom(-1)


def test_dciodvfy_accepts_it(tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("not installed: dciodvfy (Debian package dicom3tools)")
    (path,) = write_chest_series(tmp_path, slices=1)
    # Debian's dciodvfy of 2022 is older than SyntheticData (0008,001C) and takes it for an error.
    dataset = pydicom.dcmread(path)
    del dataset.SyntheticData
    dataset.save_as(path)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []
    assert "CTImage" in lines
