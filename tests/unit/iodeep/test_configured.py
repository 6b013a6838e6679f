"""Settings reach the predictor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preread.errors import SettingsError
from preread.imaging import frame_from_array
from preread.iodeep.architecture import ArchitectureError, Limits
from preread.iodeep.configured import configured_predictor, limits, region_options
from preread.iodeep.prediction import RegionOptions
from preread.iodeep.running import RunningNetwork
from preread.iodeep_sections import LimitSettings, RegionSettings
from preread.settings import Site, site_from
from tests.unit.iodeep.toy_networks import pointwise


def site(folder: Path, **section: Any) -> Site:
    return site_from({"Preread": {"IODeep": section}}, folder)


def test_the_defaults_are_those_of_the_code() -> None:
    assert region_options(RegionSettings()) == RegionOptions()
    assert limits(LimitSettings()) == Limits()


def test_what_is_proposed_follows_the_settings(tmp_path: Path) -> None:
    levels = np.zeros((8, 8), np.float32)
    levels[1:4, 1:4], levels[6, 6] = 0.4, 0.9
    sees = pointwise(8, 8, weight=1, bias=0, ends=("relu",))

    def areas(**regions: Any) -> list[float]:
        predictor = configured_predictor(site(tmp_path, Regions=regions))
        return [region.area for region in predictor.regions(sees, [frame_from_array(levels)])]

    assert areas() == []
    assert areas(SmallestPixels=1) == [1]
    assert areas(Threshold=0.3, SmallestPixels=1) == [9, 1]
    assert areas(Threshold=0.3, SmallestPixels=1, Most=1) == [9]


def test_limits_are_kept(tmp_path: Path) -> None:
    predictor = configured_predictor(site(tmp_path, Limits={"Parameters": 1}))
    with pytest.raises(ArchitectureError, match="limit of 1 parameters"):
        predictor.regions(pointwise(4, 4), [])


def test_frames_of_a_pass_take_no_more_than_one_image_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    run = RunningNetwork.__call__

    def counted(running: RunningNetwork, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        passes.append(len(tensors))
        return run(running, tensors)

    monkeypatch.setattr(RunningNetwork, "__call__", counted)
    sees = pointwise(4, 4)
    half = [frame_from_array(np.zeros((256, 512), np.float32)) for _ in range(4)]
    for megabytes in (1, 2):
        section = {"Preread": {"Runner": {"MaxImageMegabytes": megabytes}}}
        configured_predictor(site_from(section, tmp_path)).regions(sees, half)
    assert passes == [2, 2, 4]


def test_networks_compute_with_the_runners_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    made = RunningNetwork.__init__

    def counted(
        running: RunningNetwork, network: Any, folder: Any, limits: Any, threads: int = 0
    ) -> None:
        given.append(threads)
        made(running, network, folder, limits, threads)

    monkeypatch.setattr(RunningNetwork, "__init__", counted)
    for section in ({}, {"Runner": {"Threads": 1}}):
        configured_predictor(site_from({"Preread": section}, tmp_path)).running(pointwise(4, 4))
    assert given == [0, 1]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"Regions": {"Threshold": 0}}, "Preread.IODeep.Regions.Threshold"),
        ({"Regions": {"Threshold": 1}}, "Preread.IODeep.Regions.Threshold"),
        ({"Regions": {"NetworksKept": 0}}, "Preread.IODeep.Regions.NetworksKept"),
        ({"Limits": {"Depth": 3}}, "Preread.IODeep.Limits.Depth"),
    ],
)
def test_impossible_settings_are_named(tmp_path: Path, section: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        site(tmp_path, **section)
