"""Metadata of encapsulated JPEG goes from every byte, and no pixel changes."""

from __future__ import annotations

import logging
import shutil
import struct
import subprocess
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydicom.encaps import generate_frames, get_frame

from preread.deidentify.fragments import Encapsulated, Stripped
from preread.deidentify.jpeg_segments import is_video, strip_segments
from preread.elements import Element, Encoding, MalformedFile, read_element, read_header
from tests.unit.deidentify.jpeg_planting import (
    PLANTED,
    box,
    encapsulated,
    planted_jpeg,
    planted_jpeg2000,
    segment,
    table_of_lengths,
    tile_parts,
    wrapped,
)

BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG2000 = "1.2.840.10008.1.2.4.90"
EXPLICIT = Encoding(implicit=False, little=True)
PACKAGED = {
    path.name: path
    for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))
}


def element_of(data: bytes) -> Element:
    return read_element(data, 0, len(data), EXPLICIT)


def strip(data: bytes, syntax: str = BASELINE, **how: Any) -> Stripped | None:
    return strip_segments(Encapsulated.of(data, element_of(data)), syntax, **how)


def joined(stripped: Stripped | None) -> bytes:
    assert stripped is not None
    return b"".join(stripped.parts)


def frames_in(data: bytes, count: int, **how: Any) -> list[bytes]:
    element = element_of(data)
    return list(
        generate_frames(data[element.value : element.value_end], number_of_frames=count, **how)
    )


def picture(kind: str = "JPEG", size: int = 40, **how: Any) -> bytes:
    random = np.random.default_rng(size)
    array = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = BytesIO()
    PillowImage.fromarray(array).save(file, kind, **how)
    return file.getvalue()


def decoded(frame: bytes) -> NDArray[Any]:
    return np.asarray(PillowImage.open(BytesIO(frame)))


