"""What may stay, and under which condition: dates, titles, codes, private elements, overlays."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from preread.deidentify import (
    DeidentificationError,
    Deidentifier,
    DeidentifyOptions,
    Option,
    Secret,
)
from preread.deidentify.pixels.policy import Look
from preread.deidentify.pixels.seal import PixelSeal
from preread.elements import read_header
from tests.unit.deidentify.conftest import BIG_ENDIAN, EXPLICIT, IMPLICIT

KEY = Secret(bytes(range(32)))
MODIFIED = Option.RETAIN_LONGITUDINAL_MODIFIED_DATES


def engine(*options: Option, **more: Any) -> Deidentifier:
    return Deidentifier(KEY, DeidentifyOptions(options=frozenset(options), **more))


def moment(dataset: Dataset, date: str, time: str) -> datetime:
    return at(dataset[date].value + dataset[time].value)


def at(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M%S.%f").replace(tzinfo=UTC)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_intervals_stay_over_midnight_and_between_levels(
    syntax: str, node: Any, image: Callable[..., bytes]
) -> None:
    item = [
        node(0x0040A121, b"DA", b"20240301"),
        node(0x0040A122, b"TM", b"000000.250000"),
    ]
    one = image(
        node(0x00080020, b"DA", b"20240229"),
        node(0x00080030, b"TM", b"235959.750000"),
        node(0x00080021, b"DA", b"20240301"),
        node(0x00080031, b"TM", b"000001.000000"),
        node(0x0008002A, b"DT", b"20240229235959.750000"),
        node(0x00081115, b"SQ", items=[item]),
        syntax=syntax,
    )
    done = dcmread(BytesIO(engine(MODIFIED).deidentify(one).data))
    study = moment(done, "StudyDate", "StudyTime")
    assert study < datetime(2024, 1, 31, tzinfo=UTC)
    assert moment(done, "SeriesDate", "SeriesTime") - study == timedelta(seconds=1.25)
    assert at(done.AcquisitionDateTime) == study
    inner = done.ReferencedSeriesSequence[0]
    assert moment(inner, "Date", "Time") - study == timedelta(seconds=0.5)
    assert done.LongitudinalTemporalInformationModified == "MODIFIED"


def test_a_patient_moves_as_one_and_two_do_not(node: Any, image: Callable[..., bytes]) -> None:
    def study(patient: bytes, date: bytes, uid: bytes) -> datetime:
        file = image(
            node(0x00100020, b"LO", patient),
            node(0x0020000D, b"UI", uid),
            node(0x00080020, b"DA", date),
            node(0x00080030, b"TM", b"120000.0"),
        )
        return moment(
            dcmread(BytesIO(engine(MODIFIED).deidentify(file).data)), "StudyDate", "StudyTime"
        )

    first, second = study(b"A", b"20240101", b"1.9.1"), study(b"A", b"20240301", b"1.9.2")
    assert second - first == timedelta(days=60)
    assert study(b"B", b"20240101", b"1.9.3") != first


@pytest.mark.parametrize("option", [MODIFIED, Option.RETAIN_LONGITUDINAL_FULL_DATES])
def test_what_is_no_date_does_not_stay_as_one(
    option: Option, node: Any, image: Callable[..., bytes]
) -> None:
    done = engine(option).deidentify(
        image(
            node(0x00080020, b"DA", b"Kanarie "),
            node(0x00080030, b"TM", b"Kanarievogel"),
            node(0x0008002A, b"DT", b"Kanarievogel"),
            node(0x00080201, b"SH", b"Kanarie "),
            node(0x00080022, b"LO", b"Kanarie "),
            node(0x00400002, b"DA", b"20240101\\Kanarie "),
        )
    )
    assert b"Kanarie" not in done.data
    assert dcmread(BytesIO(done.data)).StudyDate == ""


def test_a_title_gets_a_name_of_its_own(node: Any, image: Callable[..., bytes]) -> None:
    def titles(value: bytes) -> Any:
        file = image(node(0x00080054, b"AE", value))
        done = engine(Option.RETAIN_DEVICE_IDENTITY).deidentify(file)
        assert engine(Option.RETAIN_DEVICE_IDENTITY).deidentify(done.data).data == done.data
        return dcmread(BytesIO(done.data)).RetrieveAETitle

    assert titles(b"ST_MARY_CT1") == titles(b"ST_MARY_CT1 ") != titles(b"ST_MARY_CT2")
    first, second = titles(b"ST_MARY_CT1\\ST_MARY_CT2")
    assert (first, second) == (titles(b"ST_MARY_CT1"), titles(b"ST_MARY_CT2"))
    assert "MARY" not in first
    assert len(first) == 16


SAFE = {"ACME 1.0": ("0029,xx10 LO", "0029,xx11 UI", "0029,xx12 SQ", "0029,xx13 LO")}


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_safe_private_elements_stay_with_their_creator(
    syntax: str, node: Any, image: Callable[..., bytes]
) -> None:
    inside = [
        node(0x00081155, b"UI", b"1.9.76543.9"),
        node(0x00100010, b"PN", b"Kanarie^A"),
        node(0x00290010, b"LO", b"ACME 1.0"),
        node(0x00291010, b"LO", b"inner safe"),
        node(0x00291014, b"LO", b"Kanarienvogel"),
    ]
    file = image(
        node(0x00190010, b"LO", b"SIEMENS MR HEADER"),
        node(0x0019100C, b"IS", b"800 "),
        node(0x00191019, b"LO", b"Kanarienvogel"),
        node(0x00290010, b"LO", b"KANARIE 2.0"),
        node(0x00290011, b"LO", b"ACME 1.0"),
        node(0x00290012, b"LO", b"ACME 1.0"),
        node(0x00291010, b"LO", b"Kanarienvogel"),  # of the other creator
        node(0x00291110, b"LO", b"safe"),
        node(0x00291111, b"UI", b"1.9.76543.9"),
        node(0x00291112, b"SQ", items=[inside], undefined=True),
        node(0x00291114, b"LO", b"Kanarienvogel"),
        node(0x00291210, b"PN", b"Kanarie^B"),  # claims to be a name
        syntax=syntax,
    )
    made = engine(Option.RETAIN_SAFE_PRIVATE, safe_private=SAFE)
    done = made.deidentify(file)
    lost = b"Kanarie^B" if syntax != IMPLICIT else b"no names without a VR"
    assert lost not in done.data
    assert b"Kanarienvogel" not in done.data
    assert b"KANARIE" not in done.data
    back = dcmread(BytesIO(done.data))
    raw = done.data
    assert raw.count(b"SIEMENS MR HEADER") == 1
    assert b"inner safe" in raw
    assert made.pseudonyms.uid("1.9.76543.9").encode() in raw
    assert b"Kanarie^A" not in raw
    assert (0x0019, 0x100C) in back
    assert (0x0029, 0x1110) in back
    assert (0x0029, 0x1010) not in back
    assert made.deidentify(raw).data == raw
    assert not any(element.tag.is_private for element in dcmread(BytesIO(_basic(file))))


def _basic(file: bytes) -> bytes:
    return engine().deidentify(file).data


def test_uids_that_are_retained_are_uids(node: Any, image: Callable[..., bytes]) -> None:
    made = engine(Option.RETAIN_UIDS)
    file = image(
        node(0x00080018, b"UI", b"1.9.76543.1.2.3"),
        node(0x00200052, b"UI", b"1.9.Kanarienvogel"),
        node(0x00080058, b"UI", b"1.9.76543.1\\Kanarie"),
    )
    done = made.deidentify(file)
    assert b"Kanarie" not in done.data
    assert (done.SOPInstanceUID, done.StudyInstanceUID) == ("1.9.76543.1.2.3", "1.9.76543.1")
    back = dcmread(BytesIO(done.data))
    assert back.file_meta.MediaStorageSOPInstanceUID == "1.9.76543.1.2.3"
    assert back.FailedSOPInstanceUIDList[0] == "1.9.76543.1"
    assert done.PatientID.startswith("PR")


@pytest.mark.parametrize(
    ("scheme", "meaning", "stays"),
    [
        (b"DCM", b"Finding ", True),
        (b"SCT", b"Lung", True),
        (b"99HOSP", b"Kanarienvogel", False),
        (b"L", b"Kanarienvogel", False),
        (b"ORBIS ", b"Kanarienvogel", False),
        (b"dcm ", b"Kanarienvogel", False),
        (b"", b"Kanarienvogel", False),
    ],
)
@pytest.mark.parametrize("options", [(), (Option.CLEAN_STRUCTURED_CONTENT,)])
def test_the_meaning_of_a_site_s_own_code_goes_from_a_report(
    options: tuple[Option, ...],
    scheme: bytes,
    meaning: bytes,
    stays: bool,
    node: Any,
    image: Callable[..., bytes],
) -> None:
    code = [
        node(0x00080100, b"SH", b"1234"),
        node(0x00080102, b"SH", scheme),
        node(0x00080104, b"LO", meaning),
    ]
    item = [node(0x0040A040, b"CS", b"CODE"), node(0x0040A168, b"SQ", items=[code])]
    done = engine(*options).deidentify(image(node(0x0040A730, b"SQ", items=[item])))
    found = dcmread(BytesIO(done.data)).ContentSequence[0].ConceptCodeSequence[0]
    assert (found.CodeMeaning == meaning.decode().strip()) == stays
    # Cleaned, a tree keeps its codes; of a tree that only has dummies those of a site go.
    assert (found.CodeValue == "1234") == (stays or bool(options))
    assert found.CodeMeaning


def test_structured_content_stays_without_names(node: Any, image: Callable[..., bytes]) -> None:
    def text(value: bytes) -> Any:
        return [node(0x0040A040, b"CS", b"TEXT"), node(0x0040A160, b"UT", value)]

    name = [node(0x0040A040, b"CS", b"PNAME "), node(0x0040A123, b"PN", b"Kanarie^Jane")]
    date = [node(0x0040A040, b"CS", b"DATE"), node(0x0040A121, b"DA", b"20240229")]
    tree = [*map(text, (b"nodule right lung", b"nodule seen by Dr. Kanarie")), name, date]
    container = [node(0x0040A040, b"CS", b"CONTAINER "), node(0x0040A730, b"SQ", items=tree)]
    made = engine(Option.CLEAN_STRUCTURED_CONTENT)
    done = made.deidentify(image(node(0x0040A730, b"SQ", items=[container])))
    assert b"Kanarie" not in done.data
    first, second, third, fourth = dcmread(BytesIO(done.data)).ContentSequence[0].ContentSequence
    assert first.TextValue == "nodule right lung"
    assert second.TextValue == "nodule seen"
    assert third.PersonName
    assert fourth.Date == "19000101"


def test_graphics_stay_without_texts(node: Any, image: Callable[..., bytes]) -> None:
    text = [node(0x00700006, b"ST", b"nodule, Kanarie 4711")]
    line = [node(0x00700022, b"FL", struct.pack("<4f", 1, 2, 3, 4))]
    annotation = [
        node(0x00700008, b"SQ", items=[text]),
        node(0x00700009, b"SQ", items=[line]),
    ]
    file = image(
        node(0x00700001, b"SQ", items=[annotation]),
        node(0x50000010, b"US", b"\4\0"),
        node(0x50002500, b"LO", b"Kanarienvogel"),
        node(0x50003000, b"OW", b"\1\2\3\4"),
    )
    done = engine(Option.CLEAN_GRAPHICS).deidentify(file)
    assert b"Kanarie" not in done.data
    back = dcmread(BytesIO(done.data))
    found = back.GraphicAnnotationSequence[0]
    assert found.TextObjectSequence[0].UnformattedTextValue == "nodule"
    assert found.GraphicObjectSequence[0].GraphicData == [1, 2, 3, 4]
    assert back[0x50003000].value == b"\1\2\3\4"
    assert (0x5000, 0x3000) not in dcmread(BytesIO(_basic(file)))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_an_overlay_in_the_pixels_own_cells_goes(
    syntax: str, node: Any, image: Callable[..., bytes]
) -> None:
    order = ">" if syntax == BIG_ENDIAN else "<"

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    cells = [0xF123, 0x8FFF, 0x4000, 0x0ABC] * 100
    file = image(
        node(0x00280100, b"US", short(16)),
        node(0x00280101, b"US", short(12)),
        node(0x00280102, b"US", short(11)),
        node(0x60000100, b"US", short(16)),
        node(0x60000102, b"US", short(15)),
        syntax=syntax,
        pixels=struct.pack(f"{order}{len(cells)}H", *cells),
    )
    done = engine().deidentify(file).data
    expected = struct.pack(f"{order}{len(cells)}H", *(cell & 0x0FFF for cell in cells))
    assert done.endswith(expected)
    without = image(
        node(0x00280100, b"US", short(16)),
        node(0x00280101, b"US", short(12)),
        node(0x00280102, b"US", short(11)),
        syntax=syntax,
        pixels=struct.pack(f"{order}{len(cells)}H", *cells),
    )
    assert engine().deidentify(without).data.endswith(expected), "whatever lies there"


def test_options_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(DeidentificationError, match="exclude each other"):
        DeidentifyOptions(options=frozenset((MODIFIED, Option.RETAIN_LONGITUDINAL_FULL_DATES)))


def test_a_sequence_that_cannot_be_read_costs_itself(
    node: Any, image: Callable[..., bytes]
) -> None:
    broken = node(0x00081140, b"SQ", b"\xfe\xff\x00\xe0\x08\0\0\0\x08\0\x55\x11UI\xff\xff")
    done = engine().deidentify(image(broken, node(0x00080070, b"LO", b"Maker")))
    back = dcmread(BytesIO(done.data))
    assert "ReferencedImageSequence" not in back
    assert back.Manufacturer == "Maker"
    assert done.lost == ((0x00081140, "it claims more bytes than are left"),)


def test_a_stranger_s_unknown_vr_costs_its_element(node: Any, image: Callable[..., bytes]) -> None:
    done = engine().deidentify(
        image(node(0x00080070, b"ZZ", b"Kanarie"), node(0x00080008, b"CS", b"A"))
    )
    assert b"Kanarie" not in done.data
    assert done.lost == ((0x00080070, "its VR is not one of the standard"),)
    assert dcmread(BytesIO(done.data)).ImageType == "A"


def test_a_name_does_not_stay_in_a_vr_that_is_not_the_attribute_s(
    node: Any, image: Callable[..., bytes]
) -> None:
    done = engine().deidentify(
        image(
            node(0x00180050, b"LO", b"Kanarie"),  # Slice Thickness
            node(0x00200062, b"DA", b"19610203"),  # Image Laterality
            node(0x00181150, b"OB", b"Kanarie"),  # Exposure Time
            node(0x00081090, b"SH", b"Model"),  # as good as its own LO
            node(0x00280106, b"SS", b"\1\0"),  # US or SS
        )
    )
    assert b"Kanarie" not in done.data
    assert b"19610203" not in done.data
    assert [tag for tag, _ in done.lost] == [0x00180050, 0x00181150, 0x00200062]
    back = dcmread(BytesIO(done.data))
    assert back.ManufacturerModelName == "Model"
    assert back.SmallestImagePixelValue == 1


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_what_the_table_forgot_goes_too(
    syntax: str, node: Any, image: Callable[..., bytes]
) -> None:
    file = image(
        node(0x00100033, b"LO", b"Kanarie 1"),
        node(0x00100034, b"LO", b"Kanarie 2"),
        node(0x00400400, b"LT", b"lung, Kanarie 3"),
        node(0x00401006, b"SH", b"Kanarie 4"),
        node(0x0074100C, b"LO", b"Kanarie 5"),
        syntax=syntax,
    )
    assert b"Kanarie" not in _basic(file)
    cleaned = engine(Option.CLEAN_DESCRIPTORS).deidentify(file).data
    assert b"Kanarie" not in cleaned
    assert dcmread(BytesIO(cleaned))[0x00400400].value == "lung"


@pytest.mark.parametrize("options", [(), (Option.CLEAN_STRUCTURED_CONTENT,)])
def test_a_text_of_which_nothing_is_left_keeps_its_place(
    options: tuple[Option, ...], node: Any, image: Callable[..., bytes]
) -> None:
    item = [node(0x0040A040, b"CS", b"TEXT"), node(0x0040A160, b"UT", b"Kanarienvogel ")]
    done = engine(*options).deidentify(image(node(0x0040A730, b"SQ", items=[item])))
    assert dcmread(BytesIO(done.data)).ContentSequence[0].TextValue == "**.**"


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_a_name_does_not_stay_where_a_number_should_be(
    syntax: str, node: Any, image: Callable[..., bytes]
) -> None:
    file = image(
        node(0x00180050, b"DS", b"Kanarie "),
        node(0x00200013, b"IS", b"7Kanarie"),
        node(0x00280030, b"DS", b"-1.5E-05\\+2 "),
        node(0x00200011, b"IS", b"12\0"),
        node(0x00181150, b"IS", b""),
        syntax=syntax,
    )
    done = engine().deidentify(file)
    assert b"Kanarie" not in done.data
    assert [tag for tag, _ in done.lost] == [0x00180050, 0x00200013]
    back = dcmread(BytesIO(done.data))
    assert back.PixelSpacing == [-1.5e-05, 2]
    assert back.SeriesNumber == 12
    assert "ExposureTime" in back


@pytest.mark.parametrize(
    ("charset", "raw", "cleaned"),
    [
        (b"", b"Smith liver\xb7lung cyst", None),
        (b"", b"Kanarie slice 5\xb0", None),
        (b"GB18030\0", "肺 lung Kanarie".encode("gb18030"), b"lung"),
        (b"ISO_IR 192", b"CT Head\xe9 chest", None),
        (b"ISO_IR 100", b"Kanarie T\xeate lung", None),
    ],
)
def test_cleaning_a_text_twice_changes_nothing_in_any_character_set(
    charset: bytes, raw: bytes, cleaned: bytes | None, node: Any, image: Callable[..., bytes]
) -> None:
    made = engine(Option.CLEAN_DESCRIPTORS)
    declared = [node(0x00080005, b"CS", charset)] if charset else []
    done = made.deidentify(image(*declared, node(0x00081030, b"LO", raw)))
    assert b"Kanarie" not in done.data
    assert made.deidentify(done.data).data == done.data
    value = read_header(done.data).raw(0x00081030).rstrip()
    assert value
    assert value.count(b"\\") == 0
    assert cleaned is None or value == cleaned


def test_dates_of_safe_private_elements_move_too(node: Any, image: Callable[..., bytes]) -> None:
    safe = {"ACME": ("0009,xx01 DA", "0009,xx02 LO")}
    file = image(
        node(0x00080020, b"DA", b"20200131"),
        node(0x00090010, b"LO", b"ACME"),
        node(0x00091001, b"DA", b"20200131"),
        node(0x00091002, b"DA", b"20200131"),
    )
    moved = dcmread(
        BytesIO(
            engine(MODIFIED, Option.RETAIN_SAFE_PRIVATE, safe_private=safe).deidentify(file).data
        )
    )
    assert moved[0x00091001].value == moved[0x00091002].value == moved.StudyDate != "20200131"
    bare = engine(Option.RETAIN_SAFE_PRIVATE, safe_private=safe).deidentify(file).data
    assert b"20200131" not in bare


def test_a_uid_that_stays_has_the_vr_of_one(node: Any, image: Callable[..., bytes]) -> None:
    made = engine(Option.RETAIN_UIDS)
    for vr in (b"UX", b"PN", b"LO"):
        done = made.deidentify(image(node(0x00200052, vr, b"1.9.76543.52")))
        assert dcmread(BytesIO(done.data))[0x00200052].VR == "UI"
        assert made.deidentify(done.data).data == done.data


@pytest.mark.timeout(60)
def test_a_level_of_very_many_elements_is_looked_through_once(
    node: Any, image: Callable[..., bytes]
) -> None:
    """Each element looking at all the others would take hours."""
    creators = [node(0x00290010 + each, b"LO", b"ACME 1.0") for each in range(0xF0)]
    many = [node(0x00291000 + each, b"LO", b"x") for each in range(0xE000)]
    item = [node(0x00080020, b"DA", b"20200131"), *creators, *many]
    options = (MODIFIED, Option.RETAIN_SAFE_PRIVATE, Option.CLEAN_DESCRIPTORS)
    file = image(node(0x00081140, b"SQ", items=[item, item]))
    done = engine(*options, safe_private=SAFE).deidentify(file)
    assert done.data.count(b"ACME 1.0") > 2


def test_many_losses_are_told_once(node: Any, image: Callable[..., bytes]) -> None:
    item = [node(0x00180050, b"LO", b"Kanarie")]
    done = engine().deidentify(image(node(0x00081140, b"SQ", items=[item] * 5000)))
    assert done.lost == ((0x00180050, "its VR is not that of the attribute"),)


def test_what_is_wrong_is_said_without_a_byte_of_what_was_read(
    node: Any, image: Callable[..., bytes]
) -> None:
    """A wrong length makes tags and lengths of what follows: bytes of a name."""
    file = image(node(0x00100010, b"PN", b"Canary^Zebra"), syntax=IMPLICIT)
    at = file.index(b"Canary^Zebra") - 4
    with pytest.raises(DeidentificationError) as caught:
        engine().deidentify(file[:at] + struct.pack("<I", 2) + file[at + 4 :])
    assert str(caught.value) == (
        f"cannot be de-identified: at byte {at + 6}: it claims more bytes than are left"
    )


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009, 0x7FE00010])
def test_pixel_data_within_a_sequence_goes(
    tag: int, node: Any, image: Callable[..., bytes]
) -> None:
    inside = [node(0x00081155, b"UI", b"1.9.7"), node(tag, b"OB", b"Kanarienvogel ")]
    done = engine().deidentify(image(node(0x00081140, b"SQ", items=[inside])))
    assert b"Kanarie" not in done.data
    assert dcmread(BytesIO(done.data)).ReferencedImageSequence[0].ReferencedSOPInstanceUID


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_the_length_of_a_delimiter_holds_no_letters(
    syntax: str, node: Any, image: Callable[..., bytes]
) -> None:
    code = [node(0x00080100, b"SH", b"T-28000 ")]
    file = image(
        node(0x00082218, b"SQ", items=[code, code], undefined=True, item_undefined=True),
        syntax=syntax,
    )
    order = ">" if syntax == BIG_ENDIAN else "<"
    for number, count in ((0xE00D, 2), (0xE0DD, 1)):
        end = struct.pack(order + "HHI", 0xFFFE, number, 0)
        assert file.count(end) == count
        told = file.replace(end, end[:4] + b"Jane")
        done = engine().deidentify(told)
        assert b"Jane" not in done.data
        assert done.data == engine().deidentify(file).data


@pytest.mark.parametrize("option", [Option.CLEAN_PIXEL_DATA, Option.CLEAN_DESCRIPTORS])
def test_a_seal_stays_though_the_header_asks_for_no_look_any_more(
    option: Option, node: Any, image: Callable[..., bytes]
) -> None:
    """Cleaned, an image says that nothing is burned in: the look that was had must not be lost."""
    seal = PixelSeal(KEY.derive("pixels")).text([b"\1\2\3\4"], Look.TEXT)
    forged = seal[:-1] + ("0" if seal[-1] != "0" else "1")
    for text, holds in ((seal, True), (forged, False)):
        file = image(
            node(0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
            node(0x00120063, b"LO", b"somebody\\" + text.encode()),
            node(0x00280002, b"US", b"\1\0"),
            node(0x00280011, b"US", b"\1\0"),
            node(0x00280100, b"US", b"\x10\0"),
            node(0x00280301, b"CS", b"NO"),
        )
        done = engine(option).deidentify(file)
        assert done.look is Look.NONE
        assert done.looked == holds
        methods = dcmread(BytesIO(done.data)).DeidentificationMethod
        assert (text in methods) == holds
        assert "somebody" not in methods
