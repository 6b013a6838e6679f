"""Truth against voxels, and seeds."""

import math

import numpy as np
import pytest
from skimage.draw import polygon2mask

from preread.phantom import Acquisition, Grid, Kernel, Kind, PhantomError, make_volume

SEEDS = [0, 2, 3, 9, 21]
THICKNESSES = [1.0, 2.5, 5.0]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("thickness", THICKNESSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_voxels_have_the_volume_and_the_centre_of_the_lesion(
    kind: Kind, thickness: float, seed: int
) -> None:
    volume = make_volume(kind, seed, Acquisition(thickness))
    grid = volume.grid
    for lesion, mask in zip(volume.lesions, volume.masks(), strict=True):
        found = mask.voxels * grid.voxel_volume
        assert found == pytest.approx(lesion.volume, rel=0.02, abs=grid.voxel_volume)
        assert lesion.volume == pytest.approx(math.pi / 6 * lesion.diameter**3)
        said = np.array(grid.voxel(lesion.x, lesion.y, lesion.z))
        apart = np.abs(said - grid.voxel(*mask.centre(grid)))
        assert apart.max() <= 0.5


@pytest.mark.parametrize("thickness", THICKNESSES)
def test_the_voxels_are_those_within_the_surface(thickness: float) -> None:
    volume = make_volume(Kind.CHEST, 2, Acquisition(thickness))
    grid, axis = volume.grid, volume.grid.axis
    for lesion, mask in zip(volume.lesions, volume.masks(), strict=True):
        if lesion.diameter < 3 * thickness:
            continue
        number = round(grid.voxel(0, 0, lesion.z)[2])
        depth, _ = lesion.surface.depth(
            (axis[np.newaxis, mask.columns] - np.float32(lesion.x)) / np.float32(lesion.diameter),
            (axis[mask.rows, np.newaxis] - np.float32(lesion.y)) / np.float32(lesion.diameter),
            (grid.z(number) - lesion.z) / lesion.diameter,
        )
        within = depth > 0
        box = mask.box[number - mask.slices.start]
        assert 2 * (within & box).sum() / (within.sum() + box.sum()) > 0.93


@pytest.mark.parametrize("seed", SEEDS)
def test_contours_enclose_just_the_voxels(seed: int) -> None:
    volume = make_volume(Kind.CHEST, seed, Acquisition(2.5, size=256))
    masks = volume.masks()
    labels = volume.labels(masks)
    contours = 0
    for number, mask in enumerate(masks, start=1):
        for slice_ in range(volume.grid.slices):
            enclosed = np.zeros(labels.shape[1:], dtype=bool)
            for line in mask.contours(slice_):
                contours += 1
                assert len(line) >= 3
                enclosed |= polygon2mask(enclosed.shape, line[:, ::-1])  # type: ignore[no-untyped-call]  # scikit-image has no types
            np.testing.assert_array_equal(enclosed, labels[slice_] == number)
    assert contours >= len(masks)


def test_the_same_seed_makes_the_same_slices_in_any_order() -> None:
    one, other = (make_volume(Kind.CHEST, 7, Acquisition(5.0, size=128)) for _ in range(2))
    forwards = [one.slice_(number) for number in (20, 21)]
    backwards = [other.slice_(number) for number in (21, 20)]
    np.testing.assert_array_equal(forwards, backwards[::-1])
    assert (forwards[0] != forwards[1]).any()


@pytest.mark.parametrize("kind", Kind)
def test_another_seed_makes_another_anatomy(kind: Kind) -> None:
    one, other = (make_volume(kind, seed, Acquisition(5.0, size=128)) for seed in (1, 2))
    assert (one.lesions[0].x, one.lesions[0].y) != (other.lesions[0].x, other.lesions[0].y)
    assert np.abs(one.slice_(15).astype(int) - other.slice_(15)).max() > 500


def test_the_way_of_imaging_leaves_the_anatomy_alone() -> None:
    soft = make_volume(Kind.CHEST, 1, Acquisition(2.5, Kernel.SOFT, 256))
    lung = make_volume(Kind.CHEST, 1, Acquisition(5.0, Kernel.LUNG, 512))
    for one, other in zip(soft.lesions, lung.lesions, strict=True):
        assert (one.x, one.y, one.z, one.diameter) == (other.x, other.y, other.z, other.diameter)
    assert soft.grid.slices == 2 * lung.grid.slices
    assert soft.grid.size * soft.grid.pixel_spacing == pytest.approx(
        lung.grid.size * lung.grid.pixel_spacing
    )


def test_the_kernel_changes_the_noise_of_the_image() -> None:
    deviations = []
    for kernel in (Kernel.SOFT, Kernel.STANDARD, Kernel.LUNG):
        volume = make_volume(Kind.CHEST, 1, Acquisition(5.0, kernel))
        number = round(volume.grid.voxel(0, 0, -46)[2])
        heart = volume.slice_(number)[220:240, 270:290]
        deviations.append(heart.std())
    assert deviations[0] * 1.2 < deviations[1] < deviations[2] / 1.5


def test_all_slices_are_the_array() -> None:
    volume = make_volume(Kind.BRAIN, 1, Acquisition(10.0, size=64))
    array = volume.array()
    assert array.shape == (16, 64, 64)
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array[3], volume.slice_(3))


def test_positions_and_voxels_are_each_other_s_inverse() -> None:
    grid = Grid(size=128, pixel_spacing=1.5, slice_thickness=2.5, slices=41)
    assert grid.position(63.5, 63.5, 20) == (0, 0, 0)
    assert grid.voxel(*grid.position(3, 100.25, 7)) == pytest.approx((3, 100.25, 7))
    assert grid.planes(20, 1.25) == pytest.approx([-0.625, 0.625])


@pytest.mark.parametrize("thickness", [0.4, 10.1, -1.0, math.nan, math.inf])
def test_an_impossible_thickness_is_refused(thickness: float) -> None:
    with pytest.raises(PhantomError, match=r"slice thickness .* expected 0.5 to 10 mm"):
        Acquisition(slice_thickness=thickness)


@pytest.mark.parametrize("size", [63, 1025, 0, -512])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(PhantomError, match="expected 64 to 1024 pixels"):
        Acquisition(size=size)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_an_impossible_seed_is_refused(seed: int) -> None:
    with pytest.raises(PhantomError, match="expected 0 to 4294967295"):
        make_volume(Kind.CHEST, seed)
