from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from preread.imaging import Preprocessing, Window, open_image, prepare
from preread.training.belonging import groups_of
from preread.training.data_set import Contradictions
from preread.training.errors import TrainingError
from preread.training.folder import read_folder
from preread.training.patients import token_of

HOW = Preprocessing(size=(32, 40))


def test_reads_classes_in_the_order_of_the_names(pictures: Path) -> None:
    names = {"disc": "Disc", "bar": "Bar", "check": "Check"}
    data = read_folder(pictures, HOW, names)
    assert data.classes == ("Disc", "Bar", "Check")
    assert data.counts() == {"Disc": 24, "Bar": 24, "Check": 24}
    assert data.files[0] == "disc/000.png"
    assert {image.shape for image in data.images} == {(1, 32, 40)}
    assert np.allclose((data.thumbnails**2).sum(axis=1), 1, atol=1e-5)


def test_a_class_may_have_several_folders(pictures: Path) -> None:
    data = read_folder(pictures, HOW, {"disc": "Round", "bar": "Straight", "check": "Straight"})
    assert data.classes == ("Round", "Straight")
    assert data.counts() == {"Round": 24, "Straight": 48}
    straight = {file[:3] for file, label in zip(data.files, data.labels, strict=True) if label}
    assert straight == {"bar", "che"}


def test_takes_the_same_pixels_once(pictures: Path) -> None:
    again = Image.open(pictures / "disc" / "003.png")
    again.save(pictures / "disc" / "again.png", compress_level=1)
    data = read_folder(pictures, HOW, {})
    assert data.duplicates == 1
    assert len(data) == 72


def test_refuses_the_same_pixels_in_two_classes(pictures: Path) -> None:
    (pictures / "bar" / "x.png").write_bytes((pictures / "disc" / "003.png").read_bytes())
    with pytest.raises(TrainingError, match=r"^disc/003\.png and bar/x\.png: the same pixels"):
        read_folder(pictures, HOW, {})


def test_takes_the_same_pixels_again_if_told_so(pictures: Path) -> None:
    (pictures / "disc" / "again.png").write_bytes((pictures / "disc" / "003.png").read_bytes())
    data = read_folder(pictures, HOW, {}, keep_duplicates=True)
    assert (data.duplicates, len(data)) == (0, 73)
    assert len(set(data.digests)) == 72


def test_keeps_or_drops_the_same_pixels_in_two_classes(pictures: Path) -> None:
    (pictures / "bar" / "x.png").write_bytes((pictures / "disc" / "003.png").read_bytes())
    kept = read_folder(pictures, HOW, {}, contradictions=Contradictions.KEEP)
    assert (kept.contradictions, kept.duplicates) == (2, 0)
    assert kept.counts() == {"bar": 25, "check": 24, "disc": 24}
    dropped = read_folder(pictures, HOW, {}, contradictions=Contradictions.DROP)
    assert (dropped.contradictions, dropped.duplicates) == (2, 0)
    assert dropped.counts() == {"bar": 24, "check": 24, "disc": 23}
    assert not {"disc/003.png", "bar/x.png"} & set(dropped.files)


def test_a_class_that_loses_its_last_image_is_an_error(pictures: Path) -> None:
    (pictures / "one").mkdir()
    (pictures / "one" / "x.png").write_bytes((pictures / "disc" / "003.png").read_bytes())
    with pytest.raises(TrainingError, match=r"^pictures: class one of class: no image of it"):
        read_folder(pictures, HOW, {}, contradictions=Contradictions.DROP)


def test_a_folder_is_one_set(pictures: Path) -> None:
    data = read_folder(pictures, HOW, {})
    assert [one.name for one in data.sets] == ["class"]
    assert data.labels is data.sets[0].labels
    assert set(data.patients) == {()}
    assert data.parts is None
    assert data.groups is None


def test_sizes_may_differ(pictures: Path) -> None:
    for number, size in enumerate([(20, 90), (200, 64), (1, 1)]):
        Image.effect_noise(size, 60).save(pictures / "disc" / f"other-{number}.png")
    data = read_folder(pictures, HOW, {})
    assert {image.shape for image in data.images} == {(1, 32, 40)}
    assert len(data) == 75


def test_tells_frames_of_a_file_apart(pictures: Path) -> None:
    name = str(get_testdata_file("SC_rgb_rle_2frame.dcm"))
    pydicom.dcmread(name).save_as(pictures / "disc" / "two.dcm")
    data = read_folder(pictures, HOW, {}, keep_duplicates=True)
    assert data.files[-2:] == ("disc/two.dcm#0", "disc/two.dcm#1")


