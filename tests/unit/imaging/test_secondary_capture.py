import json
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo
from pydicom.uid import SecondaryCaptureImageStorage

from preread.imaging import Preprocessing, UnreadableImage, open_picture, prepare
from preread.imaging.secondary_capture import from_message, secondary_capture
from tests.unit.imaging.conftest import only_frame

LARGEST = 2**24
RANDOM = np.random.default_rng(5)
ARRAYS: dict[str, Any] = {
    "grey": RANDOM.integers(0, 256, (33, 41), dtype=np.uint8),
    "wide": RANDOM.integers(0, 65536, (33, 41), dtype=np.uint16),
    "colour": RANDOM.integers(0, 256, (33, 41, 3), dtype=np.uint8),
}
TAGS = {
    "PatientID": "P-1",
    "PatientName": "Müller",
    "StudyInstanceUID": "1.2.3",
    "Modality": "CT",
    "BodyPartExamined": "CHEST",
}


def picture(array: Any, kind: str = "PNG", **how: Any) -> bytes:
    file = BytesIO()
    PillowImage.fromarray(array).save(file, kind, **how)
    return file.getvalue()


def read(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(BytesIO(data))


@pytest.mark.parametrize("name", ARRAYS)
def test_the_pixels_are_the_pictures(name: str) -> None:
    dataset = read(secondary_capture(picture(ARRAYS[name]), max_bytes=LARGEST))
    np.testing.assert_array_equal(dataset.pixel_array, ARRAYS[name])
    assert dataset.SOPClassUID == SecondaryCaptureImageStorage
    expected = "RGB" if name == "colour" else "MONOCHROME2"
    assert dataset.PhotometricInterpretation == expected
    assert (dataset.Modality, dataset.ConversionType) == ("OT", "WSD")
    assert "LossyImageCompression" not in dataset


@pytest.mark.parametrize("name", ARRAYS)
def test_a_network_sees_the_same_in_picture_and_capture(name: str) -> None:
    data = picture(ARRAYS[name])
    how = Preprocessing(size=(24, 24))
    capture = only_frame(secondary_capture(data, max_bytes=LARGEST, tags={"Modality": "CT"}))
    np.testing.assert_array_equal(
        prepare(capture, how), prepare(open_picture(data, max_bytes=LARGEST), how)
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("name", ["grey", "colour"])
@pytest.mark.parametrize(
    "tags",
    [{}, TAGS, {"BodyPartExamined": "KNEE"}, {"BodyPartExamined": "BREAST", "Laterality": "L"}],
)
def test_dciodvfy_finds_no_error(
    kind: str, name: str, tags: dict[str, str], tmp_path: Path
) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not on this machine")
    file = tmp_path / "capture.dcm"
    file.write_bytes(secondary_capture(picture(ARRAYS[name], kind), max_bytes=LARGEST, tags=tags))
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr + done.stdout


def test_tags_are_taken() -> None:
    dataset = read(secondary_capture(picture(ARRAYS["grey"]), max_bytes=LARGEST, tags=TAGS))
    for keyword, value in TAGS.items():
        assert dataset[keyword].value == value
    assert dataset.StudyDate == ""


def test_uids_are_new_each_time() -> None:
    made = [read(secondary_capture(picture(ARRAYS["grey"]), max_bytes=LARGEST)) for _ in range(2)]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert made[0][keyword].value != made[1][keyword].value


def test_nothing_but_pixels_comes_through() -> None:
    planted = "PLANTED-JANE-DOE"
    exif = PillowImage.Exif()
    exif[0x010E] = planted
    jpeg = picture(ARRAYS["grey"], "JPEG", exif=exif, comment=planted.encode())
    info = PngInfo()
    info.add_text("Author", planted)
    png = picture(ARRAYS["colour"], "PNG", pnginfo=info, exif=exif)
    for data in (jpeg, png):
        assert planted.encode() in data
        assert planted.encode() not in secondary_capture(data, max_bytes=LARGEST)
    assert b"Exif" not in secondary_capture(jpeg, max_bytes=LARGEST)


def test_that_it_was_a_jpeg_is_on_record() -> None:
    data = picture(ARRAYS["colour"], "JPEG")
    dataset = read(secondary_capture(data, max_bytes=LARGEST))
    assert dataset.LossyImageCompression == "01"
    assert dataset.LossyImageCompressionMethod == "ISO_10918_1"
    ratio = ARRAYS["colour"].nbytes / len(data)
    assert dataset.LossyImageCompressionRatio == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize(
    ("tags", "keyword"),
    [
        ({"Modality": "ct"}, "Modality"),
        ({"Modality": ""}, "Modality"),
        ({"StudyInstanceUID": "1.02"}, "StudyInstanceUID"),
        ({"PatientID": "a\\b"}, "PatientID"),
        ({"PatientBirthDate": "1970-01-01"}, "PatientBirthDate"),
        ({"BodyPartExamined": "X" * 17}, "BodyPartExamined"),
        ({"PixelData": "00"}, "not taken"),
    ],
)
def test_tags_that_cannot_be(tags: dict[str, str], keyword: str) -> None:
    with pytest.raises(UnreadableImage, match=keyword) as caught:
        secondary_capture(picture(ARRAYS["grey"]), max_bytes=LARGEST, tags=tags)
    for value in tags.values():
        assert len(value) < 3 or value not in str(caught.value)


def test_the_process_that_converts() -> None:
    message = json.dumps(TAGS).encode() + b"\n" + picture(ARRAYS["grey"])
    command = [sys.executable, "-m", "preread.imaging"]
    done = subprocess.run(command, input=message, capture_output=True, check=True)
    assert read(done.stdout).PatientID == "P-1"
    np.testing.assert_array_equal(only_frame(done.stdout).pixels, ARRAYS["grey"])
    for bad in (b"", b"{}\n\x89PNG\r\n\x1a\n" + bytes(50)):
        done = subprocess.run(command, input=bad, capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stdout == b""
        assert done.stderr.count(b"\n") == 1
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "message", [b"", b"\n", b"{\n", b"[" * 70000, b"[1]\n", b"{" * 60000 + b"\n"]
)
def test_a_message_without_tags_is_refused(message: bytes) -> None:
    with pytest.raises(UnreadableImage, match="line"):
        from_message(message, max_bytes=LARGEST)
