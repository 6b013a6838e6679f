"""Around the pixels of a file there is no room for anything else."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import pydicom
import pytest

from preread.deidentify.jpeg_segments import is_video
from preread.deidentify.pixel_data import Stored, stored_pixels
from preread.elements import MalformedFile, read_header
from tests.unit.deidentify.conftest import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Node, Written
from tests.unit.deidentify.conftest import JPEG as BASELINE

TEXT = b"PLANTED^JANE 7741   "
RLE = "1.2.840.10008.1.2.5"
VIDEO = "1.2.840.10008.1.2.4.102"
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
PRIVATE = "1.2.3.4.5"
OPAQUE = (RLE, VIDEO, UNCOMPRESSED, DEFLATED_FRAMES, PRIVATE)
ENCAPSULATED = (
    *("1.2.840.10008.1.2.4." + str(number) for number in (50, 57, 70, 80, 81, 90, 91, 93)),
    *("1.2.840.10008.1.2.4." + str(number) for number in (100, 103, 107, 110, 112, 201, 203)),
    "1.2.840.10008.1.2.4.104.1",
    *(RLE, UNCOMPRESSED, DEFLATED_FRAMES),
)
JPEG_FRAME = (
    b"\xff\xd8\xff\xc0\0\x0b\x08\0\x08\0\x08\1\1\x11\0"
    b"\xff\xda\0\x08\1\1\0\0\x3f\0\x12\x34\x56\xff\xd9"
)
FRAMES = (b"\1\0\0\0\x40\0\0\0" + bytes(56) + b"\1\2", b"\1\0\0\0\x40\0\0\0" + bytes(58) + b"\3\4")


def fragment(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def encapsulated(
    frames: Sequence[bytes],
    table: bytes = b"",
    *,
    vr: bytes = b"OB",
    reserved: bytes = b"\0\0",
    end: bytes = bytes(4),
) -> bytes:
    header = b"\xe0\x7f\x10\0" + vr + reserved + b"\xff\xff\xff\xff"
    body = b"".join(fragment(frame + b"\0" * (len(frame) % 2)) for frame in (table, *frames))
    return header + body + b"\xfe\xff\xdd\xe0" + end


def offsets_of(frames: Sequence[bytes]) -> list[int]:
    lengths = (8 + len(frame) + len(frame) % 2 for frame in frames[:-1])
    return list(accumulate(lengths, initial=0))


def tables(offsets: Sequence[int], lengths: Sequence[int]) -> list[Node]:
    return [
        Node(0x7FE00001, b"OV", struct.pack(f"<{len(offsets)}Q", *offsets)),
        Node(0x7FE00002, b"OV", struct.pack(f"<{len(lengths)}Q", *lengths)),
    ]


def stored(pixels: bytes, syntax: str, *more: Node, frames: int = 2) -> tuple[Stored, bytes]:
    """Return what becomes of pixel data, and the element that stands there afterwards."""
    nodes = [Node(0x00080018, b"UI", b"1.2.3"), Node(0x00280008, b"IS", b"%d" % frames), *more]
    result = stored_pixels(read_header(Written(nodes, syntax).bytes() + pixels))
    return result, pixels if result.element is None else b"".join(result.element)


@pytest.mark.parametrize("syntax", [*OPAQUE, BASELINE])
def test_sound_pixels_stay_as_they_are(syntax: str) -> None:
    frames = (JPEG_FRAME, JPEG_FRAME) if syntax == BASELINE else FRAMES
    offsets = offsets_of(frames)
    for table in (b"", struct.pack("<2I", *offsets)):
        assert stored(encapsulated(frames, table), syntax)[0] == Stored()
    extended = tables(offsets, [len(frame) for frame in frames])
    assert stored(encapsulated(frames), syntax, *extended)[0] == Stored()
    assert stored(encapsulated(()), syntax)[0] == Stored()


@pytest.mark.parametrize("syntax", [*OPAQUE, BASELINE])
@pytest.mark.parametrize("table", [TEXT, TEXT[:6], struct.pack("<2I", 0, 4), bytes(8)])
def test_a_basic_offset_table_of_anything_else_is_emptied(syntax: str, table: bytes) -> None:
    frames = (JPEG_FRAME, JPEG_FRAME) if syntax == BASELINE else FRAMES
    _, new = stored(encapsulated(frames, table), syntax)
    assert new == encapsulated(frames)


@pytest.mark.parametrize("syntax", [*OPAQUE, BASELINE])
def test_header_and_delimiter_have_no_room(syntax: str) -> None:
    frames = (JPEG_FRAME, JPEG_FRAME) if syntax == BASELINE else FRAMES
    table = struct.pack("<2I", *offsets_of(frames))
    for how in ({"end": b"JANE"}, {"reserved": b"JD"}, {"vr": b"UN"}):
        _, new = stored(encapsulated(frames, table, **how), syntax)
        assert new == encapsulated(frames, table)
        _, new = stored(encapsulated((), **how), syntax)
        assert new == encapsulated(())
    empty = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\xdd\xe0JANE"
    assert b"JANE" not in stored(empty, syntax)[1]


@pytest.mark.parametrize("syntax", OPAQUE)
def test_an_extended_offset_table_that_does_not_tell_goes(syntax: str) -> None:
    offsets, lengths = offsets_of(FRAMES), [len(frame) for frame in FRAMES]
    planted = list(struct.unpack("<2Q", TEXT[:16]))
    for first, second in (
        (planted, lengths),
        (offsets, planted),
        (offsets[:1], lengths[:1]),
        (offsets, []),
        ([], lengths),
    ):
        result, new = stored(encapsulated(FRAMES), syntax, *tables(first, second))
        assert result.written == {0x7FE00001: b"", 0x7FE00002: b""}
        assert new == encapsulated(FRAMES)
    cut = Node(0x7FE00001, b"OV", TEXT[:12])
    assert stored(encapsulated(FRAMES), syntax, cut)[0].written == {0x7FE00001: b""}
    result, new = stored(encapsulated(FRAMES, end=b"JANE"), syntax, *tables(offsets, lengths))
    assert result.written[0x7FE00001][-16:] == struct.pack("<2Q", *offsets)
    assert result.written[0x7FE00002][-16:] == struct.pack("<2Q", *lengths)
    assert new == encapsulated(FRAMES)
    result, _ = stored(encapsulated(()), syntax, *tables(planted, planted))
    assert result.written == {0x7FE00001: b"", 0x7FE00002: b""}


def test_extended_offsets_of_jpeg_are_put_right() -> None:
    frames = (JPEG_FRAME, JPEG_FRAME)
    offsets, lengths = offsets_of(frames), [len(JPEG_FRAME)] * 2
    planted = list(struct.unpack("<2Q", TEXT[:16]))
    for wrong in (tables(planted, lengths), tables(offsets, planted), tables(offsets, [])):
        result, new = stored(encapsulated(frames), BASELINE, *wrong)
        assert new == encapsulated(frames)
        assert result.written[0x7FE00001][-16:] == struct.pack("<2Q", *offsets)
        assert result.written[0x7FE00002][-16:] == struct.pack("<2Q", *lengths)
    alone = Node(0x7FE00002, b"OV", TEXT[:16])
    assert stored(encapsulated(frames), BASELINE, alone)[0].written == {0x7FE00002: b""}


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED, IMPLICIT, BIG_ENDIAN])
def test_native_pixels_have_no_extended_offset_table(syntax: str) -> None:
    nodes = [
        *(Node(0x00080018, b"UI", b"1.2.3"), Node(0x7FE00001, b"OV", TEXT[:16])),
        Node(0x7FE00010, b"OW", bytes(8)),
    ]
    for some in (nodes, nodes[:2]):
        result = stored_pixels(read_header(Written(some, syntax).bytes()))
        assert result == Stored(written={0x7FE00001: b""})


@pytest.mark.parametrize("syntax", [RLE, UNCOMPRESSED, DEFLATED_FRAMES])
def test_a_fragment_beyond_the_frames_is_refused(syntax: str) -> None:
    with pytest.raises(MalformedFile, match="more fragments than frames") as caught:
        stored(encapsulated((*FRAMES, TEXT)), syntax)
    assert "PLANTED" not in str(caught.value)


def test_video_is_cut_into_fragments_at_will() -> None:
    assert is_video(VIDEO)
    assert stored(encapsulated((*FRAMES, *FRAMES)), VIDEO)[0] == Stored()


@pytest.mark.parametrize("syntax", [*OPAQUE, BASELINE])
def test_a_fragment_without_length_is_refused(syntax: str) -> None:
    item = b"\xfe\xff\0\xe0\xff\xff\xff\xff\x08\0\x08\x10LO\x04\0JANE\xfe\xff\x0d\xe0JANE"
    pixels = encapsulated(())[:-8] + item + b"\xfe\xff\xdd\xe0" + bytes(4)
    with pytest.raises(MalformedFile, match="undefined length"):
        stored(pixels, syntax)


@pytest.mark.parametrize("syntax", ENCAPSULATED)
def test_encapsulated_pixels_of_a_defined_length_are_refused(syntax: str) -> None:
    for value in (JPEG_FRAME + b"\0", fragment(b"") + fragment(JPEG_FRAME + b"\0"), TEXT):
        pixels = b"\xe0\x7f\x10\0OB\0\0" + struct.pack("<I", len(value)) + value
        with pytest.raises(MalformedFile, match="must have an undefined length") as caught:
            stored(pixels, syntax)
        assert "PLANTED" not in str(caught.value)
    assert stored(b"\xe0\x7f\x10\0OB\0\0" + bytes(4), syntax)[0] == Stored()


@pytest.mark.parametrize("syntax", [EXPLICIT, PRIVATE, "1.2.840.113619.5.2"])
def test_native_and_private_pixels_of_a_defined_length_pass(syntax: str) -> None:
    assert stored(b"\xe0\x7f\x10\0OB\0\0\x04\0\0\0\1\2\3\4", syntax)[0] == Stored()


def test_encapsulation_needs_explicit_little_endian() -> None:
    implicit = b"\xe0\x7f\x10\0\xff\xff\xff\xff" + encapsulated(FRAMES)[12:]
    with pytest.raises(MalformedFile, match="Explicit VR Little Endian"):
        stored(implicit, IMPLICIT)
    big = struct.pack(">HH2sHIHHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF, 0xFFFE, 0xE0DD, 0)
    with pytest.raises(MalformedFile, match="Explicit VR Little Endian"):
        stored(big, BIG_ENDIAN)
    with pytest.raises(MalformedFile, match="expected the VR"):
        stored(encapsulated(FRAMES, vr=b"SQ"), RLE)


def order_of(syntax: str) -> Literal["little", "big"]:
    return "big" if syntax == BIG_ENDIAN else "little"


def native(
    pixels: bytes,
    *more: Node,
    syntax: str = EXPLICIT,
    vr: bytes = b"OW",
    shape: tuple[int, int, int, int] = (5, 6, 1, 8),
    number_vr: bytes = b"US",
) -> bytes:
    """Return the value of native pixel data as it is afterwards."""
    order = order_of(syntax)
    tags = (0x00280010, 0x00280011, 0x00280002, 0x00280100)
    module = [
        Node(tag, number_vr, number.to_bytes(2, order))
        for tag, number in zip(tags, shape, strict=True)
    ]
    given = {node.tag for node in more}
    kept = [node for node in module if node.tag not in given]
    nodes = [Node(0x00080018, b"UI", b"1.2.3"), *kept, *more]
    nodes.sort(key=lambda node: node.tag)
    data = Written([*nodes, Node(0x7FE00010, vr, pixels)], syntax).bytes()
    header = read_header(data)
    result = stored_pixels(header)
    if result.element is None:
        return pixels
    before = bytes(header.data[: header.all_elements[-1].start])
    new = (data[: header.meta.dataset_start] if syntax == DEFLATED else b"") + before
    if syntax == DEFLATED:
        new = new.replace(DEFLATED.encode(), (EXPLICIT + "\0\0\0").encode())
    new += b"".join(result.element)
    again = read_header(new)
    last = again.all_elements[-1]
    assert (last.tag, last.vr, last.end) == (0x7FE00010, last.vr and vr, len(again.data))
    twice = stored_pixels(again).element
    assert twice is None or new.endswith(b"".join(twice))
    return bytes(again.data[last.value : last.value_end])


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, PRIVATE])
@pytest.mark.parametrize("number_vr", [b"US", b"UN"])
def test_what_lies_behind_the_last_frame_is_cut(syntax: str, number_vr: bytes) -> None:
    how: dict[str, Any] = {"syntax": syntax, "number_vr": number_vr}
    thirty = bytes(range(30))
    assert native(thirty + TEXT, **how) == thirty
    assert native(thirty + TEXT, vr=b"OB", **how) == thirty
    assert native(thirty, **how) == thirty
    with pytest.raises(MalformedFile, match="shorter than its frames"):
        native(thirty[:28], **how)
    assert native(bytes(26) + TEXT, shape=(5, 5, 1, 8), **how) == bytes(26)
    assert native(bytes(24) + TEXT, shape=(3, 4, 1, 16), **how) == bytes(24)
    assert native(bytes(24) + TEXT, shape=(2, 4, 3, 8), **how) == bytes(24)
    assert native(bytes(120) + TEXT, Node(0x00280008, b"IS", b"4 "), **how) == bytes(120)


def test_bits_are_packed_over_frames() -> None:
    frames = Node(0x00280008, b"IS", b"3 ")
    # 3 frames of 210 bits: 630 bits, or 27 bytes each.
    assert native(bytes(80) + TEXT, frames, shape=(14, 15, 1, 1)) == bytes(80)
    own_bytes = bytes(82)
    assert native(own_bytes, frames, shape=(14, 15, 1, 1)) == own_bytes
    frames = Node(0x00280008, b"IS", b"9 ")
    assert native(bytes(8), frames, shape=(2, 3, 1, 1)) == bytes(8)
    own_bytes = bytes(range(10))
    assert native(own_bytes, frames, shape=(2, 3, 1, 1)) == own_bytes


def test_half_of_the_colours_may_be_left_out() -> None:
    colours = Node(0x00280004, b"CS", b"YBR_FULL_422")
    shape = (3, 4, 3, 8)
    assert native(bytes(24) + TEXT, colours, shape=shape) == bytes(24)
    assert native(bytes(36), colours, shape=shape) == bytes(36)
    full = Node(0x00280004, b"CS", b"YBR_FULL")
    assert native(bytes(36) + TEXT, full, shape=shape) == bytes(36)


@pytest.mark.parametrize(
    "more",
    [
        Node(0x00280010, b"US", b""),
        Node(0x00280002, b"US", b""),
        Node(0x00280100, b"US", b"\x0c\0"),
    ],
)
def test_nothing_is_cut_where_nobody_knows_the_size(more: Node) -> None:
    assert native(bytes(60) + TEXT, more) == bytes(60) + TEXT


def overlay(vr: bytes, position: int, syntax: str) -> list[Node]:
    order = order_of(syntax)
    values = {0x00280101: 12, 0x00280102: 11, 0x60000102: position}
    return [Node(tag, vr, number.to_bytes(2, order)) for tag, number in values.items()]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("vr", [b"US", b"UN", b"OW"])
@pytest.mark.parametrize("number_vr", [b"US", b"UN"])
def test_overlays_in_the_bits_of_pixels_go(syntax: str, vr: bytes, number_vr: bytes) -> None:
    how: dict[str, Any] = {"shape": (1, 12, 1, 16), "syntax": syntax, "number_vr": number_vr}
    order = ">12H" if syntax == BIG_ENDIAN else "<12H"
    before = struct.pack(order, *(0x1234, 0xF000, 0x8FFF) * 4)
    after = struct.pack(order, *(0x0234, 0, 0x0FFF) * 4)
    assert native(before + TEXT, *overlay(vr, 12, syntax), **how) == after
    stored_and_high = overlay(vr, 12, syntax)[:2]
    assert native(before + TEXT, *stored_and_high, **how) == after, "with an overlay or without"


def test_overlays_and_what_lies_behind_go_together() -> None:
    more = overlay(b"UN", 12, EXPLICIT)
    nodes = [
        *(Node(0x00280002, b"US", b"\1\0"), Node(0x00280010, b"US", b"\1\0")),
        *(Node(0x00280011, b"US", b"\x0c\0"), Node(0x00280100, b"US", b"\x10\0")),
        *more,
    ]
    empty, own = Node(0x60003000, b"OW", b""), Node(0x60003000, b"OW", b"\1\0")
    for some in (nodes, [*nodes, empty], [*nodes, own]):
        data = Written([*some, Node(0x7FE00010, b"OW", b"\xff\xff" * 12 + TEXT)], EXPLICIT).bytes()
        element = stored_pixels(read_header(data)).element
        assert element is not None
        assert b"".join(element) == b"\xe0\x7f\x10\0OW\0\0\x18\0\0\0" + b"\xff\x0f" * 12


PACKAGED = Path(pydicom.__file__).parent / "data" / "test_files"
CUT = {"MR_small_padded.dcm"}
REFUSED = {"badVR.dcm"}  # 15 frames, and NumberOfFrames is not a number


def kept(path: Path) -> bool:
    """Tell whether nothing but metadata of a frame goes from a file's pixel data."""
    try:
        header = read_header(path.read_bytes())
    except MalformedFile:
        return True
    result = stored_pixels(header)
    if header.all_elements[-1].undefined:
        return not result.written
    return result == Stored()


