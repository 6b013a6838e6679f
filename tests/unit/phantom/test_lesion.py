"""The shapes of lesions, and what nodules the generator draws."""

import numpy as np
import pytest

from preread.phantom.chest import Chest
from preread.phantom.lesion import Density, Surface

SEEDS = range(12)


def _inside(surface: Surface, step: float) -> np.ndarray:
    """Return points of a fine grid that lie within, (n, 3), in diameters."""
    axis = np.arange(-surface.reach - step, surface.reach + 2 * step, step, dtype=np.float32)
    found = []
    for z in axis:
        depth, _ = surface.depth(axis[np.newaxis, :], axis[:, np.newaxis], float(z))
        rows, columns = np.nonzero(depth > 0)
        found.append(np.column_stack([axis[columns], axis[rows], np.full(rows.size, z)]))
    return np.concatenate(found)


@pytest.mark.parametrize("spiculation", [1, 2, 3, 4, 5])
def test_a_surface_encloses_a_sphere_s_volume_around_its_centre(spiculation: int) -> None:
    surface = Surface(np.random.default_rng(spiculation), spiculation)
    points = _inside(surface, 0.02)
    assert len(points) * 0.02**3 == pytest.approx(np.pi / 6, rel=0.02)
    assert np.abs(points.mean(axis=0)).max() < 0.01
    assert np.linalg.norm(points, axis=1).max() <= surface.reach


def test_a_higher_score_is_more_spiculated() -> None:
    def unevenness(spiculation: int) -> float:
        surface = Surface(np.random.default_rng(7), spiculation)
        return surface.reach / 0.5

    reached = [unevenness(score) for score in (1, 2, 3, 4, 5)]
    assert reached == sorted(reached)
    assert reached[0] < 1.35
    assert reached[-1] > 1.5


def test_nodules_lie_in_the_lungs_apart_and_are_of_all_kinds() -> None:
    chests = [Chest(seed) for seed in SEEDS]
    nodules = [nodule for chest in chests for nodule in chest.lesions]
    assert all(3 <= nodule.diameter <= 30 for nodule in nodules)
    assert {nodule.density for nodule in nodules} == set(Density)
    assert {nodule.malignant for nodule in nodules} == {False, True}
    assert len({nodule.spiculation for nodule in nodules}) >= 4
    assert not any(nodule.malignant for nodule in nodules if nodule.calcified)
    for chest in chests:
        assert 1 <= len(chest.lesions) <= 4
        for number, one in enumerate(chest.lesions):
            centre = np.array([one.x, one.y, one.z], dtype=np.float32)
            assert chest.thorax.lungs(*centre)
            assert abs(one.z) + one.reach < chest.height / 2
            for other in chest.lesions[number + 1 :]:
                between = np.linalg.norm(centre - (other.x, other.y, other.z))
                assert between > one.reach + other.reach


def test_malignant_nodules_are_larger_and_more_spiculated_as_a_rule() -> None:
    nodules = [nodule for seed in range(36) for nodule in Chest(seed).lesions]
    malignant = [nodule for nodule in nodules if nodule.malignant]
    benign = [nodule for nodule in nodules if not nodule.malignant]
    assert 0.3 < len(malignant) / len(nodules) < 0.7
    assert np.mean([n.diameter for n in malignant]) > np.mean([n.diameter for n in benign]) + 3
    assert (
        np.mean([n.spiculation for n in malignant]) > np.mean([n.spiculation for n in benign]) + 1
    )
    # The labels overlap: neither size nor spicules give them away.
    assert max(n.diameter for n in benign) > min(n.diameter for n in malignant)


def test_only_part_solid_and_calcified_nodules_have_a_core() -> None:
    for nodule in (nodule for seed in SEEDS for nodule in Chest(seed).lesions):
        cored = nodule.density is Density.PART_SOLID or nodule.calcified
        assert (nodule.core_diameter > 0) == cored
        assert nodule.core_diameter < nodule.diameter
