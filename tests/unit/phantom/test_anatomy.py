"""What the images show: tissues with their values, vessels, and lesions where they are said."""

import itertools

import numpy as np
import pytest

from preread.phantom import Acquisition, Density, Kernel, Kind, Volume, make_volume
from preread.phantom.chest import Chest
from preread.phantom.vessels import Tubes, grow

SEEDS = [0, 1, 5, 11]
COARSE = Acquisition(slice_thickness=5.0, kernel=Kernel.SOFT, size=256)


def _around(volume: Volume, x: float, y: float, z: float, reach: int = 2) -> np.ndarray:
    column, row, number = (round(float(place)) for place in volume.grid.voxel(x, y, z))
    image = volume.slice_(number)
    return image[row - reach : row + reach + 1, column - reach : column + reach + 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_tissues_have_their_hounsfield_units(seed: int) -> None:
    volume = make_volume(Kind.CHEST, seed, COARSE)
    thorax = Chest(seed).thorax
    width, _ = thorax.body
    assert _around(volume, -175, -160, 0).mean() == pytest.approx(-1000, abs=8)
    assert _around(volume, 0, 8, 90).mean() < -930  # trachea
    assert _around(volume, width - thorax.fat / 2 - 1, 0, 0, 1).mean() == pytest.approx(
        -100, abs=35
    )
    assert _around(volume, 16, -20, -46).mean() == pytest.approx(42, abs=12)  # heart
    assert _around(volume, -58, 6, thorax.diaphragm - 25).mean() == pytest.approx(60, abs=12)
    assert 120 < _around(volume, 0, thorax.spine, 10).mean() < 270  # bone marrow
    assert _around(volume, 0, thorax.spine + 22, 10).mean() == pytest.approx(30, abs=20)  # cord
    assert volume.slice_(30).max() > 350  # cortical bone


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_are_air_with_vessels(seed: int) -> None:
    volume = make_volume(Kind.CHEST, seed, COARSE)
    axis, number = volume.grid.axis, 30
    z = volume.grid.z(number)
    lungs = Chest(seed).thorax.lungs(axis[np.newaxis, :], axis[:, np.newaxis], z)
    for lesion, mask in zip(volume.lesions, volume.masks(), strict=True):
        rows, columns = lesion.window(axis[np.newaxis, :], axis[:, np.newaxis])
        if mask.slices.start <= number < mask.slices.stop:
            lungs[rows, columns] = False
    values = volume.slice_(number)[lungs]
    assert -900 < np.median(values) < -800
    assert 0.005 < (values > -500).mean() < 0.15
    assert 0.07 < lungs.mean() < 0.4


def test_vessels_branch_and_get_thinner() -> None:
    everywhere = np.ones
    spheres = grow(
        np.random.default_rng(2),
        (0.0, 0.0, 0.0),
        np.array([[1.0, 0.0, 0.0]]),
        3.0,
        lambda points: everywhere(len(points), dtype=bool),
        (0.0, 0.0, 0.0),
    )
    thick = spheres[spheres[:, 3] > 1.5]
    thin = spheres[spheres[:, 3] < 0.8]
    assert len(thin) > 5 * len(thick)
    assert np.linalg.norm(thin[:, :3], axis=1).mean() > np.linalg.norm(thick[:, :3], axis=1).mean()
    # Far out, one root has become many branches.
    axis = np.linspace(-60, 60, 240, dtype=np.float32)
    covered = Tubes(spheres[:, [1, 2, 0, 3]]).coverage(axis[np.newaxis, :], axis[:, np.newaxis], 40)
    from scipy import ndimage

    assert ndimage.label(covered > 0.5)[1] >= 5
    near = Tubes(spheres[:, [1, 2, 0, 3]]).coverage(axis[np.newaxis, :], axis[:, np.newaxis], 3)
    assert ndimage.label(near > 0.5)[1] == 1


@pytest.mark.parametrize("kind", Kind)
def test_lesions_show_where_they_are_said_to_be(kind: Kind) -> None:
    shown = 0
    for seed in SEEDS:
        volume = make_volume(kind, seed, Acquisition(2.0, Kernel.SOFT, 512))
        for lesion, mask in zip(volume.lesions, volume.masks(), strict=True):
            if lesion.diameter < 8 or lesion.core or shown > 5:
                continue
            shown += 1
            number = round(volume.grid.voxel(0, 0, lesion.z)[2])
            image = volume.slice_(number)[mask.rows, mask.columns]
            share = mask.share[number - mask.slices.start]
            within, outside = image[share == 1], image[share == 0]
            if kind is Kind.BRAIN:
                assert np.median(within) > 1.25 * np.percentile(outside, 75)
            elif lesion.density is Density.SOLID:
                assert np.median(within) == pytest.approx(lesion.value, abs=12)
                assert np.median(outside) < -700
            else:
                # Vessels run through it.
                assert np.percentile(within, 30) == pytest.approx(lesion.value, abs=35)
    assert shown >= 2


def test_a_part_solid_nodule_is_denser_within() -> None:
    chests = ((seed, Chest(seed).lesions) for seed in range(60))
    cored = (
        (seed, lesion)
        for seed, lesions in chests
        for lesion in lesions
        if lesion.density is Density.PART_SOLID and lesion.core_diameter > 6
    )
    for seed, lesion in itertools.islice(cored, 2):
        volume = make_volume(Kind.CHEST, seed, Acquisition(1.0, Kernel.SOFT, 512))
        middle = _around(volume, lesion.x, lesion.y, lesion.z, 1)
        assert middle.mean() == pytest.approx(lesion.core_value, abs=40)
        assert middle.mean() > lesion.value + 300


def test_a_head_has_the_signals_of_its_tissues() -> None:
    volume = make_volume(Kind.BRAIN, 4, Acquisition(4.0, size=256))
    air = _around(volume, -112, -112, 0)
    fluid = _around(volume, 9.5, 0, 10, 0)
    white = _around(volume, -38, -10, 30)
    assert air.mean() < 60 < fluid.mean() < 400
    assert 600 < white.mean() < 900
    assert volume.slice_(20).max() > 950  # fat of the scalp