def shown(data: bytes) -> NDArray[Any] | None:
    """Decode by pydicom with whatever decodes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pydicom.dcmread(BytesIO(data), force=True).pixel_array
        except Exception:  # noqa: BLE001 - some of the packaged files are there to fail
            return None


def planted(frame: bytes) -> bytes:
    if frame.startswith(b"\xff\xd8"):
        return planted_jpeg(frame)
    if frame.startswith(b"\xff\x4f"):
        return planted_jpeg2000(frame, with_table=False)
    return frame


def check_file(path: Path) -> str:
    """Plant into each frame of a file, strip it, and compare with what was there."""
    original = path.read_bytes()
    try:
        header = read_header(original)
    except MalformedFile:
        return "not readable"
    element = header.all_elements[-1]
    if element.tag != 0x7FE00010 or not element.undefined:
        return "not encapsulated"
    count = header.number(0x00280008) or 1
    old = original[element.start : element.end]
    frames = frames_in(old, count)
    pixels, laid = encapsulated([planted(frame) for frame in frames])
    if PLANTED not in pixels:
        return "no format with metadata"
    assert len(frames) == len(laid) == count
    syntax = header.TransferSyntaxUID
    new = joined(strip(pixels, syntax, number_of_frames=count))
    assert PLANTED not in new
    assert strip(new, syntax, number_of_frames=count) is None

    # Without what was planted it is what the file itself becomes.
    own = strip(old, syntax, number_of_frames=count)
    if own is not None:
        assert strip(joined(own), syntax, number_of_frames=count) is None
    expected = frames_in(old if own is None else joined(own), count)
    found = frames_in(new, count)
    for left, right in zip(found, expected, strict=True):
        end = right.rindex(b"\xff\xd9") + 2
        assert left.rstrip(b"\0\xff") == right[:end].rstrip(b"\0\xff")

    before = shown(original)
    for body in (new, None if own is None else joined(own)):
        if body is not None:
            after = shown(original[: element.start] + body + original[element.end :])
            assert (before is None) == (after is None)
            np.testing.assert_array_equal(after, before)
    return "not decodable" if before is None else "checked"


ENCAPSULATED = [
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "JPGExtended.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_jpeg_no_color_transform.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "examples_ybr_color.dcm",
]


@pytest.mark.parametrize("name", ENCAPSULATED)
def test_packaged_files_lose_what_is_planted_and_keep_their_pixels(name: str) -> None:
    assert check_file(PACKAGED[name]) == "checked"


@pytest.mark.parametrize("name", sorted(set(PACKAGED) - set(ENCAPSULATED)))
def test_all_other_packaged_files(name: str) -> None:
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    check_file(PACKAGED[name])


@pytest.mark.shared_data
def test_the_variety_of_devices(shared_dicom: Path) -> None:
    results = [check_file(path) for path in sorted((shared_dicom / "variety").glob("*.dcm"))]
    assert results.count("checked") >= 65


@pytest.mark.parametrize(
    "how",
    [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"quality": 100}, {"subsampling": 0}],
)
def test_scans_and_restart_markers(how: dict[str, Any]) -> None:
    frame = picture(**how)
    data, _ = encapsulated([planted_jpeg(frame)])
    stripped = strip(data)
    new = joined(stripped)
    (found,) = frames_in(new, 1)
    assert PLANTED not in new
    assert found.rstrip(b"\0") == frame
    assert stripped is not None
    assert stripped.removed >= 19  # twice eight, two before the end, what follows it
    np.testing.assert_array_equal(decoded(found), decoded(frame))


def test_what_decoding_needs_stays_in_its_shortest_form() -> None:
    frame = picture()
    jfif = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\1\1" + b"PIX" + PLANTED)
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\2" + PLANTED)
    mixed = segment(0xE8, b"mrfx\1" + PLANTED)
    end_of_jfif = 2 + 2 + int.from_bytes(frame[4:6], "big")
    data, _ = encapsulated([frame[:2] + jfif + adobe + mixed + frame[end_of_jfif:]])
    (found,) = frames_in(joined(strip(data)), 1)
    kept = (
        segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0"),
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\2"),
        segment(0xE8, b"mrfx\1"),
    )
    assert found.rstrip(b"\0") == frame[:2] + b"".join(kept) + frame[end_of_jfif:]


def test_an_adobe_marker_decides_colours_and_stays() -> None:
    frame = picture(keep_rgb=True)
    assert b"Adobe" in frame
    data, _ = encapsulated([planted_jpeg(frame)])
    (found,) = frames_in(joined(strip(data)), 1)
    np.testing.assert_array_equal(decoded(found), decoded(frame))


@pytest.mark.parametrize("piece", [None, 64, 1000])
@pytest.mark.parametrize("with_table", [True, False])
@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_offsets_of_many_frames(piece: int | None, with_table: bool, kind: str) -> None:
    frames = [picture(kind, size) for size in (16, 33, 24, 41)]
    clean = [
        joined(strip(encapsulated([frame])[0])) if kind == "JPEG2000" else b"" for frame in frames
    ]
    expected = [frames_in(c, 1)[0] if c else f for c, f in zip(clean, frames, strict=True)]
    mixed = [planted(frames[0]), expected[1], planted(frames[2]), expected[3]]
    data, _ = encapsulated(mixed, piece=piece, with_table=with_table)
    syntax = BASELINE if kind == "JPEG" else JPEG2000
    new = joined(strip(data, syntax, number_of_frames=4))
    assert PLANTED not in new
    found = frames_in(new, 4)
    for left, right in zip(found, expected, strict=True):
        assert left.rstrip(b"\0")[:-2] in right
        np.testing.assert_array_equal(decoded(left), decoded(right))
    element = element_of(new)
    inside = new[element.value : element.value_end]
    for index in range(4):
        assert get_frame(inside, index, number_of_frames=4) == found[index]
    assert strip(new, syntax, number_of_frames=4) is None


@pytest.mark.parametrize("piece", [None, 128])
def test_extended_offsets(piece: int | None) -> None:
    frames = [picture(size=size) for size in (16, 33, 24)]
    data, offsets = encapsulated(
        [planted_jpeg(frames[0]), frames[1], planted_jpeg(frames[2])], piece=piece, with_table=False
    )
    stripped = strip(data, extended_offsets=offsets, number_of_frames=3)
    new = joined(stripped)
    assert stripped is not None
    assert stripped.lengths == [len(frame) for frame in frames]
    assert stripped.offsets is not None
    tables = tuple(struct.pack("<3Q", *values) for values in (stripped.offsets, stripped.lengths))
    found = frames_in(new, 3, extended_offsets=tables)
    assert found == frames
    sound: dict[str, Any] = {"extended_offsets": stripped.offsets, "number_of_frames": 3}
    assert strip(new, extended_lengths=stripped.lengths, **sound) is None
    padded = [length + length % 2 for length in stripped.lengths]
    assert strip(new, extended_lengths=padded, **sound) is None
    for wrong in (None, stripped.lengths[:2], [0x59544E414C50] * 3):
        again = strip(new, extended_lengths=wrong, **sound)
        assert again is not None
        assert (again.offsets, again.lengths) == (stripped.offsets, stripped.lengths)
    with pytest.raises(MalformedFile, match="ExtendedOffsetTable"):
        strip(data, extended_offsets=offsets[:2], number_of_frames=3)


def test_nothing_is_copied_where_nothing_changed() -> None:
    clean, dirty = picture(size=64), planted_jpeg(picture(size=48))
    data, _ = encapsulated([clean, dirty, clean])
    assert strip(encapsulated([clean, clean])[0], number_of_frames=2) is None
    stripped = strip(data, number_of_frames=3)
    assert stripped is not None
    copied = sum(len(part) for part in stripped.parts if isinstance(part, bytes))
    assert copied < 80
    seen = Encapsulated.of(memoryview(data), element_of(data))
    assert joined(strip_segments(seen, BASELINE, number_of_frames=3))


def test_a_basic_offset_table_that_holds_something_else_is_emptied() -> None:
    data, _ = encapsulated([picture()], with_table=False)
    hidden = PLANTED + b"123"
    at = 12
    data = data[:at] + struct.pack("<HHI", 0xFFFE, 0xE000, len(hidden)) + hidden + data[at + 8 :]
    new = joined(strip(data))
    assert PLANTED not in new
    assert frames_in(new, 1)[0].rstrip(b"\0") == picture().rstrip(b"\0")


def test_the_delimiter_has_no_room() -> None:
    data, _ = encapsulated([picture()])
    assert joined(strip(data[:-4] + b"JANE")) == data


@pytest.mark.parametrize("last_open", [False, True])
@pytest.mark.parametrize("with_table", [False, True])
def test_jpeg2000_in_tiles(with_table: bool, last_open: bool) -> None:
    frame = picture("JPEG2000", 64, tile_size=(32, 32), no_jp2=True)
    assert len(tile_parts(frame)) == 4
    data, _ = encapsulated([planted_jpeg2000(frame, with_table=with_table, last_open=last_open)])
    new = joined(strip(data, JPEG2000))
    (found,) = frames_in(new, 1)
    assert PLANTED not in new
    # OpenJPEG takes padding for data where the last length is left open.
    np.testing.assert_array_equal(decoded(found.rstrip(b"\0")), decoded(frame))
    if not last_open:
        assert tile_parts(found) == tile_parts(frame)
        if with_table:
            assert table_of_lengths(found) == tile_parts(frame)


def test_of_a_jp2_file_the_codestream_is_left() -> None:
    frame = picture("JPEG2000", no_jp2=True)
    data, _ = encapsulated([wrapped(planted_jpeg2000(frame))])
    new = joined(strip(data, JPEG2000))
    (found,) = frames_in(new, 1)
    assert PLANTED not in new
    assert found.startswith(b"\xff\x4f\xff\x51")
    np.testing.assert_array_equal(decoded(found), decoded(frame))


def test_a_devices_jp2_file_shows_the_same_without_its_boxes() -> None:
    original = PACKAGED["GDCMJ2K_TextGBR.dcm"].read_bytes()
    element = read_header(original).all_elements[-1]
    stripped = strip_segments(Encapsulated.of(original, element), JPEG2000)
    after = shown(original[: element.start] + joined(stripped) + original[element.end :])
    before = shown(original)
    assert before is not None
    np.testing.assert_array_equal(after, before)


def test_a_jp2_file_with_a_palette_is_refused() -> None:
    frame = wrapped(picture("JPEG2000", no_jp2=True)).replace(b"ihdr", b"pclr")
    with pytest.raises(MalformedFile, match="palette"):
        strip(encapsulated([frame])[0], JPEG2000)


def test_boxes_of_jpeg_xl() -> None:
    start = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    stream = box(b"jxlc", b"\xff\x0a" + bytes(30))
    frame = start + box(b"Exif", PLANTED) + box(b"jbrd", PLANTED) + stream + box(b"xml ", PLANTED)
    syntax = "1.2.840.10008.1.2.4.112"
    (found,) = frames_in(joined(strip(encapsulated([frame])[0], syntax)), 1)
    assert found == start + stream
    assert strip(encapsulated([b"\xff\x0a" + PLANTED])[0], syntax) is None


def test_what_is_not_looked_into() -> None:
    data, _ = encapsulated([b"\0\0\0\1" + PLANTED])
    for syntax in ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.102"):
        assert strip(data, syntax) is None
    assert is_video("1.2.840.10008.1.2.4.108")
    assert not is_video("1.2.840.10008.1.2.5")
    dirty, _ = encapsulated([planted_jpeg(picture())])
    assert PLANTED not in joined(strip(dirty, "1.2.3.4"))
    assert strip(encapsulated([], with_table=False)[0]) is None


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        PLANTED,
        b"\xff\xd8",
        b"\xff\xd8\xff\xe1\xff\xff" + PLANTED,
        b"\xff\xd8\xff\xe1\0\1" + PLANTED,
        b"\xff\xd8\xff\xf0\0\x13" + PLANTED + b"\xff\xd9",
        b"\xff\xd8" + PLANTED + b"\xff\xd9",
        picture()[:-2],
        picture("JPEG2000", no_jp2=True)[:-60],
        b"\xff\x4f\xff\x51" + PLANTED,
        b"\0\0\0\x0cjP  " + PLANTED,
    ],
)
def test_what_cannot_be_walked_over_is_refused(frame: bytes) -> None:
    for syntax in (BASELINE, JPEG_LS, JPEG2000):
        with pytest.raises(MalformedFile) as caught:
            strip(encapsulated([frame or b"\0"])[0], syntax)
        assert "PLANTED" not in str(caught.value)


def test_frames_that_share_a_fragment_are_not_dropped() -> None:
    data, _ = encapsulated([picture() + picture()])
    with pytest.raises(MalformedFile, match="fewer frames"):
        strip(data, number_of_frames=2)


def jpeg_ls() -> bytes:
    data = PACKAGED["SC_rgb_jls_lossy_line.dcm"].read_bytes()
    element = read_header(data).all_elements[-1]
    return frames_in(data[element.start : element.end], 1)[0]


SEEDS: list[Callable[[], bytes]] = [
    lambda: planted_jpeg(picture(progressive=True, size=16)),
    lambda: planted_jpeg2000(picture("JPEG2000", 16, no_jp2=True)),
    lambda: wrapped(planted_jpeg2000(picture("JPEG2000", 16, no_jp2=True))),
    lambda: planted_jpeg(jpeg_ls()),
]


@settings(deadline=2000, max_examples=400)
@given(st.data())
def test_damage_gives_a_result_or_a_reason(data: st.DataObject) -> None:
    frame = data.draw(st.sampled_from(SEEDS))()
    pixels = bytearray(
        encapsulated([frame, frame], piece=data.draw(st.sampled_from([None, 50])))[0]
    )
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(12, len(pixels) - 1))
        pixels[at] = data.draw(st.sampled_from([0, 1, 0x64, 0x90, 0xD9, 0xDA, 0xE1, 0xFE, 0xFF]))
    with suppress(MalformedFile):
        stripped = strip(bytes(pixels), number_of_frames=2)
        if stripped is not None:
            assert strip(joined(stripped), number_of_frames=len(stripped.parts)) is None


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xe1\0\2", b"\xff\xff\xff\xfe\0\2"])
def test_much_of_little_takes_no_time(filler: bytes) -> None:
    frame = b"\xff\xd8" + filler * (2**21 // len(filler)) + picture()[2:]
    data, _ = encapsulated([frame], piece=2**10)
    began = time.process_time()
    joined(strip(data)) if filler != b"\xff" else strip(data)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("dcmdjpeg", "SC_rgb_jpeg_dcmtk.dcm"),
        ("dcmdjpeg", "JPGExtended.dcm"),
        ("dcmdjpeg", "examples_ybr_color.dcm"),
        ("dcmdjpls", "MR_small_jpeg_ls_lossless.dcm"),
    ],
)
def test_dcmtk_decodes_the_same(program: str, name: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} (dcmtk) is not on this machine")
    original = PACKAGED[name].read_bytes()
    header = read_header(original)
    element = header.all_elements[-1]
    count = header.number(0x00280008) or 1
    frames = frames_in(original[element.start : element.end], count)
    dirty, _ = encapsulated([planted(frame) for frame in frames], piece=500)
    clean = joined(strip(dirty, header.TransferSyntaxUID, number_of_frames=count))
    shown_by_dcmtk = []
    for number, body in enumerate((original[element.start : element.end], clean)):
        source, target = tmp_path / f"{number}.dcm", tmp_path / f"{number}.raw.dcm"
        source.write_bytes(original[: element.start] + body + original[element.end :])
        subprocess.run(["dcmdump", str(source)], check=True, capture_output=True)
        subprocess.run([program, str(source), str(target)], check=True, capture_output=True)
        shown_by_dcmtk.append(pydicom.dcmread(target).PixelData)
    assert shown_by_dcmtk[0] == shown_by_dcmtk[1]