def test_reads_dicom_as_the_runner_does(tmp_path: Path) -> None:
    for kind, name in (("ct", "CT_small.dcm"), ("mr", "MR_small.dcm")):
        (tmp_path / kind).mkdir()
        pydicom.dcmread(str(get_testdata_file(name))).save_as(tmp_path / kind / name)
    how = Preprocessing(size=(32, 32), window=Window(center=40, width=400))
    data = read_folder(tmp_path, how, {})
    image = open_image((tmp_path / "ct" / "CT_small.dcm").read_bytes(), max_bytes=10**8)
    assert np.array_equal(data.images[0][0], prepare(next(image.frames), how)[0])


def write_dicom(folder: Path, patient: str, study: str, name: str = "CT_small.dcm") -> Path:
    """Write a DICOM file with pixels of its own."""
    dataset = pydicom.dcmread(str(get_testdata_file(name)))
    dataset.PatientID, dataset.StudyInstanceUID = patient, study
    if name == "CT_small.dcm":
        pixels = np.random.default_rng(len(list(folder.parent.rglob("*.dcm")))).integers(
            0, 900, dataset.pixel_array.shape, dtype=np.int16
        )
        dataset.PixelData = pixels.tobytes()
    path = folder / f"{len(list(folder.iterdir()))}.dcm"
    dataset.save_as(path)
    return path


def test_a_dicom_header_tells_of_whom_an_image_is(pictures: Path) -> None:
    for folder, patient, study in (
        ("disc", "Doe-4711", "1.2.1"),
        ("bar", "Doe-4711", "1.2.2"),
        ("disc", "", "1.2.3"),
        ("bar", "", "1.2.3"),
        ("bar", "", ""),
        ("disc", "", ""),
    ):
        write_dicom(pictures / folder, patient, study)
    data = read_folder(pictures, HOW, {})
    groups = dict(zip(data.files, groups_of(data).tolist(), strict=True))
    patients = dict(zip(data.files, data.patients, strict=True))
    assert patients["bar/24.dcm"] == patients["disc/24.dcm"] == (token_of(b"Doe-4711"),)
    assert patients["bar/25.dcm"] == patients["disc/25.dcm"] == (token_of(b"1.2.3"),)
    assert patients["bar/26.dcm"] == patients["disc/26.dcm"] == ()
    assert groups["bar/24.dcm"] == groups["disc/24.dcm"]
    assert groups["bar/25.dcm"] == groups["disc/25.dcm"] != groups["bar/24.dcm"]
    assert groups["bar/26.dcm"] != groups["disc/26.dcm"]


@pytest.mark.parametrize("patient", ["", "Doe-4711"])
def test_frames_of_a_file_belong_together(patient: str, pictures: Path) -> None:
    path = write_dicom(pictures / "disc", patient, "", "SC_rgb_rle_2frame.dcm")
    other = write_dicom(pictures / "disc", "", "", "SC_rgb_rle_2frame.dcm")
    data = read_folder(pictures, HOW, {}, keep_duplicates=True)
    patients = dict(zip(data.files, data.patients, strict=True))
    first, second = (patients[f"disc/{path.name}#{frame}"] for frame in (0, 1))
    assert first == second
    assert len(first) == 1
    assert (patients[f"disc/{other.name}#0"] == first) == (not patient)


def test_keeps_colour(tmp_path: Path) -> None:
    for kind, colour in (("a", (250, 10, 10)), ("b", (10, 10, 250))):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (40, 40), colour).save(tmp_path / kind / "one.png")
    assert [image.shape[0] for image in read_folder(tmp_path, HOW, {}).images] == [3, 3]


def test_passes_over_hidden_files(pictures: Path) -> None:
    (pictures / "bar" / ".listing").write_text("not a picture")
    assert len(read_folder(pictures, HOW, {})) == 72


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a picture", r"^bar/bad: neither PNG, JPEG nor DICOM"),
        (b"\x89PNG\r\n\x1a\n broken", r"^bar/bad: "),
        (b"\xff\xd8\xff\xe0 broken", r"^bar/bad: "),
        (b"\0" * 128 + b"DICM broken", r"^bar/bad: "),
    ],
)
def test_refuses_a_broken_file(content: bytes, message: str, pictures: Path) -> None:
    (pictures / "bar" / "bad").write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        read_folder(pictures, HOW, {})


def test_refuses_what_is_no_data_set(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(TrainingError, match="no such folder"):
        read_folder(tmp_path / "nowhere", HOW, {})
    with pytest.raises(TrainingError, match="two classes or more"):
        read_folder(pictures / "bar", HOW, {})
    with pytest.raises(TrainingError, match="class folder 'disc' is only in one"):
        read_folder(pictures, HOW, {"bar": "Bar", "check": "Check"})
    (pictures / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"^pictures/empty: no images in it"):
        read_folder(pictures, HOW, {})
