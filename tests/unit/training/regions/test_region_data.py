"""Series, outlines and samples: what is read is what was drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from preread.iodeep.architecture import parse_architecture
from preread.iodeep.making import make
from preread.iodeep.weights import HashOfFile
from preread.phantom import Acquisition, Kind, make_volume
from preread.phantom.writing import PhantomFiles, write_phantom
from preread.training.errors import TrainingError
from preread.training.regions.fitting import divide
from preread.training.regions.patches import lay_out, nodule_mask, read_patches
from preread.training.regions.samples import Samples, covered, read_samples
from preread.training.regions.series import Series, read_folder
from tests.unit.training.regions.conftest import TINY, write_pairs


def _only(folder: Path) -> Series:
    (series,) = read_folder(folder)
    return series


def _volume(series: Series) -> np.ndarray:
    return np.stack([series.label(one, one.frame().pixels.shape[:2]) for one in series.slices])


def test_the_voxels_of_a_phantom_are_read_from_its_segmentation(phantom: PhantomFiles) -> None:
    series = _only(phantom.folder)
    made = make_volume(Kind.CHEST, 3, Acquisition(slice_thickness=10.0, size=96))
    labels = made.labels(made.masks())
    assert labels.any()
    np.testing.assert_array_equal(_volume(series), labels)
    assert series.synthetic
    assert (series.Modality, series.BodyPartExamined) == ("CT", "CHEST")
    assert series.facts[1]["Diameter"] == pytest.approx(made.lesions[0].diameter, abs=1e-3)
    np.testing.assert_array_equal(series.slices[4].frame().pixels, made.slice_(4))


def test_its_contours_enclose_the_same_pixels(tmp_path: Path, phantom: PhantomFiles) -> None:
    for path in phantom.folder.iterdir():
        if path.name != "segmentation.dcm":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    np.testing.assert_array_equal(_volume(_only(tmp_path)), _volume(_only(phantom.folder)))


def test_slices_without_outlines_are_refused_unless_that_is_wanted(
    tmp_path: Path, phantom: PhantomFiles
) -> None:
    for path in phantom.images[:3]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(TrainingError, match="no Segmentation and no RT Structure Set"):
        list(read_folder(tmp_path))
    (series,) = read_folder(tmp_path, truth=False)
    assert not _volume(series).any()


def test_a_broken_truth_is_one_line(tmp_path: Path, phantom: PhantomFiles) -> None:
    (tmp_path / "image.dcm").write_bytes(phantom.images[0].read_bytes())
    broken = pydicom.dcmread(phantom.segmentation)
    del broken.SegmentSequence
    broken.save_as(tmp_path / "truth.dcm")
    with pytest.raises(TrainingError, match=r"^truth.dcm: its outlines cannot be read \(\w+\)$"):
        list(read_folder(tmp_path))


def test_outlines_on_slices_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 1)
    Image.fromarray(np.full((20, 30), 255, np.uint8)).save(folder / "patient-0" / "0.mask.png")
    series = _only(folder)
    with pytest.raises(TrainingError, match=r"0.png: its lesions are outlined on 30 x 20 pixels"):
        series.label(series.slices[0], (48, 48))


def _samples(folder: Path, plain: float = 1.0) -> Samples:
    network = make(
        TINY,
        HashOfFile("0" * 64),
        DnnName="net",
        Modality="CT",
        BodyPartExamined="CHEST",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        WindowCenter=-300.0,
        WindowWidth=1400.0,
    )
    architecture = parse_architecture(TINY)
    return read_samples(read_folder(folder), network, architecture, plain=plain, seed=0)


def test_samples_are_what_a_network_takes_in(phantom: PhantomFiles) -> None:
    series, samples = _only(phantom.folder), _samples(phantom.folder)
    shown = len(series.labels)
    assert samples.with_lesion.sum() == shown > 0
    assert len(samples) == 2 * shown
    assert len(_samples(phantom.folder, plain=0)) == shown
    assert samples.images.shape[1:] == (1, 32, 32)
    # A 32nd of the area of each pixel's lesions is kept, whatever their size.
    inside = sum((label > 0).sum() for label in series.labels.values())
    assert samples.truth.sum() / 255 == pytest.approx(inside / 9, rel=0.02)
    assert samples.images.min() >= 0
    assert samples.images.max() <= 1


def test_a_mask_is_spread_over_pixels_by_area() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[0, :3] = True
    np.testing.assert_array_equal(covered(mask, (2, 2)), [[85, 0], [0, 0]])


def test_patients_are_on_one_side(tmp_path: Path) -> None:
    samples = _samples(write_pairs(tmp_path, 24))
    assert len(set(samples.patients)) == 6
    division = divide(samples, 0.3, seed=1)
    patients = np.array(samples.patients)[samples.series]
    sides = set(patients[division.training]), set(patients[division.validation])
    assert [len(side) for side in sides] == [4, 2]
    assert not sides[0] & sides[1]
    assert len(division.training) + len(division.validation) == len(samples)


def test_colour_and_grey_do_not_mix(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 2)
    path = folder / "patient-0" / "1.png"
    Image.open(path).convert("RGB").point(lambda level: level // 2).save(path)
    three = TINY | {"input_shape": TINY["input_shape"] | {"input_shape2": 3}}
    network = make(
        three,
        HashOfFile("0" * 64),
        DnnName="net",
        Modality="CT",
        BodyPartExamined="CHEST",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
    )
    with pytest.raises(TrainingError, match="grey and colour images together"):
        read_samples(read_folder(folder), network, parse_architecture(three), plain=1, seed=0)


def _patch(radius: float, background: int = 30, level: int = 160) -> np.ndarray:
    rows, columns = np.mgrid[:50, :50]
    patch = np.full((50, 50), background, dtype=np.uint8)
    patch[np.hypot(rows - 25, columns - 24) < radius] = level
    return patch


@pytest.mark.parametrize("radius", [2.5, 5, 9])
def test_the_mask_of_a_nodule_is_its_disc(radius: float) -> None:
    mask = nodule_mask(_patch(radius))
    disc = _patch(radius) > 100
    assert 2 * (mask & disc).sum() / (mask.sum() + disc.sum()) > 0.9


def test_a_nodule_at_a_wall_does_not_take_the_wall_and_nothing_has_no_mask() -> None:
    patch = _patch(5)
    patch[:, 28:] = 160
    mask = nodule_mask(patch)
    assert mask[25, 24]
    assert mask.sum() < 0.5 * (patch > 100).sum()
    assert not nodule_mask(np.full((50, 50), 30, dtype=np.uint8)).any()


def test_patches_are_laid_out_with_their_masks(tmp_path: Path) -> None:
    rows = ["file,nodule,split", "a.png,1,train", "b.png,0,train", "c.png,1,val"]
    (tmp_path / "split.csv").write_text("\n".join(rows))
    for name, radius in (("a", 5), ("b", 9), ("c", 3)):
        Image.fromarray(_patch(radius)).save(tmp_path / f"{name}.png")
    nodules, others = read_patches(tmp_path, "train")
    assert (len(nodules), len(others)) == (1, 1)
    picture, mask = lay_out([others[0], nodules[0]])
    assert picture.shape == mask.shape == (512, 512)
    np.testing.assert_array_equal(picture[:50, 51:101], _patch(5))
    assert not mask[:50, :50].any()
    np.testing.assert_array_equal(mask[:50, 51:101] > 0, nodules[0].mask)
    with pytest.raises(TrainingError, match="nothing of both kinds is in the part val"):
        read_patches(tmp_path, "val")
    (tmp_path / "split.csv").write_text("file,nodule,split\n../a.png,1,train\n")
    with pytest.raises(TrainingError, match="line 2: the file is not below the folder"):
        read_patches(tmp_path, "train")


def test_a_brain_is_read_as_well(tmp_path: Path) -> None:
    volume = make_volume(Kind.BRAIN, 1, Acquisition(slice_thickness=10.0, size=64))
    files = write_phantom(volume, tmp_path)
    series = _only(files.folder)
    assert (series.Modality, series.BodyPartExamined) == ("MR", "HEAD")
    assert _volume(series).any()
    told = json.loads(files.truth.read_text())
    assert series.facts.keys() == {lesion["Number"] for lesion in told["Lesions"]}
