"""What a validator, and files from elsewhere, say of results."""

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from preread.errors import PrereadError
from preread.findings.prediction import Prediction
from preread.results import derived_instance, read_block, with_predictions

Predictions = tuple[Prediction, ...]

VALIDATED = (
    "CT_small.dcm",
    "693_J2KI.dcm",  # CT, JPEG 2000
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_expb.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "examples_overlay.dcm",  # MR
    "JPEG-lossy.dcm",  # nuclear medicine
    "ExplVR_BigEnd.dcm",  # ultrasound
    "examples_ybr_color.dcm",  # ultrasound, 30 frames, JPEG
    "examples_palette.dcm",  # ultrasound
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_dcmd.dcm",  # implicit
    "image_dfl.dcm",  # deflated
    "rtdose.dcm",
)
SHARED = Path(__file__).parents[4] / "shared" / "data" / "dicom"
UIDS = {"SeriesInstanceUID": "2.25.1001", "SOPInstanceUID": "2.25.1002"}


def errors_of(data: bytes, folder: Path) -> set[str]:
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    file = folder / "instance.dcm"
    file.write_bytes(data)
    run = subprocess.run([dciodvfy, file], capture_output=True, check=False, timeout=60)
    lines = (run.stderr + run.stdout).decode("ascii", "replace").splitlines()
    return {line for line in lines if "Error" in line}


def inflated(data: bytes) -> bytes:
    """Inflate a deflated file: dciodvfy cannot, and would report nothing but that."""
    dataset = dcmread(BytesIO(data))
    if dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        return data
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", VALIDATED)
def test_dciodvfy_reports_no_new_error(name: str, ensemble: Predictions, tmp_path: Path) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    data = Path(path).read_bytes()
    before = errors_of(inflated(data), tmp_path)
    in_place = with_predictions(data, ensemble)
    derived = derived_instance(data, ensemble, **UIDS)
    for result in (in_place, with_predictions(in_place, ensemble), derived):
        assert errors_of(result, tmp_path) - before == set()


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", ["variety", "malformed"])
def test_files_from_elsewhere(folder: str, ensemble: Predictions) -> None:
    if not SHARED.is_dir():
        pytest.skip("the data sets kept beside the project are absent")
    files = sorted(path for path in (SHARED / folder).rglob("*") if path.is_file())
    assert files
    written = 0
    for path in files:
        data = path.read_bytes()
        try:
            result = with_predictions(data, ensemble)
        except PrereadError:
            continue  # refused, with a reason; anything else would be a defect
        assert len(read_block(result)) == len(ensemble), path
        assert with_predictions(result, ensemble) == result, path
        written += 1
        try:
            derived = derived_instance(data, ensemble, **UIDS)
        except PrereadError:
            continue
        assert len(read_block(derived)) == len(ensemble), path
    assert written >= len(files) // 3
