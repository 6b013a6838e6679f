"""The review page while answers are on their way: nothing is told too early, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.integration.proposing import NETWORK, propose
from tests.integration.test_review_page import (
    CHROMIUM,
    REGIONS,
    Review,
    proposed,
)
from tests.integration.test_review_page import browser as browser  # noqa: PLC0414 - a fixture
from tests.integration.test_review_page import node as node  # noqa: PLC0414 - a fixture
from tests.integration.test_review_page import review as review  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Held:
    """Answers that stay away until they are let go."""

    def __init__(self, page: Page, pattern: str, which: Callable[[int], bool]) -> None:
        self.routes: list[Route] = []
        self.seen = 0

        def hold(route: Route) -> None:
            self.seen += 1
            if which(self.seen):
                self.routes.append(route)
            else:
                route.continue_()

        page.route(pattern, hold)

    def let_go(self) -> None:
        while self.routes:
            self.routes.pop().continue_()


def test_a_slice_on_its_way_is_not_counted_as_here(review: Review, tmp_path: Path) -> None:
    page = review.page
    proposal = proposed(review.pacs, tmp_path / "ct", 8)
    held = Held(page, "**/image-int16", lambda seen: seen == 8)
    review.open(f"?proposal={proposal.place.SOPInstanceUID}")
    body = page.locator("body")
    expect(body).to_have_attribute("data-fetched", "8")
    expect(body).to_have_attribute("data-here", "7")
    held.let_go()
    expect(body).to_have_attribute("data-here", "8")


def test_a_late_answer_takes_nothings_place(review: Review, tmp_path: Path) -> None:
    page = review.page
    late = proposed(review.pacs, tmp_path / "ct").place.SOPInstanceUID
    other = replace(NETWORK, name="Other", uid="2.25.78")
    wanted = propose(review.pacs, REGIONS[1:2], other).place.SOPInstanceUID
    review.open()
    held = Held(page, f"**/preread/proposals/{late}", lambda _: True)
    with page.expect_request(lambda asked: asked.url.endswith(late)):
        page.locator(f'button[data-proposal="{late}"]').click()
    page.locator(f'button[data-proposal="{wanted}"]').click()
    review.at(5)
    with page.expect_response(lambda answer: answer.url.endswith(late)):
        held.let_go()
    page.wait_for_timeout(200)  # nothing is to come, which nothing tells
    expect(page.locator("#status")).to_contain_text("Other")
    expect(page.locator("#regions > li")).to_have_count(1)
    review.at(5)
    assert review.complaints == []


def test_decisions_rest_while_they_are_stored(review: Review, tmp_path: Path) -> None:
    page = review.page
    proposal = proposed(review.pacs, tmp_path / "ct")
    uid = proposal.place.SOPInstanceUID
    review.open(f"?proposal={uid}")
    review.press("Shift+A")
    expect(page.locator("#regions > li.accepted")).to_have_count(3)
    held = Held(page, f"**/preread/proposals/{uid}/review", lambda _: True)
    with page.expect_request(lambda asked: asked.url.endswith("/review")):
        review.store()
    page.locator("#image").focus()
    review.press("r n r u o")
    expect(page.locator("#submit")).to_be_disabled()
    expect(page.locator("#regions > li.accepted")).to_have_count(3)
    held.let_go()
    expect(page.locator("#message")).to_contain_text("Stored: approved")
    (told,) = review.pacs.get(f"/preread/proposals/{uid}")["Reviews"]
    assert [one["Decision"] for one in told["Decisions"]] == ["accept"] * 3
    # And then go on.
    review.press("r")
    expect(page.locator("#regions > li.rejected")).to_have_count(1)
    assert review.complaints == []


def test_a_refused_review_leaves_what_was_decided(review: Review, tmp_path: Path) -> None:
    page = review.page
    uid = proposed(review.pacs, tmp_path / "ct").place.SOPInstanceUID
    review.open(f"?proposal={uid}")
    review.press("Shift+A")
    page.route("**/review", lambda route: route.abort())
    review.store()
    expect(page.locator("#message")).to_have_text("the server does not answer")
    expect(page.locator("#regions > li.accepted")).to_have_count(3)
    page.unroute("**/review")
    page.locator("#image").focus()
    review.press("r")
    expect(page.locator("#regions > li.rejected")).to_have_count(1)
    review.store()
    expect(page.locator("#message")).to_contain_text("Stored: approved")
