"""What a physician approved stays what it was, and says who approved it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from playwright.sync_api import Browser, expect
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.integration.pacs import Pacs, eventually
from tests.integration.test_regions import network, proposals, slices
from tests.integration.test_review_page import CHROMIUM
from tests.integration.test_review_page import browser as browser  # noqa: PLC0414 - a fixture

USER = ("roe", "secret")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def stored(pacs: Pacs, instance: str) -> Dataset:
    return pydicom.dcmread(BytesIO(pacs.file(instance)))


def written(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_an_approval_is_the_users_and_no_stranger_changes_it(
    make_pacs: Callable[..., Pacs], browser: Browser, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    data = network()
    allowed = [hashlib.sha256(data).hexdigest()]
    pacs = make_pacs(
        {
            "Deidentify": {"Mode": "incoming"},
            "Models": {"Folder": str(models)},
            "IODeep": {"AllowedSHA256": allowed, "Proposals": {"QuietSeconds": 1}},
        },
        configuration={"AuthenticationEnabled": True, "RegisteredUsers": dict([USER])},
    )
    pacs.http.auth = USER
    pacs.start()
    assert pacs.upload(data).status_code == 200
    pacs.send(slices(tmp_path / "ct", [2, 3], generate_uid(), generate_uid()))
    [proposal] = proposals(pacs)
    uid = proposal["SOPInstanceUID"]
    told = pacs.http.post(
        f"/preread/proposals/{uid}/review",
        json={"Version": 0, "Reviewer": "Roe^Richard", "Others": "accept"},
    ).json()
    assert (told["State"], told["Reviewer"], told["Authenticated"]) == ("done", "roe", True)
    approved = stored(pacs, told["ID"])
    assert (approved.ApprovalStatus, approved.ReviewerName) == ("APPROVED", "roe")
    assert "who gave the name Roe^Richard" in approved.StructureSetDescription
    kept = pacs.file(told["ID"])

    # Neither another object under its UID nor one beside it, whichever way it comes.
    approved.ReviewerName = "FORGED^EVE"
    forged = written(approved, tmp_path / "forged.dcm")
    approved.SOPInstanceUID = approved.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    beside = written(approved, tmp_path / "beside.dcm")
    assert pacs.send([forged], check=False) == 0
    assert pacs.send([beside], check=False) == 0
    assert pacs.upload(forged.read_bytes()).status_code == 400
    assert pacs.file(told["ID"]) == kept
    series = pacs.get(f"/instances/{told['ID']}/series")
    assert len(series["Instances"]) == 2
    assert any("UID" in one["Reason"] for one in pacs.get("/preread/failures"))

    def found() -> dict[str, Any]:
        answer: dict[str, Any] = pacs.get(f"/preread/proposals/{uid}")
        return answer

    assert (found()["Status"], found()["Stale"]) == ("approved", None)
    assert pacs.get("/preread/status")["Proposals"]["stale"] == 0

    # Other pixels under the pseudonymous UIDs are another arrival: then the approval is stale.
    [image] = {one["ID"] for one in found()["Images"][:1]}
    other = stored(pacs, image)
    other.PixelData = bytes(len(other.PixelData))
    pacs.send([written(other, tmp_path / "other.dcm")])
    eventually(lambda: found()["Stale"], 60, "the approval is stale")
    assert found()["Reviews"][0]["Outcome"] == "approved"
    assert pacs.get("/preread/status")["Proposals"]["stale"] == 1
    assert pacs.file(told["ID"]) == kept
    context = browser.new_context(
        http_credentials={"username": USER[0], "password": USER[1]},
    )
    page = context.new_page()
    page.goto(f"{pacs.url}/preread/ui/?proposal={uid}")
    expect(page.locator("#stale")).to_contain_text("Stale: an image has arrived again")
    expect(page.locator("#history")).to_contain_text("roe (Roe^Richard)")
    context.close()
