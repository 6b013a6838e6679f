"""A series that nothing was proposed for, on the review page: its order, and all its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from playwright.sync_api import Browser, Route, expect
from pydicom.uid import generate_uid

from tests.integration.test_asking_for_regions import models as models  # noqa: PLC0414
from tests.integration.test_asking_for_regions import open_series
from tests.integration.test_asking_for_regions import start as start  # noqa: PLC0414
from tests.integration.test_regions import slices
from tests.integration.test_review_page import CHROMIUM, Review
from tests.integration.test_review_page import browser as browser  # noqa: PLC0414

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

ARRIVAL = [3, 1, 4, 2]


def levelled(folder: Path, numbers: Sequence[int]) -> list[tuple[Path, pydicom.Dataset]]:
    """Write slices that are the brighter the further they lie along the normal."""
    paths = slices(folder, numbers, generate_uid(), generate_uid())
    found: list[tuple[Path, pydicom.Dataset]] = []
    for number, file in zip(numbers, paths, strict=True):
        dataset = pydicom.dcmread(file)
        shade(dataset, [number])
        found.append((file, dataset))
    return found


def shade(dataset: pydicom.Dataset, levels: Sequence[int]) -> None:
    planes = [np.full((dataset.Rows, dataset.Columns), 200 * level) for level in levels]
    dataset.PixelData = np.stack(planes).astype("<i2").tobytes()
    dataset.WindowCenter, dataset.WindowWidth = 500 + int(dataset.RescaleIntercept), 1400


def levels(review: Review, count: int) -> list[int]:
    """Go through all slices, and return how bright each is shown."""
    found = []
    for at in range(count):
        review.at(at)
        expect(review.page.locator("#caption")).to_have_text(f"Slice {at + 1} of {count}")
        found.append(review.colour(64, 64)[1])
        review.press("j")
    return found


@pytest.mark.parametrize("by", ["position", "number"])
def test_slices_come_in_their_order(start: Callable[..., Review], tmp_path: Path, by: str) -> None:
    review = start()
    made = levelled(tmp_path / "ct", ARRIVAL)
    for turn, (file, dataset) in enumerate(made):
        if by == "position":
            dataset.InstanceNumber = turn + 1
        else:
            del dataset.ImagePositionPatient
        dataset.save_as(file)
        # One after the other: that is how they arrive.
        review.pacs.send([file])
    review.pacs.wait_until_read()
    open_series(review)
    shown = levels(review, len(ARRIVAL))
    assert shown == sorted(set(shown))
    assert review.complaints == []


def test_all_frames_of_an_image_are_shown(start: Callable[..., Review], tmp_path: Path) -> None:
    review = start()
    ((first, one), (second, other)) = levelled(tmp_path / "ct", [2, 1])
    one.NumberOfFrames, other.NumberOfFrames = 3, 2
    shade(one, [3, 4, 5])
    shade(other, [1, 2])
    for file, dataset in ((first, one), (second, other)):
        dataset.save_as(file)
        review.pacs.send([file])
    review.pacs.wait_until_read()
    open_series(review)
    shown = levels(review, 5)
    assert shown == sorted(set(shown))
    # What models say is said of the image that a frame belongs to.
    lines = review.page.locator("#predictions > li")
    expect(lines).to_have_count(1)
    assert review.complaints == []


@pytest.fixture
def in_order(browser: Browser) -> Iterator[Callable[[list[dict[str, str]]], list[int]]]:
    """Return what the page's own script makes of images' tags, without a server."""
    context = browser.new_context()
    page = context.new_page()

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        kind, body = "text/html", ""
        if name.endswith(".js"):
            kind, body = "text/javascript", files("preread.web").joinpath(name).read_text()
        route.fulfill(content_type=kind, body=body)

    page.route("http://page.test/**", answer)
    page.goto("http://page.test/")

    def ordered(tags: list[dict[str, str]]) -> list[int]:
        found: list[int] = page.evaluate(
            "async (tags) => (await import('/order.js')).inOrder(tags)", tags
        )
        return found

    yield ordered
    context.close()


@pytest.mark.parametrize(
    ("images", "order"),
    [
        ([], []),
        ([{}, {}, {}], [0, 1, 2]),
        ([{"number": "10"}, {"number": "9"}, {"number": "1"}], [2, 1, 0]),
        ([{"number": "2"}, {}, {"number": "1"}], [0, 1, 2]),
        # Without a number in one, the position alone counts; equal ones stay as they arrived.
        ([{"z": 5}, {"z": -5, "number": "7"}, {"z": 0}, {"z": 0}], [1, 2, 3, 0]),
        ([{"z": 0, "number": "2"}, {"z": 0, "number": "1"}, {"z": -1, "number": "3"}], [2, 1, 0]),
        # Without a place in one, the number alone counts.
        ([{"z": 2, "number": "1"}, {"number": "2"}, {"z": 1, "number": "3"}], [0, 1, 2]),
        # The normal points to where z falls.
        ([{"z": 0, "rows": "0\\1\\0"}, {"z": 1, "rows": "0\\1\\0"}], [1, 0]),
        ([{"z": 1, "rows": "0\\0\\0"}, {"z": 0, "rows": "0\\0\\0"}], [0, 1]),
        ([{"z": "x"}, {"z": 0}], [0, 1]),
    ],
)
def test_what_decides_is_what_all_have(
    in_order: Callable[[list[dict[str, str]]], list[int]],
    images: list[dict[str, Any]],
    order: list[int],
) -> None:
    tags = []
    for image in images:
        told = {"InstanceNumber": image["number"]} if "number" in image else {}
        if "z" in image:
            told["ImagePositionPatient"] = f"0\\0\\{image['z']}"
            rows = image.get("rows", "1\\0\\0")
            columns = "0\\1\\0" if rows == "1\\0\\0" else "1\\0\\0"
            told["ImageOrientationPatient"] = f"{rows}\\{columns}"
        tags.append(told)
    assert in_order(tags) == order
