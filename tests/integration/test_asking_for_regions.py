"""The review page's "AI ROI": a network is asked to look, and the page tells how that fares."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from playwright.sync_api import Browser, Route, expect
from pydicom.uid import generate_uid

from tests.integration.pacs import ROOT, Pacs, eventually
from tests.integration.test_regions import network, slices
from tests.integration.test_review_page import CHROMIUM, Review
from tests.integration.test_review_page import browser as browser  # noqa: PLC0414 - a fixture

MODEL = "MobileNetV2-IQ-OTHNCCD"
PATIENCE = 90_000  # milliseconds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a models folder with one model and no network of regions."""
    folder = tmp_path / "models"
    shutil.copytree(ROOT / "models" / MODEL, folder / MODEL)
    shutil.copytree(
        ROOT / "models" / "backbones",
        folder / "backbones",
        ignore=lambda _, names: [name for name in names if not name.startswith("MobileNetV2")],
    )
    return folder


@pytest.fixture
def start(
    make_pacs: Callable[..., Pacs], models: Path, browser: Browser
) -> Iterator[Callable[..., Review]]:
    """Return what starts a node where nobody looks unasked, and opens the page there."""
    contexts = []

    def started(mode: str = "incoming") -> Review:
        section: dict[str, Any] = {
            "Deidentify": {"Mode": mode},
            "Models": {"Folder": str(models), "Run": [MODEL]},
            "IODeep": {
                "AllowedSHA256": [hashlib.sha256(NETWORK).hexdigest()],
                "Proposals": {"Enabled": False, "QuietSeconds": 1},
            },
        }
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        contexts.append(context)
        return Review(make_pacs(section).start(), context.new_page())

    yield started
    for context in contexts:
        context.close()


NETWORK = network()


def send(pacs: Pacs, folder: Path, localizer: int = 0) -> None:
    """Send four slices, of which the second and the third show a bright disc, and a localizer."""
    series, study = generate_uid(), generate_uid()
    pacs.send(slices(folder, [1, 2, 3, 5], series, study))
    if localizer:
        [file] = slices(folder, [localizer], series, study)
        dataset = pydicom.dcmread(file)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        dataset.save_as(file)
        pacs.send([file])
    pacs.wait_until_read()


def with_network(pacs: Pacs) -> None:
    assert pacs.upload(NETWORK).status_code == 200
    eventually(lambda: [one["State"] for one in pacs.get("/preread/iodeep")] == ["valid"], 60)


def red(review: Review) -> int:
    """Return how many pixels of the picture have the colour of what is proposed."""
    found: int = review.page.evaluate(
        """() => {
            const canvas = document.getElementById('image');
            const { width, height } = canvas;
            const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                if (data[i] - Math.max(data[i + 1], data[i + 2]) > 100) count++;
            return count;
        }"""
    )
    return found


def open_series(review: Review) -> None:
    review.open()
    review.page.locator("button[data-series]").click()
    review.at(0)


def test_predictions_are_shown_and_why_no_network_looks(
    start: Callable[..., Review], tmp_path: Path
) -> None:
    review = start()
    send(review.pacs, tmp_path / "ct")
    review.open()
    for name in ("slice", "series"):
        expect(review.page.locator(f"#ask-{name}")).to_be_disabled()
    review.page.locator("button[data-series]").click()
    review.at(0)
    (line,) = review.page.locator("#predictions > li").all_inner_texts()
    (study,) = review.pacs.get("/studies")
    for shown, image in enumerate(review.pacs.get(f"/preread/studies/{study}")["Instances"]):
        review.at(shown)
        (line,) = review.page.locator("#predictions > li").all_inner_texts()
        (told,) = image["Results"]
        assert line.startswith(f"{told['Model']} {told['Version']}: ")
        if told["Withheld"]:
            said = f"no class, {told['Reason']}"
        else:
            said = f"{told['Class']} {100 * told['Probabilities'][told['Class']]:.2f} %"
        assert said in line
        review.press("j")
    expect(review.page.locator("#status")).to_have_text("No proposal for this series")
    asked = review.page.locator("#asked")
    review.press("Home i")
    expect(asked).to_contain_text("slice 1: not looked at: no network", timeout=PATIENCE)
    review.page.locator("#ask-series").click()
    expect(asked).to_contain_text("the series: not looked at: no network", timeout=PATIENCE)
    expect(review.page.locator("#asking")).to_be_hidden()
    assert review.complaints == []


