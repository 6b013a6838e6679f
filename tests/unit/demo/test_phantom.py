"""The computed chest that the demonstration sends."""

from pathlib import Path

import pydicom
import pytest

from preread.demo.phantom import THICKNESS, write_chest_series
from preread.phantom.errors import PhantomError


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_chest_series(tmp_path / name, seed=3, slices=2)
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_slices_are_one_volume_that_says_it_is_synthetic(tmp_path: Path) -> None:
    datasets = [pydicom.dcmread(path) for path in write_chest_series(tmp_path, slices=3)]
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 1
    assert [dataset.InstanceNumber for dataset in datasets] == [1, 2, 3]
    places = [float(dataset.ImagePositionPatient[2]) for dataset in datasets]
    assert places[1] - places[0] == places[2] - places[1] == THICKNESS
    for dataset in datasets:
        assert dataset.SyntheticData == "YES"
        for keyword in ("PatientName", "PatientID", "StudyDescription"):
            assert "synthetic" in str(dataset[keyword].value).lower()


@pytest.mark.parametrize("slices", [0, -1, 48])
def test_an_impossible_number_of_slices_is_refused(slices: int, tmp_path: Path) -> None:
    with pytest.raises(PhantomError, match="expected 1 to 47"):
        write_chest_series(tmp_path, slices=slices)


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhantomError):
        write_chest_series(tmp_path, seed=-1)