def test_packaged_files_keep_their_pixels() -> None:
    paths = [path for path in PACKAGED.glob("*.dcm") if path.name not in REFUSED]
    assert {path.name for path in paths if not kept(path)} == CUT
    for name in REFUSED:
        with pytest.raises(MalformedFile, match="more frames than NumberOfFrames"):
            kept(PACKAGED / name)


def test_the_padded_file_keeps_its_picture() -> None:
    original = (PACKAGED / "MR_small_padded.dcm").read_bytes()
    header = read_header(original)
    element = stored_pixels(header).element
    assert element is not None
    start = header.all_elements[-1].start
    before = pydicom.dcmread(BytesIO(original))
    after = pydicom.dcmread(BytesIO(original[:start] + b"".join(element)))
    assert len(after.PixelData) == after.Rows * after.Columns * 2
    assert before.PixelData[: len(after.PixelData)] == after.PixelData


@pytest.mark.shared_data
def test_the_variety_of_devices_keeps_its_pixels(shared_dicom: Path) -> None:
    paths = list((shared_dicom / "variety").glob("*.dcm"))
    assert len(paths) > 100
    changed = [path for path in paths if not kept(path)]
    # Of signed pixels with 12 bits of 16 some repeat the sign and others do not.
    assert [path.name for path in changed] == ["OT-pydicom-data-1-5993ae.dcm"]
    original = changed[0].read_bytes()
    element = stored_pixels(read_header(original)).element
    assert element is not None
    after = original[: read_header(original).all_elements[-1].start] + b"".join(element)
    values = [pydicom.dcmread(BytesIO(data)).pixel_array for data in (original, after)]
    assert (values[0] == values[1]).all()
