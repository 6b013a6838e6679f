"""Bytes that stand beside the frames go wherever no picture must be decoded to find them."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from preread.deidentify.pixel_data import stored_pixels
from preread.elements import MalformedFile, read_header
from tests.unit.deidentify.conftest import EXPLICIT, IMPLICIT, Node, Written
from tests.unit.deidentify.test_pixel_data import encapsulated, stored

CANARY = b"CANARYZQX^JANE 1970 "
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
MP4 = "1.2.840.10008.1.2.4.102"
FRAGMENTED_MP4 = "1.2.840.10008.1.2.4.102.1"


def sized(rows: int, columns: int, bits: int, samples: int = 1) -> list[Node]:
    values = {0x00280002: samples, 0x00280010: rows, 0x00280011: columns, 0x00280100: bits}
    return [Node(tag, b"US", struct.pack("<H", value)) for tag, value in values.items()]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_fragment_that_is_a_frame_is_cut_to_its_length(bits: int) -> None:
    module = sized(5, 5, bits)
    length = 25 * bits // 8
    frames = [bytes(range(length)) + b"\0" * (length % 2), bytes(length) + b"\0" * (length % 2)]
    assert stored(encapsulated(frames), UNCOMPRESSED, *module)[0].element is None
    result, new = stored(encapsulated([frames[0] + CANARY, frames[1]]), UNCOMPRESSED, *module)
    assert new == encapsulated(frames)
    assert result.removed == 1
    with pytest.raises(MalformedFile, match="more than its frame"):
        stored(encapsulated([frames[0] + bytes(length) + CANARY]), UNCOMPRESSED, *module)


@pytest.mark.parametrize(("tag", "vr", "size"), [(0x7FE00008, b"OF", 4), (0x7FE00009, b"OD", 8)])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_floating_pixels_are_cut_behind_the_last_frame(
    tag: int, vr: bytes, size: int, syntax: str
) -> None:
    pixels = bytes(range(30)) * size
    module = [Node(0x00080018, b"UI", b"1.2.3"), *sized(5, 6, 8 * size)]

    def made(value: bytes, frames: bytes = b"1 ") -> dict[int, bytes]:
        more = [Node(0x00280008, b"IS", frames), Node(tag, vr, value)]
        nodes = sorted([*module, *more], key=lambda node: node.tag)
        return dict(stored_pixels(read_header(Written(nodes, syntax).bytes())).written)

    assert made(pixels) == {}
    assert made(pixels * 2, b"2 ") == {}
    assert made(pixels + CANARY)[tag].endswith(pixels)
    with pytest.raises(MalformedFile, match="more frames"):
        made(pixels * 2 + CANARY)


@pytest.mark.parametrize("tag", [0x00280002, 0x00280010, 0x00280011, 0x00280100])
def test_frames_without_pixels_have_no_pixel_data(tag: int) -> None:
    module = [node for node in sized(5, 6, 8) if node.tag != tag]
    zero = Node(tag, b"US", b"\0\0")

    def made(*more: Node) -> None:
        nodes = sorted([Node(0x00080018, b"UI", b"1.2.3"), *module, *more], key=lambda n: n.tag)
        stored_pixels(read_header(Written(nodes).bytes()))

    with pytest.raises(MalformedFile, match="is 0") as caught:
        made(zero, Node(0x7FE00010, b"OW", CANARY))
    assert caught.value.tag == tag
    made(zero, Node(0x7FE00010, b"OW", b""))
    made(zero)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a film of eight pictures, as OpenCV writes it."""
    path = tmp_path_factory.mktemp("video") / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for index in range(8):
        picture = np.full((48, 64, 3), 20 * index, np.uint8)
        picture[10:20, 5 * index : 5 * index + 10] = 255
        writer.write(picture)
    writer.release()
    return path.read_bytes()


def pictures(path: Path, data: bytes) -> NDArray[np.uint8]:
    path.write_bytes(data)
    film = cv2.VideoCapture(str(path))
    found: list[NDArray[np.uint8]] = []
    while True:
        is_there, picture = film.read()
        if not is_there:
            return np.array(found)
        found.append(np.asarray(picture, np.uint8))


def into(data: bytes, name: bytes, more: bytes) -> bytes:
    """Put more behind what a box at the top level holds; it must be the last one."""
    at = data.index(name) - 4
    length = int.from_bytes(data[at : at + 4], "big")
    assert at + length == len(data)
    return data[:at] + struct.pack(">I", length + len(more)) + data[at + 4 :] + more


def planted(data: bytes) -> bytes:
    """Plant wherever a player does not look: boxes, names, times, behind the end."""
    user = box(b"udta", box(b"\xa9nam", b"\0\x14\0\0" + CANARY) + box(b"name", CANARY))
    data = into(data, b"moov", user + box(b"meta", bytes(4) + CANARY) + box(b"uuid", CANARY))
    name = data.index(b"VideoHandler")
    data = data[:name] + CANARY[:12] + data[name + 12 :]
    header = data.index(b"mvhd")
    data = data[: header + 8] + CANARY[:8] + data[header + 16 :]
    return data + box(b"free", CANARY) + box(b"zqxz", CANARY) + CANARY[:6]


@pytest.mark.parametrize("pieces", [1, 5])
def test_what_an_mp4_says_beside_its_pictures_is_blanked(
    tmp_path: Path, video: bytes, pieces: int
) -> None:
    file = planted(video)
    before = pictures(tmp_path / "before.mp4", file)
    assert len(before) == 8
    syntax = MP4 if pieces == 1 else FRAGMENTED_MP4
    # Fragments of odd places, so that boxes lie across their borders.
    size = len(file) + len(file) % 2 if pieces == 1 else len(file) // pieces // 2 * 2 + 2
    fragments = [file[at : at + size] for at in range(0, len(file), size)]
    result, new = stored(encapsulated(fragments), syntax, frames=8)
    made = b"".join(new[8 + at : 8 + at + length] for at, length in lengths(new))
    assert b"CANARY" not in new
    assert b"ZQX^JANE" not in new
    assert result.removed > 5
    assert len(made) - len(file) in (0, 1)
    np.testing.assert_array_equal(pictures(tmp_path / "after.mp4", made), before)
    assert stored(new, syntax, frames=8)[0].element is None


def lengths(new: bytes) -> list[tuple[int, int]]:
    """Give place and length of each fragment behind the offset table."""
    found, at = [], 12
    while new[at : at + 4] == b"\xfe\xff\x00\xe0":
        length = int.from_bytes(new[at + 4 : at + 8], "little")
        found.append((at, length))
        at += 8 + length
    return found[1:]


def test_an_mp4_that_cannot_be_walked_over_is_refused(video: bytes) -> None:
    subtitles = video.replace(b"vide", b"text", 1)
    for broken in (video[:-20], subtitles):
        assert broken != video
        with pytest.raises(MalformedFile, match=r"boxes of the video|neither pictures nor sound"):
            stored(encapsulated([broken]), MP4)


def test_other_videos_stay_as_they_are() -> None:
    stream = b"\0\0\0\1\x67" + CANARY + bytes(100)
    assert stored(encapsulated([stream]), MP4)[0].element is None
