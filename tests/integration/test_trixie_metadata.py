"""WADO-RS on Debian 13's Orthanc, whose DICOMweb keeps the metadata of series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.images import ct_series
from tests.integration.pacs import eventually
from tests.integration.trixie import TrixiePacs

pytestmark = [pytest.mark.trixie, pytest.mark.slow, pytest.mark.timeout(900)]

KEPT = "4301"


def blocks_over_dicomweb(pacs: TrixiePacs) -> int:
    """Return how many images carry a private block, as a viewer sees it."""
    client = pacs.dicomweb()
    (study,) = client.search_for_studies()
    found = client.retrieve_study_metadata(study["0020000D"]["Value"][0])
    assert len(found) == len(pacs.instances())
    return sum("00551010" in image for image in found)


def blocks_in_files(pacs: TrixiePacs) -> int:
    return sum(b"UACJ_VISOR" in pacs.file(instance) for instance in pacs.instances())


def test_a_viewer_that_asks_at_once_gets_what_is_stored(
    make_trixie_pacs: Callable[..., TrixiePacs], tmp_path: Path
) -> None:
    preread = {"Deidentify": {"Mode": "incoming"}, "Models": {"Run": ["MobileNetV2-CT-Scan"]}}
    pacs = make_trixie_pacs(preread, configuration={"StableAge": 1})
    pacs.start()
    files = ct_series(tmp_path / "ct", 5).files
    pacs.send(files[:4])
    (series,) = pacs.get("/series")
    eventually(lambda: KEPT in pacs.get(f"/series/{series}/attachments"), 60, "metadata are kept")
    assert blocks_over_dicomweb(pacs) == 0
    pacs.start_runner()
    pacs.wait_until_read()
    assert blocks_over_dicomweb(pacs) == blocks_in_files(pacs) == 4
    # Across a restart, in which Orthanc forgets that the series is not stable yet.
    pacs.stop_runner()
    pacs.send(files[4:])
    eventually(lambda: KEPT in pacs.get(f"/series/{series}/attachments"), 60, "metadata are kept")
    assert blocks_over_dicomweb(pacs) == 4
    pacs.stop()
    pacs.start()
    pacs.start_runner()
    pacs.wait_until_read()
    assert blocks_over_dicomweb(pacs) == blocks_in_files(pacs) == 5