@pytest.mark.parametrize("mode", ["incoming", "copy"])
def test_a_slice_and_the_series_are_looked_at(
    start: Callable[..., Review], tmp_path: Path, mode: str
) -> None:
    review = start(mode)
    send(review.pacs, tmp_path / "ct")
    with_network(review.pacs)
    open_series(review)
    page, asked = review.page, review.page.locator("#asked")
    review.press("j")
    review.at(1)
    assert red(review) == 0
    review.press("i")
    expect(asked).to_contain_text("slice 2: 1 region found", timeout=PATIENCE)
    # It is shown where it was asked for, among the other slices.
    expect(page.locator("#regions > li")).to_have_count(1)
    expect(page.locator("#caption")).to_have_text("Slice 2 of 4 · 1 region")
    assert red(review) > 100
    review.press("k i")
    expect(asked).to_contain_text("slice 1: no region found by the network", timeout=PATIENCE)

    review.press("I")
    expect(asked).to_contain_text("the series: 2 regions found", timeout=PATIENCE)
    expect(page.locator("#regions > li")).to_have_count(2)
    review.at(1)
    assert red(review) > 100
    proposals = page.locator("#studies button[data-proposal]")
    expect(proposals).to_have_count(2)
    expect(proposals.filter(has_text="one image, 1 region")).to_have_count(1)
    # And again from there, where in mode copy the copies are shown.
    review.press("j i")
    expect(asked).to_contain_text("slice 3: 1 region found", timeout=PATIENCE)
    expect(page.locator("#regions > li")).to_have_count(1)
    expect(page.locator("#caption")).to_have_text("Slice 3 of 4 · 1 region")
    review.press("a")
    review.store()
    expect(page.locator("#message")).to_contain_text("Stored: approved", timeout=PATIENCE)
    expect(page.locator("#caption")).to_have_text("Slice 3 of 4 · 1 region")
    assert review.complaints == []


def test_how_it_fares_is_told_and_no_decision_is_lost(
    start: Callable[..., Review], tmp_path: Path
) -> None:
    review = start()
    # One of them is a localizer: it is named, and costs the others nothing.
    send(review.pacs, tmp_path / "ct", localizer=4)
    with_network(review.pacs)
    open_series(review)
    page, asked = review.page, review.page.locator("#asked")
    review.press("I")
    expect(asked).to_contain_text("2 regions found; 1 image not looked at: it is a localizer")
    expect(page.locator("#skipped > li")).to_contain_text("it is a localizer")
    expect(page.locator("#regions > li")).to_have_count(2)
    review.press("r")
    state = "running"

    def tell(route: Route) -> None:
        shown = state  # which may change while the answer is fetched
        if route.request.method != "GET" or not shown:
            route.continue_()
            return
        answer = route.fetch()
        told = answer.json()
        for task in told["Tasks"]:
            task["State"] = shown
        route.fulfill(response=answer, json=told)

    page.route("**/propose", tell)
    review.press("i")
    expect(asked).to_contain_text("is being looked at")
    expect(page.locator("#asking")).to_be_visible()
    state = "pending"
    expect(asked).to_contain_text("waits for its turn")
    state = ""
    expect(asked).to_contain_text("1 region found", timeout=PATIENCE)
    expect(page.locator("#asking")).to_be_hidden()
    expect(page.locator("#studies button[data-proposal]")).to_have_count(2)
    # What was decided and not yet stored is still there.
    expect(page.locator("#regions > li")).to_have_count(2)
    expect(page.locator("#regions > li.rejected")).to_have_count(1)
