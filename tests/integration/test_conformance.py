"""dciodvfy on the whole way's result: no error that it did not report on the original."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from preread.deidentify import Deidentifier, Secret
from preread.errors import PrereadError
from preread.findings.prediction import Prediction
from preread.results import with_predictions
from tests.integration.pacs import ROOT

VARIETY = ROOT.parent / "shared" / "data" / "dicom" / "variety"
PREDICTION = Prediction(
    model="MobileNetV2",
    version="1.0.0",
    dataset="IQ-OTHNCCD Lung Cancer Dataset",
    weights_sha256="0" * 64,
    engine="openvino",
    date=dt.datetime(2026, 11, 21, 9, 23, 52, tzinfo=dt.UTC),
    classes=("Malignant", "Benign", "Normal"),
    probabilities=(0.7, 0.2, 0.1),
    frames=((0.7, 0.2, 0.1),),
)
# An error that names a value is the same error with another value.
_VALUE = re.compile(r"(?<=ReferencedSOPInstanceUID )\S+|\d+(\.\d+){3,}|2\.25\.\d+")
PACKAGED = (
    "CT_small.dcm",
    "693_J2KI.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_expb.dcm",
    "MR_small_RLE.dcm",
    "examples_overlay.dcm",
    "JPEG-lossy.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_ybr_color.dcm",
    "examples_palette.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "image_dfl.dcm",
    "rtdose.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
    "waveform_ecg.dcm",
)


def errors_of(data: bytes, folder: Path) -> set[str]:
    """Return the lines in which dciodvfy reports an error; it cannot inflate by itself."""
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = BytesIO()
        dataset.save_as(buffer)
        data = buffer.getvalue()
    file = folder / "instance.dcm"
    file.write_bytes(data)
    run = subprocess.run(["dciodvfy", file], capture_output=True, check=False, timeout=60)
    lines = (run.stderr + run.stdout).decode("ascii", "replace").splitlines()
    return {_VALUE.sub("UID", line) for line in lines if line.startswith("Error")}


def new_errors(path: Path, folder: Path) -> set[str]:
    """Return what is wrong with the result and was not with the original."""
    data = path.read_bytes()
    done = Deidentifier(Secret(b"s" * 32)).deidentify(data)
    result = with_predictions(done.data, [PREDICTION]) if done.header.has_pixel_data else done.data
    return errors_of(result, folder) - errors_of(data, folder)


@pytest.fixture(autouse=True)
def _validator() -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_files(name: str, tmp_path: Path) -> None:
    assert new_errors(Path(str(get_testdata_file(name))), tmp_path) == set()


@pytest.mark.shared_data
@pytest.mark.slow
def test_files_of_every_modality(tmp_path: Path) -> None:
    files = sorted(VARIETY.glob("*.dcm"))
    if not files:
        pytest.skip(f"{VARIETY} is not on this machine")
    wrong: dict[str, set[str]] = {}
    checked = 0
    for file in files:
        if file.stat().st_size > 5_000_000:
            continue
        try:
            found = new_errors(file, tmp_path)
        except PrereadError:
            continue  # refused, so there is no result
        checked += 1
        if found:
            wrong[file.name] = found
    assert checked > 50
    assert wrong == {}
