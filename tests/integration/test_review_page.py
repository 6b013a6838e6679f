"""The review page in a real browser on a real Orthanc, and what it leaves in the archive."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from preread.ledger.proposal import Proposal
from preread.results.structure_set import regions_of
from tests.integration.images import ct_series
from tests.integration.pacs import Pacs
from tests.integration.proposing import Found, circle, dataset, propose

CHROMIUM = shutil.which("chromium")
SETTINGS: dict[str, Any] = {"Deidentify": {"Mode": "incoming"}, "Models": {"Run": []}}
RED, GREEN, GREY = (255, 77, 77), (46, 204, 113), (154, 154, 154)
REGIONS = [
    Found(2, circle(40, 50, 12)),
    Found(5, circle(80, 60, 10)),
    Found(5, circle(30, 90, 8)),
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In a container there is nobody but root, for whom Chromium has no sandbox.
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def node(make_pacs: Callable[..., Pacs]) -> Pacs:
    return make_pacs(SETTINGS).start()


class Review:
    """The page, with what the browser complained of and asked for."""

    def __init__(self, pacs: Pacs, page: Page) -> None:
        self.pacs, self.page = pacs, page
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on(
            "console",
            lambda one: self.complaints.append(one.text) if one.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda one: self.asked.append(one.url))

    def open(self, query: str = "", path: str = "/preread/ui/") -> None:
        self.page.goto(f"{self.pacs.url}{path}{query}")
        expect(self.page.locator("body")).to_have_attribute("data-ready", "yes")

    def press(self, keys: str) -> None:
        for key in keys.split():
            self.page.keyboard.press(key)

    def at(self, slice_: int) -> None:
        """Wait until a slice is shown."""
        expect(self.page.locator("body")).to_have_attribute("data-slice", str(slice_))

    def place(self, column: float, row: float) -> tuple[float, float]:
        """Return where on the page a place of the square image is."""
        box = self.page.locator("#image").bounding_box()
        assert box is not None
        scale = min(box["width"], box["height"]) / 128
        left = box["x"] + (box["width"] - 128 * scale) / 2
        top = box["y"] + (box["height"] - 128 * scale) / 2
        return left + (column + 0.5) * scale, top + (row + 0.5) * scale

    def colour(self, column: float, row: float) -> tuple[int, ...]:
        """Return the colour that is drawn at a place of the image."""
        x, y = self.place(column, row)
        found: list[int] = self.page.evaluate(
            """([x, y]) => {
                const canvas = document.getElementById('image');
                const box = canvas.getBoundingClientRect();
                const at = [x - box.left, y - box.top].map((v) => Math.round(v) - 1);
                const data = canvas.getContext('2d').getImageData(...at, 3, 3).data;
                let best = [0, 0, 0], most = -1;
                for (let i = 0; i < data.length; i += 4) {
                    const rgb = [data[i], data[i + 1], data[i + 2]];
                    const light = Math.max(...rgb) - Math.min(...rgb) + rgb[1] / 10;
                    if (light > most) [best, most] = [rgb, light];
                }
                return best;
            }""",
            [x, y],
        )
        return tuple(found)

    def store(self, reviewer: str = "Doe^Jane", comment: str = "") -> None:
        self.page.locator("#reviewer").fill(reviewer)
        self.page.locator("#comment").fill(comment)
        self.page.locator("#submit").click()


@pytest.fixture
def review(node: Pacs, browser: Browser) -> Iterator[Review]:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    made = Review(node, context.new_page())
    yield made
    context.close()
    # Nothing was refused by the page's own policy, and nobody else was asked for anything.
    assert [url for url in made.asked if not url.startswith((node.url, "data:", "blob:"))] == []


def proposed(pacs: Pacs, folder: Path, count: int = 8) -> Proposal:
    pacs.send(ct_series(folder, count).files)
    pacs.wait_until_read()
    return propose(pacs, REGIONS)


def near(found: tuple[int, ...], wanted: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 60 for a, b in zip(found, wanted, strict=True))


def test_a_proposal_is_reviewed_by_keyboard(review: Review, tmp_path: Path) -> None:
    node, page = review.pacs, review.page
    proposal = proposed(node, tmp_path / "ct")
    uid = proposal.place.SOPInstanceUID
    review.open()
    page.locator(f'button[data-proposal="{uid}"]').click()
    review.at(2)
    assert near(review.colour(40 + 12, 50), RED)
    review.press("a")
    assert near(review.colour(40 + 12, 50), GREEN)
    review.press("n")
    review.at(5)
    assert near(review.colour(80 + 10, 60), RED)
    review.press("r n a")
    assert near(review.colour(30 + 8, 90), GREEN)
    grey = review.colour(80 + 10, 60)
    assert near(grey, GREY), grey
    expect(page.locator("#regions > li.accepted")).to_have_count(2)
    expect(page.locator("#regions > li.rejected")).to_have_count(1)
    # The third one is pulled to the right.
    review.press("e")
    page.mouse.move(*review.place(38, 90))
    page.mouse.down()
    page.mouse.move(*review.place(43, 90), steps=4)
    page.mouse.up()
    expect(page.locator('#regions > li[data-region="3"]')).to_contain_text("redrawn")
    review.store(comment="The second one is a vessel.")
    expect(page.locator("#message")).to_contain_text("Stored: approved")
    expect(page.locator("#status")).to_contain_text("approved")
    assert review.complaints == []
    assert_approved(node, proposal)


def assert_approved(node: Pacs, proposal: Proposal) -> None:
    """Read what was stored with dicomweb-client and pydicom."""
    web = node.dicomweb()
    found = web.search_for_instances(
        proposal.place.StudyInstanceUID, proposal.place.SeriesInstanceUID
    )
    uids = {one["00080018"]["Value"][0] for one in found}
    assert len(uids) == 2
    (told,) = uids - {proposal.place.SOPInstanceUID}
    approved = web.retrieve_instance(
        proposal.place.StudyInstanceUID, proposal.place.SeriesInstanceUID, told
    )
    assert approved.ApprovalStatus == "APPROVED"
    assert approved.ReviewerName == "Doe^Jane"
    assert re.fullmatch(r"\d{8}", approved.ReviewDate)
    assert re.fullmatch(r"\d{6}", approved.ReviewTime)
    assert "The second one is a vessel." in approved.StructureSetDescription
    sources = [dataset(node, image.instance) for image in proposal.images]
    first, third = regions_of(approved, sources)
    assert (first.number, first.algorithm) == (1, "AUTOMATIC")
    assert (third.number, third.algorithm) == (3, "SEMIAUTOMATIC")
    np.testing.assert_allclose(first.polygon, REGIONS[0].polygon, atol=0.01)
    moved = third.polygon[:, 0] - REGIONS[2].polygon[:, 0]
    assert moved[0] == pytest.approx(5, abs=0.5)
    assert np.abs(moved[len(moved) // 2]) < 0.05
    assert dataset(node, proposal.place.instance).ApprovalStatus == "UNAPPROVED"


def test_who_comes_second_is_told_and_reads_again(review: Review, tmp_path: Path) -> None:
    node, page = review.pacs, review.page
    proposal = proposed(node, tmp_path / "ct")
    uid = proposal.place.SOPInstanceUID
    review.open(f"?proposal={uid}")
    review.press("Shift+R")
    body = {"Version": 0, "Reviewer": "Roe^Rick", "Others": "accept"}
    first = node.http.post(f"/preread/proposals/{uid}/review", json=body)
    assert first.status_code in (200, 202), first.text
    review.store()
    expect(page.locator("#message")).to_contain_text("Roe^Rick")
    page.locator("#reload").click()
    expect(page.locator("#regions > li.accepted")).to_have_count(3)
    expect(page.locator("#history li")).to_have_count(1)
    review.press("Shift+R")
    review.press("r")
    review.store()
    expect(page.locator("#message")).to_contain_text("Stored: approved")
    told = node.get(f"/preread/proposals/{uid}")
    assert [one["Reviewer"] for one in told["Reviews"]] == ["Roe^Rick", "Doe^Jane"]
    assert [one["Decision"] for one in told["Reviews"][1]["Decisions"]].count("reject") == 1


def test_a_hundred_slices_wait_for_nobody(review: Review, tmp_path: Path) -> None:
    node, page = review.pacs, review.page
    proposal = proposed(node, tmp_path / "ct", 100)
    review.open(f"?proposal={proposal.place.SOPInstanceUID}")
    body = page.locator("body")
    expect(body).to_have_attribute("data-here", "100", timeout=60_000)
    review.asked.clear()
    review.press("Home")
    review.at(0)
    # Each slice is drawn within the turn of the key that asks for it, without a request.
    shown = page.evaluate(
        """() => {
            const shown = [];
            for (let i = 0; i < 99; i++) {
                const init = { key: 'ArrowDown', bubbles: true, cancelable: true };
                document.body.dispatchEvent(new KeyboardEvent('keydown', init));
                shown.push([document.body.dataset.slice, document.body.dataset.drawn]);
            }
            return shown;
        }"""
    )
    assert [int(slice_) for slice_, _ in shown] == list(range(1, 100))
    assert len({drawn for _, drawn in shown}) == 99
    assert review.asked == []
    review.press("End ArrowDown")
    review.at(99)
    review.press("PageUp k")
    review.at(88)
    assert body.get_attribute("data-fetched") == "100"


def test_the_window_changes_the_picture(review: Review, tmp_path: Path) -> None:
    node, page = review.pacs, review.page
    proposal = proposed(node, tmp_path / "ct")
    review.open(f"?proposal={proposal.place.SOPInstanceUID}")
    review.at(2)

    def brightness() -> float:
        value: float = page.evaluate(
            """() => {
                const canvas = document.getElementById('image');
                const { width, height } = canvas;
                const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
                let sum = 0;
                for (let i = 1; i < data.length; i += 4) sum += data[i];
                return sum / (data.length / 4);
            }"""
        )
        return value

    page.locator("#center").fill("100000")
    dark = brightness()
    page.locator("#center").fill("-100000")
    bright = brightness()
    assert bright - dark > 100
    page.locator("#image").focus()
    review.press("0")
    own = brightness()
    assert dark < own < bright
    page.locator("#preset").select_option("Lung")
    assert page.locator("#width").input_value() == "1500"
    review.press("]")
    assert float(page.locator("#width").input_value()) == pytest.approx(1725)


def test_the_stored_values_are_what_is_shown(review: Review, tmp_path: Path) -> None:
    node, page = review.pacs, review.page
    proposal = proposed(node, tmp_path / "ct")
    review.open(f"?proposal={proposal.place.SOPInstanceUID}")
    source = dataset(node, proposal.images[2].instance)
    values: list[int] = page.evaluate(
        """async (image) => {
            const { Stack } = await import('/preread/ui/slices.js');
            const slice = await new Stack([{ image, frame: 0 }]).get(0);
            return Array.from(slice.values, (v) => v * slice.slope + slice.intercept);
        }""",
        proposal.images[2].instance,
    )
    wanted = source.pixel_array.astype(int) * source.RescaleSlope + source.RescaleIntercept
    np.testing.assert_array_equal(np.reshape(values, wanted.shape), wanted)


def test_orthanc_explorer_leads_to_the_page(review: Review, tmp_path: Path) -> None:
    node, page = review.pacs, review.page
    proposal = proposed(node, tmp_path / "ct")
    (study,) = node.get("/studies")
    page.goto(f"{node.url}/app/explorer.html#study?uuid={study}")
    with page.context.expect_page() as opened:
        page.locator("#preread-review-study").click()
    review_page = opened.value
    expect(review_page.locator("body")).to_have_attribute("data-ready", "yes")
    uid = proposal.place.SOPInstanceUID
    expect(review_page.locator(f'button[data-proposal="{uid}"]')).to_be_visible()


def test_only_the_pages_own_files_are_served_and_nothing_foreign_runs(node: Pacs) -> None:
    for path in ("/preread/ui", "/preread/ui/", "/preread/ui/page.js", "/preread/page.css"):
        answer = node.http.get(path)
        assert answer.status_code == 200, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    kinds = {"": "text/html", "/page.js": "text/javascript", "/page.css": "text/css"}
    for name, kind in kinds.items():
        assert node.http.get(f"/preread/ui{name}").headers["content-type"].startswith(kind)
    for path in ("__init__.py", "explorer.js", "../hooks/plugin.py", "..%2fsettings.py", "x.js"):
        assert node.http.get(f"/preread/ui/{path}").status_code == 404, path
    html = node.http.get("/preread/ui/").text
    assert not re.search(r"https?://|<script>|style=|\son\w+=", html)


def test_both_studies_get_it_in_mode_copy(make_pacs: Callable[..., Pacs], tmp_path: Path) -> None:
    settings = {
        "Deidentify": {"Mode": "copy"},
        "Models": {"Run": []},
        "Results": {"AttachToOriginal": True},
    }
    node = make_pacs(settings).start()
    node.send(ct_series(tmp_path / "ct", 6).files)
    node.wait_until_read()
    proposal = propose(node, REGIONS)
    uid = proposal.place.SOPInstanceUID
    body = {"Version": 0, "Reviewer": "Doe^Jane", "Others": "accept"}
    told = node.http.post(f"/preread/proposals/{uid}/review", json=body, timeout=90)
    assert told.status_code == 200, (told.text, node.runner_log()[-2000:])
    attached = dataset(node, told.json()["Attached"])
    beside = dataset(node, told.json()["ID"])
    assert "PLANTEDNAME" in str(attached.PatientName)
    assert "PLANTED" not in str(beside)
    assert attached.StudyInstanceUID != beside.StudyInstanceUID
    assert attached.ApprovalStatus == beside.ApprovalStatus == "APPROVED"
    # Nothing of ours was taken for a new arrival: there is no third study, nor a copy of a copy.
    node.wait_until_read()
    assert len(node.get("/studies")) == 2
    assert len(node.instances()) == 6 + 6 + 2 + 2
