"""Regions that networks propose: where they are, which are left out, and what stays built."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from preread.imaging import Frame, Units, frame_from_array
from preread.iodeep import prediction
from preread.iodeep.architecture import ArchitectureError, Limits
from preread.iodeep.architecture_files import example
from preread.iodeep.errors import InvalidIODeepError, PredictionError
from preread.iodeep.iod import IODeep
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor, Region, RegionOptions, pixels_within
from preread.iodeep.running import RunningNetwork
from preread.iodeep.weights import HashOfFile, PathOfFile, Safetensors
from tests.unit.iodeep.toy_networks import answering, document, network, pointwise

EVERYTHING = RegionOptions(smallest_pixels=1)


@pytest.fixture
def folder(tmp_path: Path) -> WeightsFolder:
    return WeightsFolder(tmp_path)


@pytest.fixture
def predictor(folder: WeightsFolder) -> Predictor:
    return Predictor(folder, EVERYTHING, batch_size=3)


def frame_of(mask: NDArray[Any]) -> Frame:
    return frame_from_array(mask.astype(np.float32))


def disc(rows: int, columns: int, row: float, column: float, radius: float) -> NDArray[np.bool_]:
    down, across = np.mgrid[:rows, :columns]
    return np.asarray(np.hypot(down - row, across - column) <= radius)


def filled(regions: list[Region], shape: tuple[int, ...], frame: int = 0) -> NDArray[np.bool_]:
    found = np.zeros(shape, dtype=bool)
    for region in regions:
        if region.frame == frame:
            found ^= pixels_within(region.polygon, *shape)
    return found


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)),
    st.integers(1, 3),
)
def test_a_mask_drawn_in_the_original_comes_back_through_network_and_contour(
    tmp_path_factory: pytest.TempPathFactory, mask: NDArray[np.bool_], times: int
) -> None:
    predictor = Predictor(WeightsFolder(tmp_path_factory.getbasetemp()), EVERYTHING)
    sees = pointwise(mask.shape[0] * times, mask.shape[1] * times)
    regions = predictor.regions(sees, [frame_of(mask)])
    assert np.array_equal(filled(regions, mask.shape), mask)
    assert sum(region.area for region in regions) == mask.sum()


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_regions_of_many_frames_of_several_sizes(predictor: Predictor, data_format: str) -> None:
    sees = pointwise(64, 64, more={"data_format": data_format})
    masks = [disc(64 + n % 2 * 64, 64, 20 + n, 30, 8) for n in range(8)]
    masks[3][:] = False
    regions = predictor.regions(sees, (frame_of(mask) for mask in masks))
    assert [region.frame for region in regions] == [0, 1, 2, 4, 5, 6, 7]
    for number, mask in enumerate(masks):
        if number % 2 == 0:
            assert np.array_equal(filled(regions, mask.shape, number), mask)
    assert {region.kind for region in regions} == {"contour"}
    assert all(0.9 < region.score <= 1 for region in regions)


def test_batches_change_nothing(folder: WeightsFolder) -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    frames = [frame_from_array(random.random((40, 40), dtype=np.float32)) for _ in range(5)]
    sees = pointwise(16, 16, weight=3, bias=-1.5)
    at_once, one_by_one = (
        Predictor(folder, EVERYTHING, batch_size=size).regions(sees, frames) for size in (5, 1)
    )
    assert len(at_once) == len(one_by_one) > 5
    for one, other in zip(at_once, one_by_one, strict=True):
        assert (one.frame, one.area, one.channel) == (other.frame, other.area, other.channel)
        assert one.polygon == pytest.approx(other.polygon, abs=1e-3)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Write down how many frames go through a network at once."""
    sizes: list[int] = []
    run = RunningNetwork.__call__

    def counted(running: RunningNetwork, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(len(tensors))
        return run(running, tensors)

    monkeypatch.setattr(RunningNetwork, "__call__", counted)
    return sizes


class Held:
    """Frames that are made when asked for, and how many of them were held at most."""

    def __init__(self, masks: list[NDArray[np.bool_]]) -> None:
        self._masks = masks
        self._alive: set[int] = set()
        self.most = 0

    def __iter__(self) -> Iterator[Frame]:
        for number, mask in enumerate(self._masks):
            frame = frame_of(mask)
            self._alive.add(number)
            weakref.finalize(frame.pixels, self._alive.discard, number)
            self.most = max(self.most, len(self._alive))
            yield frame
            del frame


MASKS = [disc(64, 64, 20 + n, 30, 8) for n in range(16)]
FRAME_BYTES = 64 * 64 * 4


@pytest.mark.parametrize(
    ("max_bytes", "expected"),
    [
        (2**30, [16]),
        (5 * FRAME_BYTES, [5, 5, 5, 1]),
        (2 * FRAME_BYTES - 1, [1] * 16),
        (1, [1] * 16),
    ],
)
def test_no_more_pixels_are_held_than_fit(
    folder: WeightsFolder, passes: list[int], max_bytes: int, expected: list[int]
) -> None:
    sees = pointwise(16, 16, weight=3, bias=-1.5)
    predictor = Predictor(folder, EVERYTHING, batch_size=16, max_bytes=max_bytes)
    frames = Held(MASKS)
    regions = predictor.regions(sees, frames)
    assert passes == expected
    # That which has just been decoded counts too.
    assert frames.most <= max(expected)
    assert_same(regions, Predictor(folder, EVERYTHING, batch_size=1).regions(sees, Held(MASKS)))


@pytest.mark.parametrize(
    ("times", "expected"), [(16, [16]), (5, [5, 5, 5, 1]), (1, [1] * 16), (1.9, [1] * 16)]
)
def test_a_pass_makes_no_more_activations_than_are_allowed(
    folder: WeightsFolder, passes: list[int], times: float, expected: list[int]
) -> None:
    sees = pointwise(16, 16, weight=3, bias=-1.5)
    one = Predictor(folder).running(sees).architecture.activations
    limits = Limits(activations=int(times * one))
    predictor = Predictor(folder, EVERYTHING, batch_size=16, limits=limits)
    regions = predictor.regions(sees, Held(MASKS))
    assert passes == expected
    assert_same(regions, Predictor(folder, EVERYTHING, batch_size=16).regions(sees, Held(MASKS)))


@pytest.mark.parametrize(
    ("times", "expected"), [(100, [8, 8]), (3, [3] * 5 + [1]), (0.5, [1] * 16)]
)
def test_unless_told_otherwise_large_networks_get_fewer_at_a_time(
    folder: WeightsFolder,
    passes: list[int],
    monkeypatch: pytest.MonkeyPatch,
    times: float,
    expected: list[int],
) -> None:
    sees = pointwise(16, 16, weight=3, bias=-1.5)
    one = Predictor(folder).running(sees).architecture.activations
    monkeypatch.setattr(prediction, "_USUAL_ACTIVATIONS", int(times * one))
    Predictor(folder, EVERYTHING).regions(sees, Held(MASKS))
    assert passes == expected


def assert_same(some: list[Region], others: list[Region]) -> None:
    assert len(some) == len(others) == 16
    for one, other in zip(some, others, strict=True):
        assert (one.frame, one.area, one.channel) == (other.frame, other.area, other.channel)
        assert one.polygon == pytest.approx(other.polygon, abs=1e-3)
        assert one.score == pytest.approx(other.score)


def without_an_answer() -> IODeep:
    """Make a network that subtracts infinity from infinity where an image is white."""
    described = document(
        ["cnn2d", "cnn2d"],
        4,
        4,
        convolutional={"cn1": 2, "cn2": 1},
        kernel={"kernel1": 1, "kernel2": 1},
    )
    most = np.full((2, 1, 1, 1), 3e38, np.float32)
    weights: dict[str, NDArray[np.float32]] = {
        "layers.1.0.weight": most,
        "layers.1.0.bias": most.ravel(),
        "layers.2.0.weight": np.array([1, -1], np.float32).reshape(1, 2, 1, 1),
        "layers.2.0.bias": np.zeros(1, np.float32),
    }
    return network(described, weights)


def test_an_answer_that_is_no_number_is_refused_before_further_frames_are_taken(
    predictor: Predictor,
) -> None:
    taken: list[int] = []

    def frames() -> Iterator[Frame]:
        for number in range(9):
            taken.append(number)
            yield frame_of(np.full((4, 4), number == 4))

    with pytest.raises(PredictionError, match="not numbers"):
        predictor.regions(without_an_answer(), frames())
    assert taken == [0, 1, 2, 3, 4, 5], "three at a time"


def test_the_threshold_is_a_setting(folder: WeightsFolder) -> None:
    levels = np.full((8, 8), 0.2, np.float32)
    levels[2:6, 2:6] = 0.6
    levels[3:5, 3:5] = 0.9
    sees = pointwise(8, 8, weight=1, bias=0, ends=("relu",))
    areas = {}
    for threshold in (0.1, 0.5, 0.8, 0.95):
        options = RegionOptions(threshold=threshold, smallest_pixels=1)
        regions = Predictor(folder, options).regions(sees, [frame_from_array(levels)])
        areas[threshold] = [region.area for region in regions]
        if threshold == 0.5:
            assert regions[0].score == pytest.approx((12 * 0.6 + 4 * 0.9) / 16)
    assert areas == {0.1: [64], 0.5: [16], 0.8: [4], 0.95: []}


@pytest.mark.parametrize(
    ("pixel_area", "expected"), [(None, [25, 9]), (0.25, [25]), (1.0, [25, 9]), (2.0, [25, 9, 4])]
)
def test_the_smallest_area_counts_in_millimetres_where_they_are_known(
    folder: WeightsFolder, pixel_area: float | None, expected: list[int]
) -> None:
    mask = np.zeros((16, 16), bool)
    mask[1:6, 1:6] = mask[8:11, 1:4] = mask[8:10, 8:10] = mask[14, 14] = True
    options = RegionOptions(smallest_area=5, smallest_pixels=5)
    regions = Predictor(folder, options).regions(
        pointwise(16, 16), [frame_of(mask)], pixel_area=pixel_area
    )
    assert [region.area for region in regions] == expected


def test_only_so_many_regions_of_a_frame(folder: WeightsFolder) -> None:
    mask = np.zeros((16, 16), bool)
    mask[::2, ::2] = True
    mask[5:8, 5:8] = True
    regions = Predictor(folder, RegionOptions(smallest_pixels=1, most=4)).regions(
        pointwise(16, 16), [frame_of(mask)]
    )
    assert len(regions) == 4
    assert regions[0].area > 1


def test_channels_that_exclude_each_other_share_no_pixel(predictor: Predictor) -> None:
    """The channels: whatever is left, the left half, and all that is bright."""
    described = document(
        ["cnn2d", "softmax"], 6, 6, convolutional={"cn1": 3}, kernel={"kernel1": 1}
    )
    weights: dict[str, NDArray[np.float32]] = {
        "layers.1.0.weight": np.array([0, 20, 40], np.float32).reshape(3, 1, 1, 1),
        "layers.1.0.bias": np.array([0, -6, -18], np.float32),
    }
    levels = np.zeros((6, 6), np.float32)
    levels[1:5, 1:3], levels[1:5, 3:5] = 0.5, 0.9
    regions = predictor.regions(network(described, weights), [frame_from_array(levels)])
    assert [(region.channel, region.area) for region in regions] == [(1, 8), (2, 8)]
    assert regions[0].polygon[:, 0].max() < regions[1].polygon[:, 0].min() + 1
    assert not (
        pixels_within(regions[0].polygon, 6, 6) & pixels_within(regions[1].polygon, 6, 6)
    ).any()


def test_boxes_lie_where_the_network_says(predictor: Predictor) -> None:
    numbers = [0.25, 0.5, 0.75, 1.0, 4.0, 0.0, 0.0, 0.5, 0.5, -4.0]
    regions = predictor.regions(answering(numbers), [frame_of(np.zeros((20, 40)))])
    (box,) = regions
    assert (box.kind, box.frame, box.channel) == ("box", 0, 0)
    assert box.polygon.tolist() == [[9.5, 9.5], [29.5, 9.5], [29.5, 19.5], [9.5, 19.5]]
    assert pixels_within(box.polygon, 20, 40).sum() == box.area == 200
    assert box.score == pytest.approx(1 / (1 + np.exp(-4)))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_a_box_of_whole_pixels_comes_back_from_shares(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, data: st.DataObject
) -> None:
    left, right = sorted((data.draw(st.integers(0, columns)), data.draw(st.integers(0, columns))))
    top, bottom = sorted((data.draw(st.integers(0, rows)), data.draw(st.integers(0, rows))))
    sees = answering([left / columns, top / rows, right / columns, bottom / rows])
    predictor = Predictor(WeightsFolder(tmp_path_factory.getbasetemp()), EVERYTHING)
    regions = predictor.regions(sees, [frame_of(np.zeros((rows, columns)))])
    assert len(regions) == int(left < right and top < bottom)
    for box in regions:
        expected = np.array([left, top, right, bottom]) - 0.5
        assert [*box.polygon[0], *box.polygon[2]] == pytest.approx(expected, abs=1e-4)


def test_a_box_below_the_smallest_area_is_left_out(folder: WeightsFolder) -> None:
    sees = answering([0.0, 0.0, 0.5, 0.5])
    frames = [frame_of(np.zeros((10, 10)))]
    assert Predictor(folder, RegionOptions(smallest_pixels=26)).regions(sees, frames) == []
    assert len(Predictor(folder, RegionOptions(smallest_pixels=25)).regions(sees, frames)) == 1


def test_the_articles_small_unet_runs(folder: WeightsFolder) -> None:
    from preread.iodeep.architecture import parse_architecture
    from preread.iodeep.document import parse_document
    from preread.iodeep.torch_network import build

    described = parse_document(example("unet-small"))
    torch.manual_seed(1)
    module = build(parse_architecture(described))
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    described["input_shape"] |= {"input_shape0": 64, "input_shape1": 64}
    channels = int(described["input_shape"]["input_shape2"])
    photometric = "RGB" if channels == 3 else "MONOCHROME2"
    sees = network(
        described, weights, SamplesPerPixel=channels, PhotometricInterpretation=photometric
    )
    random = np.random.default_rng(0)
    frames = [
        frame_from_array(random.normal(0, 300, (48, 80)).astype("f4"), units=Units.HOUNSFIELD)
        for _ in range(2)
    ]
    options = RegionOptions(threshold=0.3, smallest_pixels=1)
    regions = Predictor(folder, options).regions(sees, frames)
    for region in regions:
        assert pixels_within(region.polygon, 48, 80).sum() == region.area


def test_networks_stay_built_by_uid_and_hash_and_only_so_many(folder: WeightsFolder) -> None:
    predictor = Predictor(folder, EVERYTHING, kept=2)
    one, other, third = (pointwise(4, 4, DnnUID=f"1.2.{number}") for number in (1, 2, 3))
    kept = predictor.running(one)
    assert predictor.running(one) is kept
    predictor.running(other)
    assert predictor.running(one) is kept
    predictor.running(third)  # the one that was used least lately, `other`, goes
    assert predictor.running(one) is kept
    assert predictor.running(other) is not predictor.running(third)


def test_a_network_gives_back_what_its_batches_took(
    folder: WeightsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rested: list[RunningNetwork] = []
    rest = RunningNetwork.rest

    def counted(running: RunningNetwork) -> None:
        rested.append(running)
        rest(running)

    monkeypatch.setattr(RunningNetwork, "rest", counted)
    predictor = Predictor(folder, EVERYTHING)
    sees = pointwise(8, 8)
    frames = [frame_of(disc(8, 8, 4, 4, 2))]
    assert len(predictor.regions(sees, frames)) == len(predictor.regions(sees, frames)) == 1
    assert rested == [predictor.running(sees)] * 2
    with pytest.raises(PredictionError, match="not numbers"):
        predictor.regions(without_an_answer(), [frame_of(np.ones((4, 4)))])
    assert len(rested) == 3


def test_networks_are_run_by_threads_one_after_the_other(predictor: Predictor) -> None:
    sees = pointwise(64, 64)
    masks = [disc(64, 64, 20 + number, 30, 8) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda mask: predictor.regions(sees, [frame_of(mask)]), masks))
    for regions, mask in zip(found, masks, strict=True):
        assert np.array_equal(filled(regions, mask.shape), mask)


def test_another_network_under_the_same_uid_is_not_mistaken(predictor: Predictor) -> None:
    frames = [frame_of(disc(8, 8, 4, 4, 2))]
    assert len(predictor.regions(pointwise(8, 8), frames)) == 1
    assert predictor.regions(pointwise(8, 8, bias=-100.0), frames) == []
    wider = pointwise(8, 8, ends=("relu",))
    assert predictor.running(wider).architecture.layers[-1].kind == "relu"


def test_weights_in_the_folder_are_told_apart_by_their_content(
    tmp_path: Path, folder: WeightsFolder
) -> None:
    sees = pointwise(8, 8)
    assert isinstance(sees.DnnWeights, Safetensors)
    (tmp_path / "net").mkdir()
    file = tmp_path / "net" / "weights.safetensors"
    file.write_bytes(sees.DnnWeights.data)
    by_path = with_weights(sees, PathOfFile("net/weights.safetensors"))
    by_hash = with_weights(sees, folder.keep(sees.DnnWeights.data))
    predictor = Predictor(folder, EVERYTHING)
    assert predictor.running(by_path) is predictor.running(by_hash) is predictor.running(sees)
    blind = pointwise(8, 8, bias=-100.0)
    assert isinstance(blind.DnnWeights, Safetensors)
    file.write_bytes(blind.DnnWeights.data)
    os.utime(file, ns=(1, 1))
    assert predictor.running(by_path) is not predictor.running(sees)
    assert predictor.regions(by_path, [frame_of(disc(8, 8, 4, 4, 2))]) == []


def with_weights(given: IODeep, weights: HashOfFile | PathOfFile) -> IODeep:
    return given.with_contents(given.document, weights)


def test_what_cannot_run_is_refused(folder: WeightsFolder) -> None:
    frames = [frame_of(np.ones((4, 4)))]
    with pytest.raises(ArchitectureError, match="limit of 1 parameters"):
        Predictor(folder, limits=Limits(parameters=1)).regions(pointwise(4, 4), frames)
    predictor = Predictor(folder)
    with pytest.raises(InvalidIODeepError, match="DnnWeights"):
        predictor.regions(with_weights(pointwise(4, 4), HashOfFile("0" * 64)), frames)
    with pytest.raises(InvalidIODeepError, match="no such file"):
        predictor.regions(with_weights(pointwise(4, 4), PathOfFile("gone.safetensors")), frames)
    with pytest.raises(PredictionError, match="neither masks nor boxes"):
        predictor.regions(answering([1.0, 2.0, 3.0]), frames)
