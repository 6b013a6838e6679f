"""A kind of work of another package: one file, and an image goes the whole way with it."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.integration.images import PLANTED, ct_series
from tests.integration.pacs import Pacs, eventually
from tests.integration.test_main_way import assert_nothing_of

Maker = Callable[..., Pacs]
MODES = ("incoming", "copy")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return a virtual environment like this one in which a package with the toy is installed."""
    made = tmp_path / "venv"
    packages = made / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    packages.mkdir(parents=True)
    for one in Path(sysconfig.get_path("purelib")).iterdir():
        (packages / one.name).symlink_to(one)
    (packages / "toy_kind.py").symlink_to(Path(__file__).with_name("toy_kind.py"))
    about = packages / "toy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[preread.kinds]\ntoy = toy_kind:KIND\nreviewed = toy_kind:REVIEWED\n"
    )
    (made / "bin").mkdir()
    (made / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (made / "pyvenv.cfg").write_text((Path(sys.prefix) / "pyvenv.cfg").read_text())
    return made


def node(make_pacs: Maker, environment: Path, mode: str, **more: Any) -> Pacs:
    section = {
        "Deidentify": {"Mode": mode},
        "IODeep": {"Proposals": {"QuietSeconds": 1}},
        "Runner": {"Python": str(environment / "bin" / "python")},
    } | more
    return make_pacs(section, name=mode).start()


def reports(pacs: Pacs) -> list[Dataset]:
    # What is replaced is not there for a moment, though it was just listed.
    answers = [pacs.http.get(f"/instances/{one}/file") for one in pacs.instances()]
    found = [pydicom.dcmread(BytesIO(one.content)) for one in answers if one.is_success]
    return [one for one in found if one.Modality == "SR"]


def told(pacs: Pacs, words: str) -> Dataset | None:
    found = reports(pacs)
    assert len(found) <= 1
    said = [one for one in found if words in one.ContentSequence[0].TextValue]
    return said[0] if said else None


@pytest.mark.parametrize("mode", MODES)
def test_an_image_goes_the_whole_way(
    make_pacs: Maker, environment: Path, tmp_path: Path, mode: str
) -> None:
    pacs = node(make_pacs, environment, mode)
    files = ct_series(tmp_path / "ct", 4).files
    pacs.send(files[:3])
    report = eventually(lambda: told(pacs, "3 places on 3 images"))
    assert report.SeriesDescription == "Toy, for research"
    assert pacs.get("/preread/status")["Toy"]["done"] == 1
    assert 'preread_tasks{kind="toy",state="done"} 1.0' in pacs.http.get("/preread/metrics").text
    # It lies in the study of the images, de-identified as they are, and DICOMweb finds it.
    found = pacs.dicomweb().search_for_series(search_filters={"Modality": "SR"})
    assert [one["0020000D"]["Value"][0] for one in found] == [report.StudyInstanceUID]
    if mode == "incoming":
        assert_nothing_of([*PLANTED], pacs)
    # What another reader found is reviewed as regions of networks are.
    [proposal] = eventually(lambda: pacs.get("/preread/proposals"))
    assert (proposal["Network"]["Name"], proposal["Regions"]) == ("toy", 3)
    body = {"Version": 0, "Reviewer": "Doe^Jane", "Others": "accept"}
    path = f"/preread/proposals/{proposal['SOPInstanceUID']}"
    assert pacs.http.post(f"{path}/review", json=body).status_code == 200
    assert pacs.get(path)["Status"] == "approved"
    # A late slice supersedes: one object again, of the same UID.
    pacs.send(files[3:])
    newer = eventually(lambda: told(pacs, "4 places on 4 images"))
    assert newer.SOPInstanceUID == report.SOPInstanceUID
    # What was said of images that are gone goes with them.
    for instance in pacs.instances():
        if pacs.http.get(f"/instances/{instance}/simplified-tags").json().get("Modality") == "CT":
            pacs.http.delete(f"/instances/{instance}")
    eventually(lambda: not reports(pacs))
    eventually(lambda: pacs.get("/preread/status")["Toy"]["unread"] == 1)


def test_a_setting_says_what_is_written(
    make_pacs: Maker, environment: Path, tmp_path: Path
) -> None:
    pacs = node(make_pacs, environment, "incoming", Results={"Writers": {"toy": []}})
    pacs.send(ct_series(tmp_path / "ct", 2).files)
    eventually(lambda: pacs.get("/preread/status")["Toy"]["done"] == 1)
    assert reports(pacs) == []


def test_another_packages_fault_is_named_at_the_start(make_pacs: Maker, environment: Path) -> None:
    [points] = environment.rglob("toy-1.0.dist-info/entry_points.txt")
    points.write_text("[preread.kinds]\ntoy = no_such_toy:KIND\n")
    section = {"Deidentify": {"Mode": "incoming"}}
    pacs = make_pacs(section | {"Runner": {"Python": str(environment / "bin" / "python")}})
    assert pacs.launch().wait(60) != 0
    assert "the entry point toy of preread.kinds" in pacs.log.read_text()
