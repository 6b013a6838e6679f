"""Walking over elements, headers, identifiers, and the way to Explicit VR."""

import struct
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from preread import elements
from preread.elements import (
    DEEPEST,
    Element,
    Encoding,
    MalformedFile,
    explicit_little_endian,
    items,
    orthanc_id,
    read_file_meta,
    read_header,
    resource_ids,
    scan,
)

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
SYNTAXES = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
LITTLE = Encoding(implicit=False, little=True)

FILES = (
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "ExplVR_BigEnd.dcm",
    "ExplVR_BigEndNoMeta.dcm",
    "ExplVR_LitEndNoMeta.dcm",
    "image_dfl.dcm",
    "rtplan.dcm",
    "rtstruct.dcm",
    "rtdose.dcm",
    "rtdose_expb.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "test-SR.dcm",
    "reportsi.dcm",
    "waveform_ecg.dcm",
    "nested_priv_SQ.dcm",
    "UN_sequence.dcm",
)


def file_of(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None
    return Path(str(path)).read_bytes()


def written(data_set: Dataset, syntax: str = EXPLICIT) -> bytes:
    """Write a file with pydicom."""
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    data_set.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    data_set.SOPInstanceUID = UID("1.9.1.2.3")
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_it_finds_what_pydicom_finds(name: str) -> None:
    data = file_of(name)
    header = read_header(data)
    expected = dcmread(BytesIO(data), force=True)
    tags = [int(tag) for tag in sorted(expected.keys()) if int(tag) <= 0x7FE00010]
    assert [element.tag for element in header.all_elements] == tags
    assert header.PatientID == str(expected.get("PatientID") or "")
    assert header.StudyInstanceUID == str(expected.get("StudyInstanceUID", ""))
    assert header.SOPClassUID == str(expected.get("SOPClassUID", ""))
    assert header.number(0x00280010) == expected.get("Rows")
    assert header.has_pixel_data == ("PixelData" in expected)
    assert header.Modality == expected.get("Modality", "")


@pytest.mark.parametrize("name", FILES)
def test_explicit_vr_has_the_same_values(name: str) -> None:
    data = file_of(name)
    converted = explicit_little_endian(data)
    before, after = dcmread(BytesIO(data), force=True), dcmread(BytesIO(converted))
    syntax = UID(read_file_meta(converted).TransferSyntaxUID)
    assert not syntax.is_implicit_VR
    assert syntax.is_little_endian
    before.remove_private_tags()
    after.remove_private_tags()
    for data_set in (before, after):  # written anew as bytes, they need not be equal
        for element in list(data_set):
            if element.tag.element == 0 or element.tag == 0x7FE00010:
                del data_set[element.tag]
    assert before == after
    assert explicit_little_endian(converted) == converted


@pytest.mark.parametrize("name", ["ExplVR_BigEnd.dcm", "MR_small_bigendian.dcm"])
def test_pixels_of_big_endian_are_turned_round(name: str) -> None:
    before = dcmread(BytesIO(file_of(name)))
    after = dcmread(BytesIO(explicit_little_endian(file_of(name))))
    np.testing.assert_array_equal(before.pixel_array, after.pixel_array)


def test_ambiguous_vrs_are_settled_by_the_data_set() -> None:
    for signed, bits in ((0, 16), (1, 16), (0, 8)):
        data_set = Dataset()
        data_set.Rows = data_set.Columns = 2
        data_set.SamplesPerPixel = 1
        data_set.BitsAllocated = data_set.BitsStored = bits
        data_set.PixelRepresentation = signed
        data_set.add_new(0x00280106, "SS" if signed else "US", 3)
        item = Dataset()
        item.add_new(0x00283002, "SS" if signed else "US", [4, 0, 16])
        item.add_new(0x00283006, "OW", b"\1\0\2\0\3\0\4\0")
        data_set.ModalityLUTSequence = [item]
        data_set.add_new(0x7FE00010, "OW", bytes(4 * bits // 8))
        data_set.add_new(0x00090010, "LO", "Maker")
        data_set.add_new(0x00091001, "LO", "private")
        back = dcmread(BytesIO(explicit_little_endian(written(data_set, IMPLICIT))))
        assert ("SS" if signed else "US") == back["SmallestImagePixelValue"].VR
        assert ("SS" if signed else "US") == back.ModalityLUTSequence[0]["LUTDescriptor"].VR
        assert back.ModalityLUTSequence[0]["LUTData"].VR == "OW"
        assert back.ModalityLUTSequence[0].LUTData == b"\1\0\2\0\3\0\4\0"
        assert ("OB" if bits == 8 else "OW") == back["PixelData"].VR
        assert back[0x00090010].value == "Maker"
        assert back.get_item(0x00091001).VR == "UN"


def test_a_value_too_long_for_its_vr_becomes_unknown() -> None:
    # PS3.5 section 6.2.2, note on Explicit VR
    value = b"x" * 70_000
    element = struct.pack("<HHI", 0x0008, 0x1030, len(value)) + value
    data = written(Dataset(), IMPLICIT)
    converted = explicit_little_endian(data + element)
    (found,) = [each for each in read_header(converted).all_elements if each.tag == 0x00081030]
    assert found.vr == b"UN"
    assert converted[found.value : found.value_end] == value


def test_text_is_read_in_its_character_set() -> None:
    for charset, name in (
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 144", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ):
        data_set = Dataset()
        data_set.SpecificCharacterSet = charset
        data_set.PatientName = name
        data_set.PatientID = name.split("=")[-1]
        header = read_header(written(data_set))
        assert header.text(0x00100010) == name
        assert header.PatientID == name.split("=")[-1]


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(["ISO_IR 192", "GBK", "x"]))
def test_bytes_that_are_no_text_never_fail_and_never_meet(
    one: bytes, other: bytes, charset: str
) -> None:
    texts = {elements.characters.decode_text(value, [charset]) for value in (one, other)}
    backslashes = b"\\" in one + other
    assert backslashes or len(texts) == len({one, other})
    elements.characters.decode_text(one, ["ISO 2022 IR 6", charset, "ISO 2022 IR 87"])


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_numbers_are_read_by_their_vr(syntax: str) -> None:
    data_set = Dataset()
    data_set.Rows = 512
    data_set.NumberOfFrames = "10"  # two bytes, as a US has
    data_set.InstanceNumber = "-7"
    data_set.SeriesNumber = None
    data_set.SliceThickness = "2.5"
    header = read_header(written(data_set, syntax))
    assert header.number(0x00280010) == 512
    assert header.number(0x00280008) == 10
    assert header.number(0x00200013) == -7
    assert header.number(0x00200011) is None
    assert header.number(0x00180050) is None
    assert header.number(0x00280011) is None
    is_implicit = header.encoding.implicit
    assert header.vr(0x00280010) == (b"" if is_implicit else b"US")
    assert header.vr(0x00280011) == b""


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_codes_of_the_anatomic_region(syntax: str) -> None:
    data_set = Dataset()
    regions = []
    for code in ("T-28000", "39607008"):
        region = Dataset()
        region.CodeValue, region.CodeMeaning = code, "Lung"
        regions.append(region)
    data_set.AnatomicRegionSequence = regions
    assert read_header(written(data_set, syntax)).anatomic_region_codes == ("T-28000", "39607008")
    assert read_header(written(Dataset(), syntax)).anatomic_region_codes == ()


def test_what_orthanc_calls_an_object() -> None:
    # As Orthanc 1.10.1 calls the sample of its own documentation.
    assert orthanc_id("ozp00SjY2xG") == "6816cb19-844d5aee-85245eba-28e841e6-2414fae2"
    ids = resource_ids("p ", "1.2", "1.2.3", "1.2.3.4\0")
    assert ids.patient == orthanc_id("p")
    assert ids.study == orthanc_id("p", "1.2")
    assert ids.series == orthanc_id("p", "1.2", "1.2.3")
    assert ids.instance == orthanc_id("p", "1.2", "1.2.3", "1.2.3.4")
    assert len(set(ids)) == 4
    assert all(map(elements.is_orthanc_id, ids))
    assert not elements.is_orthanc_id("1.2.3")


def test_scan_stops_before_or_behind_a_tag_and_at_delimiters() -> None:
    header = read_header(file_of("CT_small.dcm"))
    start, data = header.meta.dataset_start, header.data
    tags = [each.tag for each in scan(data, start, len(data), LITTLE, stop_behind=0x00100010)]
    assert tags[-1] == 0x00100010
    tags = [each.tag for each in scan(data, start, len(data), LITTLE, stop_before=0x00100000)]
    assert tags
    assert max(tags) < 0x00100000
    inside = bytes.fromhex("08006000 4353 0200") + b"CT"
    delimiter = bytes.fromhex("feff0de0 00000000")
    found = list(scan(inside + delimiter, 0, len(inside) + 8, LITTLE, stop_before=0xFFFEE00D))
    assert found == [Element(0x00080060, b"CS", 0, 8, 10, 10)]
    with pytest.raises(MalformedFile):
        list(scan(inside + delimiter, 0, len(inside) + 8, LITTLE))


def _nested(depth: int, *, undefined: bool) -> bytes:
    value = b""
    for _ in range(depth):
        length = 0xFFFFFFFF if undefined else len(value)
        value = struct.pack("<HHI", 0xFFFE, 0xE000, length) + value
        value += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) if undefined else b""
        length = 0xFFFFFFFF if undefined else len(value)
        value = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, length) + value
        value += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""
    return value


@pytest.mark.parametrize("depth", [1, 2, DEEPEST - 1, DEEPEST + 1, 400, 20_000])
def test_depth_is_bounded(depth: int) -> None:
    data = _nested(depth, undefined=True)
    if depth <= DEEPEST:
        (element,) = scan(data, 0, len(data), LITTLE)
        assert element.end == len(data)
        assert element.undefined
    else:
        with pytest.raises(MalformedFile, match="nested deeper"):
            list(scan(data, 0, len(data), LITTLE))


@pytest.mark.parametrize("undefined", [False, True])
def test_depth_is_bounded_on_the_way_to_explicit_vr(undefined: bool) -> None:
    deep = b""
    for _ in range(300):
        for group, number, end in ((0xFFFE, 0xE000, 0xE00D), (0x0008, 0x1115, 0xE0DD)):
            length = 0xFFFFFFFF if undefined else len(deep)
            deep = struct.pack("<HHI", group, number, length) + deep
            deep += struct.pack("<HHI", 0xFFFE, end, 0) if undefined else b""
    with pytest.raises(MalformedFile, match="nested deeper"):
        explicit_little_endian(written(Dataset(), IMPLICIT) + deep)


def test_what_is_undefined_is_walked_over_once() -> None:
    data = _nested(DEEPEST - 1, undefined=True)
    ends = elements.Ends()
    (outer,) = scan(data, 0, len(data), LITTLE, ends=ends)
    known = len(ends)
    assert known == 2 * (DEEPEST - 1)
    while outer.value < outer.value_end:
        ((_, start, end),) = items(data, outer.value, outer.value_end, LITTLE, ends=ends)
        inside = list(scan(data, start, end, LITTLE, ends=ends))
        if not inside:
            break
        (outer,) = inside
    assert len(ends) == known


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (bytes.fromhex("08006000 4353 ff00") + b"CT", "claims more bytes than are left"),
        (bytes.fromhex("e07f1000 4f57 0000 00005eb2"), "claims more bytes than are left"),
        (bytes.fromhex("08006000 5a5a 0300") + b"CT", "expected a VR"),
        (bytes.fromhex("08006000 4353"), "ends within an element's header"),
        (bytes.fromhex("e07f1000 4f57 0000 00"), "ends within an element's header"),
        (bytes.fromhex("08001511 5351 0000 ffffffff"), "the sequence has no end"),
        (bytes.fromhex("08001511 5351 0000 ffffffff feff00e0 ffffffff"), "the item has no end"),
        (bytes.fromhex("08001511 5351 0000 ffffffff 0800600043530000"), "expected an item"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(damage: bytes, reason: str) -> None:
    data = written(Dataset())
    with pytest.raises(MalformedFile, match=reason) as caught:
        read_header(data + damage)
    assert caught.value.offset >= len(data)
    assert str(caught.value).startswith("malformed DICOM at byte ")


def test_a_bomb_is_not_inflated() -> None:
    data = written(Dataset(), DEFLATED)
    start = read_file_meta(data).dataset_start
    engine = zlib.compressobj(9, wbits=-15)
    zeros = bytes(2**20)
    bomb = b"".join(engine.compress(zeros) for _ in range(4)) + engine.flush()
    with pytest.raises(MalformedFile, match="inflates to more than 2097152 bytes"):
        elements.inflated(data[:start] + bomb, start, 2**21)
    assert len(elements.inflated(data[:start] + bomb, start, 2**22)) == 2**22
    with pytest.raises(MalformedFile, match="cut off"):
        read_header(data[: start + 20])
    with pytest.raises(MalformedFile, match="cannot be inflated"):
        read_header(data[:start] + b"\xff" * 40)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(SYNTAXES), st.booleans())
def test_any_bytes_are_read_or_malformed(tail: bytes, syntax: str, bare: bool) -> None:
    data = written(Dataset(), syntax)
    if syntax == DEFLATED:
        engine = zlib.compressobj(wbits=-15)
        start = read_file_meta(data).dataset_start
        data = data[:start] + engine.compress(b"\x08\0\x60\0CS\2\0CT" + tail) + engine.flush()
    else:
        data = tail if bare else data + tail
    readers: tuple[Callable[[bytes], Any], ...] = (read_header, explicit_little_endian)
    for read in readers:
        try:
            result = read(data)
        except MalformedFile:
            continue
        if isinstance(result, elements.Header):
            result.anatomic_region_codes  # noqa: B018 - must not raise
            for element in result.all_elements:
                result.text(element.tag)
                result.number(element.tag)


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", ["malformed", "variety"])
def test_public_files_are_read_or_malformed(folder: str) -> None:
    root = Path(__file__).parents[4] / "shared" / "data" / "dicom" / folder
    if not root.is_dir():
        pytest.skip("the shared data sets are not beside the project")
    for file in sorted(root.rglob("*.dcm")):
        data = file.read_bytes()
        try:
            read_header(data)
            converted = explicit_little_endian(data)
        except MalformedFile:
            continue
        assert not read_header(converted).encoding.implicit


@pytest.mark.parametrize(
    "unknown",
    [
        bytes.fromhex("08006000 5a5a 0400") + b"Jane",  # a fault: as a VR of the table
        bytes.fromhex("08006000 5a5a 0000 04000000") + b"Jane",  # newer than the table
        bytes.fromhex("08006000 0000 0400") + b"Jane",
    ],
)
def test_an_unknown_vr_costs_its_element_alone(unknown: bytes) -> None:
    after = bytes.fromhex("08007000 4c4f 0200") + b"Me"
    encoding = Encoding(implicit=False, little=True)
    for data in (unknown, unknown + after):
        found = list(scan(data, 0, len(data), encoding))
        assert found[0].end == len(unknown)
        assert data[found[0].value : found[0].value_end] == b"Jane"
        assert [element.tag for element in found[1:]] == ([0x00080070] if data != unknown else [])
