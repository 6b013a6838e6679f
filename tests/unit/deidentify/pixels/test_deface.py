"""Synthetic heads lose their faces, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence
from scipy import ndimage

from preread.deidentify import DeidentificationError
from preread.deidentify.pixels.deface import deface_frames

AIR, SOFT, BONE, BRAIN, EYE = range(5)
HU = np.array([-1000, 50, 900, 35, 10])
SIGNAL = np.array([0, 600, 60, 400, 300])
NOSE, NOSE_RADII = (0, -96, -72), (14, 24, 24)
SIZE = 160
STEP = 1.6


def inside(x: Any, y: Any, z: Any, centre: Any, radii: Any) -> Any:
    return sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), centre, radii, strict=True)) <= 1


def tissue(points: NDArray[Any]) -> NDArray[np.int64]:
    """Tell what lies at points (..., 3), mm, left, posterior, up; the middle of the head is 0."""
    x, y, z = np.moveaxis(points, -1, 0)
    soft = inside(x, y, z, (0, 0, 0), (76, 96, 100))
    soft |= inside(x, y, z, (0, -30, -65), (60, 62, 75))
    soft |= (x**2 + (y - 15) ** 2 < 55**2) & (z < -40)
    soft |= inside(x, y, z, NOSE, NOSE_RADII)  # nose
    soft |= inside(x, y, z, (0, -86, -105), (20, 10, 7))  # lips
    for side in (-1, 1):
        soft |= inside(x, y, z, (side * 78, 8, -30), (14, 4, 28))  # ears stand off
    found = np.where(soft, SOFT, AIR)
    found[inside(x, y, z, (0, 0, 0), (71, 91, 95)) & (z > -50)] = BONE
    found[
        inside(x, y, z, (0, -25, -95), (45, 45, 30)) & ~inside(x, y, z, (0, -20, -95), (38, 38, 26))
    ] = BONE
    found[inside(x, y, z, (0, 0, 0), (64, 84, 88)) & (z > -43)] = BRAIN
    for side in (-1, 1):
        found[inside(x, y, z, (side * 32, -76, -63), (12, 12, 12))] = EYE
    return found


@dataclass
class Scan:
    """A slice, or a volume, of the head, and what is where in it."""

    dataset: Dataset
    frames: list[NDArray[Any]]
    labels: list[NDArray[np.int64]]
    points: list[NDArray[Any]]

    def defaced(self) -> list[NDArray[Any]]:
        return list(deface_frames(self.dataset, self.frames))


def scan(
    modality: str = "CT",
    row: tuple[float, float, float] = (1, 0, 0),
    column: tuple[float, float, float] = (0, 1, 0),
    offsets: tuple[float, ...] = (0.0,),
    *,
    dtype: Any = np.int16,
    slope: float = 1,
    intercept: float = 0,
    shift: tuple[float, float, float] = (0, 0, 0),
    step: tuple[float, float] = (STEP, STEP),
) -> Scan:
    """Make slices at distances along the normal from the middle of the head."""
    across, down = np.array(row, float), np.array(column, float)
    across, down = across / np.linalg.norm(across), down / np.linalg.norm(down)
    normal = np.cross(across, down)
    random = np.random.default_rng(1)
    made = Scan(Dataset(), [], [], [])
    positions = []
    middle = np.array((0, -15, -20))
    for offset in offsets:
        corner = middle - across * step[1] * SIZE / 2 - down * step[0] * SIZE / 2 + normal * offset
        grid = np.arange(SIZE)
        points = (
            corner + grid[:, None, None] * step[0] * down + grid[None, :, None] * step[1] * across
        )
        labels = tissue(points)
        if modality == "CT":
            values = HU[labels] + random.normal(0, 8, labels.shape)
        else:
            real, imaginary = random.normal(0, 12, (2, *labels.shape))
            values = np.hypot(SIGNAL[labels] + real, imaginary)
        made.frames.append(np.round((values - intercept) / slope).astype(dtype))
        made.labels.append(labels)
        made.points.append(points)
        positions.append(corner + np.array(shift))
    describe(made.dataset, modality, [*across, *down], positions, step, slope, intercept)
    return made


def describe(
    dataset: Dataset,
    modality: str,
    orientation: list[float],
    positions: list[NDArray[Any]],
    step: tuple[float, float],
    slope: float,
    intercept: float,
) -> None:
    dataset.Modality = modality
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIZE
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    if len(positions) == 1:
        dataset.ImageOrientationPatient = orientation
        dataset.ImagePositionPatient = [float(value) for value in positions[0]]
        dataset.PixelSpacing = list(step)
        return
    dataset.NumberOfFrames = len(positions)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = orientation
    measures.PixelSpacing = list(step)
    shared.PlaneOrientationSequence = Sequence([plane])
    shared.PixelMeasuresSequence = Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence()
    for each in positions:
        own, position = Dataset(), Dataset()
        position.ImagePositionPatient = [float(value) for value in each]
        own.PlanePositionSequence = Sequence([position])
        dataset.PerFrameFunctionalGroupsSequence.append(own)


def remains(made: Scan, defaced: NDArray[Any], index: int = 0) -> NDArray[np.bool_]:
    """Tell where tissue can still be seen, by the values alone."""
    dataset = made.dataset
    if dataset.Modality == "CT":
        return np.asarray(
            defaced.astype(float) * dataset.RescaleSlope + dataset.RescaleIntercept > -500
        )
    return np.asarray(ndimage.median_filter(defaced, 3) > 150)


def check(made: Scan, defaced: list[NDArray[Any]], *, brain: float = 0.001) -> float:
    """Compare with the original; return how many mm of the face went, at the 5th percentile."""
    depths = []
    for frame, old, labels, points in zip(
        defaced, made.frames, made.labels, made.points, strict=True
    ):
        assert frame.dtype == old.dtype
        assert frame.shape == old.shape
        changed = frame != old
        y = points[..., 1]
        assert changed[labels == BRAIN].sum() <= brain * (labels == BRAIN).sum()
        assert not changed[(y > 40) & (labels != AIR)].any()
        seen = remains(made, frame)
        depths += list(_gone_before(labels != AIR, seen, points))
    return float(np.percentile(depths, 5)) if depths else np.inf


def _gone_before(head: NDArray[Any], seen: NDArray[Any], points: NDArray[Any]) -> Any:
    """Yield, for lines from front to back that meet the face, how much went of what they meet."""
    axis = int(np.argmax([np.ptp(points[:, 0, 1]), np.ptp(points[0, :, 1])]))
    for line in range(head.shape[1 - axis]):
        ys = np.take(points[..., 1], line, axis=1 - axis)
        was, left = (np.take(mask, line, axis=1 - axis) for mask in (head, seen))
        x = np.take(points[..., 0], line, axis=1 - axis)
        if was.any() and ys[was].min() < -50 and abs(x[was.argmax()]) < 50:
            yield (ys[left].min() if left.any() else 100) - ys[was].min()


AXIAL = {
    "as usual": ((1, 0, 0), (0, 1, 0)),
    "rows upside down": ((1, 0, 0), (0, -1, 0)),
    "columns mirrored": ((-1, 0, 0), (0, 1, 0)),
    "turned": ((0, 1, 0), (1, 0, 0)),
    "turned and mirrored": ((0, -1, 0), (1, 0, 0)),
    "tilted by 20 degrees": ((1, 0, 0), (0, 0.94, -0.342)),
    "head turned by 15 degrees": ((0.966, 0.259, 0), (-0.259, 0.966, 0)),
}
SAGITTAL = {
    "as usual": ((0, 1, 0), (0, 0, -1)),
    "facing right": ((0, -1, 0), (0, 0, -1)),
    "upside down": ((0, 1, 0), (0, 0, 1)),
    "transposed": ((0, 0, -1), (0, 1, 0)),
}
LEVELS = (60.0, 30.0, 0.0, -15.0, -30.0, -45.0, -60.0, -85.0)


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("name", AXIAL)
def test_axial_slices(modality: str, name: str) -> None:
    for level in LEVELS:
        made = scan(modality, *AXIAL[name], offsets=(level,))
        assert check(made, made.defaced()) >= 6


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("name", SAGITTAL)
def test_sagittal_slices(modality: str, name: str) -> None:
    for level in (-45.0, -20.0, 0.0, 10.0, 35.0):
        made = scan(modality, *SAGITTAL[name], offsets=(level,))
        assert check(made, made.defaced()) >= 6


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_nose_lips_and_ears_are_gone(modality: str) -> None:
    for z in (-65.0, -80.0, -105.0):
        made = scan(modality, offsets=(z + 20,))
        (frame,) = made.defaced()
        x, y = made.points[0][..., 0], made.points[0][..., 1]
        seen = remains(made, frame)
        nose = (np.abs(x) < 8) & (y < -93)
        assert (made.labels[0][nose] != AIR).any()
        assert not seen[nose].any()
    made = scan(modality, offsets=(-10.0,))
    (frame,) = made.defaced()
    x, y = made.points[0][..., 0], made.points[0][..., 1]
    ears = (np.abs(x) > 80) & (made.labels[0] == SOFT)
    assert ears.any()
    assert remains(made, frame)[ears].mean() < 0.05


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("facing", [(1, 0, 0), (-1, 0, 0)])
def test_a_coronal_volume(modality: str, facing: tuple[float, float, float]) -> None:
    offsets = tuple(np.arange(-112, 112, 4.0))
    made = scan(modality, facing, (0, 0, -1), offsets)
    defaced = made.defaced()
    face = whole = brain = all_brain = 0
    for frame, old, labels, points in zip(
        defaced, made.frames, made.labels, made.points, strict=True
    ):
        y, z = points[..., 1], points[..., 2]
        brain += int((frame != old)[labels == BRAIN].sum())
        all_brain += int((labels == BRAIN).sum())
        assert not (frame != old)[y > 40].any()
        nose = inside(points[..., 0], y, z, NOSE, NOSE_RADII) & (y < -99)
        face += int(remains(made, frame)[nose].sum())
        whole += int(nose.sum())
    assert brain <= 0.001 * all_brain
    assert whole > 100
    assert face == 0


def test_volumes_of_axial_and_sagittal_frames_are_cut_frame_by_frame() -> None:
    for row, column in (AXIAL["as usual"], SAGITTAL["facing right"]):
        made = scan("MR", row, column, (-20.0, -10.0, 0.0))
        assert check(made, made.defaced()) >= 6
        alone = scan("MR", row, column, (-20.0,))
        np.testing.assert_array_equal(made.defaced()[0], alone.defaced()[0])


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept"),
    [(np.uint16, 1, -1024), (np.int16, 1, 0), (np.int16, 2, -24), (np.uint16, 0.5, -1024)],
)
def test_stored_values_of_every_kind(dtype: Any, slope: float, intercept: float) -> None:
    made = scan("CT", dtype=dtype, slope=slope, intercept=intercept, offsets=(-20.0,))
    (frame,) = made.defaced()
    assert check(made, [frame]) >= 6
    changed = frame != made.frames[0]
    values = frame[changed].astype(float) * slope + intercept
    np.testing.assert_allclose(values, -1000, atol=50)


def test_coordinates_of_a_table_that_was_moved_do_not_matter() -> None:
    here, there = scan(offsets=(-20.0,)), scan(offsets=(-20.0,), shift=(300, -200, 1500))
    np.testing.assert_array_equal(here.defaced()[0], there.defaced()[0])


def test_pixels_that_are_not_square() -> None:
    made = scan("MR", offsets=(-20.0,), step=(1.2, 1.9))
    assert check(made, made.defaced()) >= 6


def test_deterministic_and_the_input_is_left_alone() -> None:
    made = scan("MR", offsets=(-25.0,))
    before = made.frames[0].copy()
    first, second = made.defaced(), made.defaced()
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(made.frames[0], before)


def test_growing_the_cut_surface_does_not_give_the_face() -> None:
    """Where a copy of the surface was left, the depth would be the same everywhere."""
    made = scan("MR", offsets=(-25.0,))
    (frame,) = made.defaced()
    depths = list(_gone_before(made.labels[0] != AIR, remains(made, frame), made.points[0]))
    assert np.std(depths) > 2
    assert max(depths) - min(depths) > 8


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_slices_without_a_face_pass(modality: str) -> None:
    above = scan(modality, offsets=(125.0,))
    (frame,) = above.defaced()
    assert (frame == above.frames[0]).mean() > 0.999
    vertex = scan(modality, offsets=(100.0,))
    check(vertex, vertex.defaced())
    empty = scan(modality, offsets=(0.0,))
    empty.frames = [np.zeros_like(empty.frames[0])]
    if modality == "MR":
        np.testing.assert_array_equal(empty.defaced()[0], empty.frames[0])


def test_a_chest_loses_no_more_than_skin() -> None:
    made = scan("CT")
    x, y = made.points[0][..., 0], made.points[0][..., 1]
    chest = (x / 125) ** 2 + ((y + 15) / 90) ** 2 <= 1
    lungs = ((np.abs(x) - 55) / 40) ** 2 + ((y + 15) / 55) ** 2 <= 1
    made.frames = [np.where(lungs, -850, np.where(chest, 40, -1000)).astype(np.int16)]
    (frame,) = made.defaced()
    changed = (frame != made.frames[0]) & chest
    assert 0 < changed.mean() < 0.08
    assert not changed[lungs].any()


def refused(made: Scan, match: str) -> None:
    with pytest.raises(DeidentificationError, match=match):
        made.defaced()


@pytest.mark.parametrize(
    "keyword", ["ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"]
)
def test_no_geometry(keyword: str) -> None:
    made = scan()
    del made.dataset[keyword]
    refused(made, "functional groups")


@pytest.mark.parametrize(
    ("keyword", "value", "match"),
    [
        ("Modality", "PT", "CT and MR"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7", "secondary capture"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7.2", "secondary capture"),
        ("PhotometricInterpretation", "RGB", "grey"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"], "projection"),
        ("ImageType", ["DERIVED", "SECONDARY", "MIP"], "projection"),
        ("ImageType", ["DERIVED", "PRIMARY", "PROJECTION IMAGE"], "projection"),
        ("ImageType", ["DERIVED", "SECONDARY", "VOLREN"], "projection"),
        ("PixelSpacing", [0, 1], "mm"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "orthogonal"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0.7071, -0.7071], "front to back"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], "coronal"),
        ("Rows", 12, "large"),
        ("NumberOfFrames", 2, "many"),
    ],
)
def test_what_cannot_be_defaced(keyword: str, value: Any, match: str) -> None:
    made = scan()
    setattr(made.dataset, keyword, value)
    refused(made, match)


def test_coronal_frames_with_a_gap_are_no_volume() -> None:
    offsets = (*np.arange(-60, 0, 4.0), *np.arange(20, 80, 4.0))
    refused(scan("CT", (1, 0, 0), (0, 0, -1), offsets), "evenly")


def test_ct_values_that_are_no_hounsfield_units() -> None:
    made = scan("CT", dtype=np.uint16, intercept=-1024, offsets=(-20.0,))
    del made.dataset.RescaleIntercept
    refused(made, "no air")


def test_an_mr_image_whose_surface_cannot_be_found() -> None:
    cropped = scan("MR", offsets=(0.0,))
    cropped.frames = [cropped.frames[0][50:110, 50:110]]
    cropped.dataset.Rows = cropped.dataset.Columns = 60
    refused(cropped, "no air")
    dark = scan("MR", offsets=(-20.0,))
    x, y = dark.points[0][..., 0], dark.points[0][..., 1]
    dark.frames[0][(np.abs(x) < 30) & (y < -20)] = 3
    refused(dark, "told from air")
