"""``make demo`` as it ships: the real configuration, the real models, a storage of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from preread.demo.node import check_ports, node_from
from preread.models.catalogue import Catalogue
from tests.integration.pacs import ROOT
from tests.ports import free_port


@pytest.mark.slow
def test_the_demonstration_ends_with_the_table(tmp_path: Path) -> None:
    ports = {"HTTP_PORT": free_port(), "DICOM_PORT": free_port()}
    done = subprocess.run(
        [sys.executable, "-m", "preread.demo", "show", "--storage", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {name: str(port) for name, port in ports.items()} | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\n81 of 81 images carry what the models say" in done.stdout
    # The CT and its pictures.
    assert done.stdout.count("CT series, 40 images read") == 2
    assert "none of 40 was given a class: made for pictures, not for Hounsfield" in done.stdout
    # Each of the shipped models has told of each picture, if only that it is unlike what it knows.
    told = [
        line for line in done.stdout.splitlines() if re.search(r"mean of \d+ |none of 40 ", line)
    ]
    for model in Catalogue.load(ROOT / "models"):
        wanted = (model.card.Name, model.card.Dataset.Name)
        assert any(all(name in line for name in wanted) for line in told), (wanted, told)
    assert f"http://127.0.0.1:{ports['HTTP_PORT']}/app/explorer.html" in done.stdout
    assert f"http://127.0.0.1:{ports['HTTP_PORT']}/dicom-web/" in done.stdout
    assert "SYNTHETIC-" not in done.stdout
    # What it started it has stopped.
    check_ports(
        node_from(
            ROOT / "orthanc.json",
            http_port=ports["HTTP_PORT"],
            dicom_port=ports["DICOM_PORT"],
            storage=tmp_path,
        )
    )
