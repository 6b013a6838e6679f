"""What de-identification leaves, what it says about itself, what it refuses."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from itertools import product
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from preread.deidentify import (
    DeidentificationError,
    Deidentifier,
    DeidentifyOptions,
    Pseudonyms,
    Secret,
)
from preread.deidentify.actions import Action
from preread.deidentify.profile import profile_of
from preread.elements import dictionary_vr, read_header, resource_ids

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
SYNTAXES = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)

# One or more for each way in which pixel data and data sets are written.
FILES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_padded.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "image_dfl.dcm",
    "rtplan.dcm",
    "rtstruct.dcm",
    "rtdose.dcm",
    "reportsi.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
    "nested_priv_SQ.dcm",
)


def _file(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"this pydicom does not package {name}")
    with open(str(path), "rb") as file:  # noqa: PTH123 - the type that pydicom gives
        return file.read()


def _kept(data_set: Dataset) -> dict[int, Any]:
    actions = profile_of().actions
    return {
        int(element.tag): element.value
        for element in data_set
        if actions.get(int(element.tag)) is Action.KEEP and element.VR != "SQ"
    }


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_reads_afterwards_and_what_stays_is_equal(
    name: str, deidentifier: Deidentifier
) -> None:
    original = _file(name)
    try:
        done = deidentifier.deidentify(original)
    except DeidentificationError as error:
        assert "StudyInstanceUID is missing" in str(error)  # noqa: PT017 - one file is so made
        assert "StudyInstanceUID" not in dcmread(BytesIO(original), force=True)
        return
    before, after = dcmread(BytesIO(original), force=True), dcmread(BytesIO(done.data))
    written = {0x00120062, 0x00120063, 0x00280303}
    if name in WITH_MORE_THAN_PIXELS:  # it goes; that pixels stay is tested where that is done
        assert len(done.data) < len(original)
        written.add(0x7FE00010)
    left = {tag: value for tag, value in _kept(before).items() if tag not in written}
    assert left == {tag: value for tag, value in _kept(after).items() if tag not in written}
    assert name in WITH_MORE_THAN_PIXELS or before.get("PixelData") == after.get("PixelData")
    assert done.header.TransferSyntaxUID == after.file_meta.TransferSyntaxUID
    assert after.file_meta.MediaStorageSOPClassUID == after.SOPClassUID
    assert done.header.SOPInstanceUID == before.SOPInstanceUID
    assert deidentifier.deidentify(done.data).data == done.data
    if "PixelData" in before and name != "JPEG2000-embedded-sequence-delimiter.dcm":
        assert (before.Rows, before.Columns) == (after.Rows, after.Columns)


WITH_MORE_THAN_PIXELS = (
    "MR_small_jp2klossless.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "MR_small_padded.dcm",
)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_it_says_what_was_done(
    syntax: str, deidentifier: Deidentifier, image: Callable[..., bytes]
) -> None:
    done = deidentifier.deidentify(image(syntax=syntax))
    back = dcmread(BytesIO(done.data))
    assert back.PatientIdentityRemoved == "YES"
    assert back.DeidentificationMethod == "Preread, Basic Profile, PS3.15 E 2024b"
    assert len(back.DeidentificationMethod) <= 64
    (code,) = back.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")
    assert code.CodeMeaning == "Basic Application Confidentiality Profile"
    assert back.LongitudinalTemporalInformationModified == "REMOVED"
    assert "BurnedInAnnotation" not in back
    assert back.PatientID == str(back.PatientName) == done.PatientID
    assert back.SOPInstanceUID == done.SOPInstanceUID
    assert back.StudyInstanceUID == done.StudyInstanceUID
    assert back.SeriesInstanceUID == done.SeriesInstanceUID
    assert UID(done.SOPInstanceUID).is_valid
    assert done.counts["U"] == 0  # the three that tell objects apart are written anew
    header = read_header(done.data)
    assert resource_ids(
        header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
    ) == resource_ids(
        done.PatientID, done.StudyInstanceUID, done.SeriesInstanceUID, done.SOPInstanceUID
    )


def test_what_another_tool_said_of_its_work_is_replaced(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    done = deidentifier.deidentify(
        image(
            node(0x00120062, b"CS", b"NO"),
            node(0x00120063, b"LO", b"by hand, for Jane Doe"),
            node(0x00120064, b"SQ", items=[[node(0x00080104, b"LO", b"Jane")]], undefined=True),
            node(0x00280301, b"CS", b"NO"),
        )
    )
    back = dcmread(BytesIO(done.data))
    assert back.PatientIdentityRemoved == "YES"
    assert b"Jane" not in done.data
    assert back.BurnedInAnnotation == "NO"  # what its maker says of the pixels is not ours


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_lengths_of_what_surrounds_a_change_are_right(
    syntax: str, undefined: bool, deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    level = [
        node(0x00080104, b"LO", b"stays"),
        node(0x00081080, b"LO", b"goes away"),
        node(0x00081155, b"UI", b"1.9.76543.44"),
    ]
    for _ in range(20):
        level = [
            node(
                0x00081115,
                b"SQ",
                items=[level, [node(0x00080104, b"LO", b"too")]],
                undefined=undefined,
                item_undefined=not undefined,
            )
        ]
    done = deidentifier.deidentify(image(*level, syntax=syntax))
    back = dcmread(BytesIO(done.data))
    for _ in range(20):
        assert back.ReferencedSeriesSequence[1].CodeMeaning == "too"
        back = back.ReferencedSeriesSequence[0]
    assert back.CodeMeaning == "stays"
    assert back.ReferencedSOPInstanceUID == deidentifier.pseudonyms.uid("1.9.76543.44")
    assert "AdmittingDiagnosesDescription" not in back


def test_a_sequence_without_anything_to_change_stays_to_the_byte(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    code = [node(0x00080100, b"SH", b"T-28000 "), node(0x00080104, b"LO", b"Lung")]
    regions = node(0x00082218, b"SQ", items=[code, code], undefined=True, item_undefined=True)
    original = image(regions, node(0x00080070, b"LO", b"Maker "))
    start = original.index(b"\x08\0\x18\x22SQ")
    end = original.index(b"\xfe\xff\xdd\xe0", start) + 8
    stretch = original[start:end]
    assert len(stretch) > 100
    assert stretch in deidentifier.deidentify(original).data


def test_well_known_uids_and_classes_stay(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    known = b"1.2.840.10008.1.4.1.1\0"  # Talairach frame of reference
    hidden = b"1.2.840.10008.4711.1961"  # nobody registered that
    reference = [
        node(0x00081150, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        node(0x00081155, b"UI", b"1.9.76543.1.2.3"),
    ]
    done = deidentifier.deidentify(
        image(
            node(0x00081140, b"SQ", items=[reference]),
            node(0x00200052, b"UI", known),
            node(0x00200200, b"UI", hidden),
            node(0x00080058, b"UI", b"1.9.76543.1.2.3\\1.9.76543.1.2.3\\1.9.76543.8"),
        )
    )
    back = dcmread(BytesIO(done.data))
    assert back.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"
    assert b"4711" not in done.data
    assert back.ReferencedImageSequence[0].ReferencedSOPInstanceUID == done.SOPInstanceUID
    assert back.ReferencedImageSequence[0].ReferencedSOPClassUID == back.SOPClassUID
    first, second, third = back.FailedSOPInstanceUIDList
    assert first == second == done.SOPInstanceUID != third


def test_two_objects_keep_their_references_in_either_order(
    secret: Secret, node: Any, image: Callable[..., bytes]
) -> None:
    def report() -> bytes:
        reference = [node(0x00081155, b"UI", b"1.9.76543.1.2.3")]
        return image(
            node(0x00080018, b"UI", b"1.9.76543.1.9.1"),
            node(0x0020000E, b"UI", b"1.9.76543.1.9"),
            node(0x00081199, b"SQ", items=[reference]),
        )

    one, other = Deidentifier(secret), Deidentifier(secret)
    image_first = one.deidentify(image()), one.deidentify(report())
    report_first = other.deidentify(report()), other.deidentify(image())
    assert [each.data for each in image_first] == [each.data for each in reversed(report_first)]
    back = dcmread(BytesIO(image_first[1].data))
    assert back.StudyInstanceUID == image_first[0].StudyInstanceUID
    assert back.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image_first[0].SOPInstanceUID


def test_what_a_viewer_saves_lands_in_the_study_it_refers_to(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    done = deidentifier.deidentify(image())
    saved = deidentifier.deidentify(
        image(
            node(0x00080018, b"UI", b"1.9.555.1"),
            node(0x0020000E, b"UI", b"1.9.555"),
            node(0x0020000D, b"UI", done.StudyInstanceUID.encode()),
            node(0x00100020, b"LO", done.PatientID.encode()),
            node(0x00100010, b"PN", b"somebody typed this"),
        )
    )
    assert (saved.PatientID, saved.StudyInstanceUID) == (done.PatientID, done.StudyInstanceUID)
    without = image(
        node(0x0020000D, b"UI", done.StudyInstanceUID.encode()),
        node(0x00100020, b"LO", b""),
        node(0x00100010, b"PN", done.PatientID.encode()),
    )
    assert deidentifier.deidentify(without).PatientID == done.PatientID


def test_patients_without_identifier_never_meet(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    def patient(identifier: bytes, name: bytes, born: bytes, study: bytes, issuer: bytes) -> str:
        return deidentifier.deidentify(
            image(
                node(0x00100020, b"LO", identifier),
                node(0x00100010, b"PN", name),
                node(0x00100030, b"DA", born),
                node(0x0020000D, b"UI", study),
                node(0x00100021, b"LO", issuer),
            )
        ).PatientID

    names = (b"", b"Doe^Jane", b"Doe^John", b"Anonymous")
    births = (b"", b"19610203", b"19700101")
    found: dict[object, set[str]] = {}
    for name, born, study in product(names, births, (b"1.9.1", b"1.9.2")):
        who = (name.strip(), born) if name.strip() and born else study
        found.setdefault(who, set()).add(patient(b"", name, born, study, b""))
    assert all(len(pseudonyms) == 1 for pseudonyms in found.values())
    assert len(set.union(*found.values())) == len(found)
    assert patient(b"1", b"", b"", b"1.9.1", b"A") != patient(b"1", b"", b"", b"1.9.1", b"B")
    assert patient(b"1", b"", b"", b"1.9.1", b"A") == patient(b"1 ", b"X", b"", b"1.9.2", b"A ")


def test_a_text_is_compared_in_its_character_set(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    def patient(charset: bytes, name: bytes) -> str:
        return deidentifier.deidentify(
            image(
                node(0x00080005, b"CS", charset),
                node(0x00100020, b"LO", b""),
                node(0x00100010, b"PN", name),
            )
        ).PatientID

    assert patient(b"ISO_IR 100", "Müller^Jörg".encode("latin-1")) == patient(
        b"ISO_IR 192", "Müller^Jörg".encode()
    )
    assert patient(b"ISO_IR 192", b"M\xffller^A") != patient(b"ISO_IR 192", b"M\xfeller^A")


def test_another_key_gives_another_name_and_does_not_know_ours(
    deidentifier: Deidentifier, image: Callable[..., bytes]
) -> None:
    one = deidentifier.deidentify(image())
    stranger = Deidentifier(Secret(b"\7" * 32))
    other = stranger.deidentify(image())
    assert one.PatientID != other.PatientID
    assert one.SOPInstanceUID != other.SOPInstanceUID
    again = stranger.deidentify(one.data)
    assert again.PatientID not in {one.PatientID, other.PatientID}


def test_another_process_gives_the_same_bytes(image: Callable[..., bytes]) -> None:
    program = (
        "import sys; from preread.deidentify import *;"
        "sys.stdout.buffer.write(Deidentifier(Secret(bytes(range(32))))"
        ".deidentify(sys.stdin.buffer.read()).data)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=image(), capture_output=True, check=True
    )
    expected = Deidentifier(Secret(bytes(range(32)))).deidentify(image()).data
    assert done.stdout == expected


@pytest.mark.parametrize(
    ("tag", "keyword"),
    [
        (0x00080016, "SOPClassUID"),
        (0x00080018, "SOPInstanceUID"),
        (0x0020000D, "StudyInstanceUID"),
        (0x0020000E, "SeriesInstanceUID"),
    ],
)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_object_without_identity_is_refused(
    tag: int,
    keyword: str,
    syntax: str,
    deidentifier: Deidentifier,
    node: Any,
    image: Callable[..., bytes],
) -> None:
    with pytest.raises(DeidentificationError, match=f"{keyword} is missing") as caught:
        deidentifier.deidentify(image(node(tag, b"UI", b""), syntax=syntax))
    assert caught.value.tag == tag


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not DICOM at all",
        b"\0" * 128 + b"DICM",
        b"\0" * 4096,
        b"\xff" * 4096,
        b"Preread refused this object; see /preread/failures and Orthanc's log.",
    ],
)
def test_what_is_no_dicom_file_is_refused(damage: bytes, deidentifier: Deidentifier) -> None:
    with pytest.raises(DeidentificationError):
        deidentifier.deidentify(damage)


def test_a_class_that_repeats_the_instance_is_refused(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    with pytest.raises(DeidentificationError, match="repeats"):
        deidentifier.deidentify(image(node(0x00080016, b"UI", b"1.9.76543.1.2.3")))


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_nested_too_deep_is_refused(
    undefined: bool, syntax: str, deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    level = [node(0x00080104, b"LO", b"bottom")]
    for _ in range(100):
        level = [node(0x00081115, b"SQ", items=[level], undefined=undefined)]
    with pytest.raises(DeidentificationError, match="nested deeper"):
        deidentifier.deidentify(image(*level, syntax=syntax))


def test_a_file_without_preamble_or_meta_gets_both(
    deidentifier: Deidentifier, image: Callable[..., bytes]
) -> None:
    for syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN):
        original = image(syntax=syntax)
        start = read_header(original).meta.dataset_start
        done = deidentifier.deidentify(original)
        assert deidentifier.deidentify(original[start:]).data == done.data
        assert deidentifier.deidentify(original[132:]).data == done.data


def test_the_last_of_what_is_there_twice_goes(
    deidentifier: Deidentifier, node: Any, write: Callable[..., bytes], image: Callable[..., bytes]
) -> None:
    start = read_header(image()).meta.dataset_start
    second = write([node(0x00100020, b"LO", b"OTHER-ID"), node(0x00080070, b"LO", b"Second")])
    body = image()[start:]
    cut = body.index(b"\xe0\x7f\x10\x00")
    doubled = image()[:start] + body[:cut] + second[start:] + second[start:] + body[cut:]
    done = deidentifier.deidentify(doubled)
    assert done.PatientID == deidentifier.deidentify(image()).PatientID
    assert done.data.count(b"Second") == 1


def test_pixel_data_with_fragments_is_passed_on(
    deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    # A fragment may hold the bytes of a delimiter, or of an element.
    fragment = b"\xfe\xff\xdd\xe0\0\0\0\0\x10\0\x10\0PN\x04\0Jane"
    pixels = node(
        0x7FE00010, b"OB", items=[[], [node(0x00080104, b"LO", fragment)]], undefined=True
    )
    original = image(pixels, syntax="1.2.840.10008.1.2.5")
    end = original[original.index(b"\xe0\x7f\x10\0OB") :]
    assert deidentifier.deidentify(original).data.endswith(end)


def test_the_dummy_text_is_a_setting(
    secret: Secret, node: Any, image: Callable[..., bytes]
) -> None:
    engine = Deidentifier(secret, DeidentifyOptions(dummy_text="removed"))
    done = engine.deidentify(
        image(node(0x00189424, b"LT", b"by Jane"), node(0x00120010, b"LO", b"7"))
    )
    back = dcmread(BytesIO(done.data))
    assert back.ClinicalTrialSponsorName == "removed"
    for text in ("", "a\\b", "x" * 17, "ü", "a\n"):
        with pytest.raises(DeidentificationError):
            DeidentifyOptions(dummy_text=text)


def test_every_action_of_the_table_is_decided(pseudonyms: Pseudonyms) -> None:
    profile = profile_of()
    assert profile.edition.startswith("2024b")
    for each in (profile.actions, profile.content, profile.dummies):
        for tag, action in each.items():
            assert dictionary_vr(tag), f"{tag:08X}"
            assert action not in {Action.REMOVE, Action.SET}
            if action in {Action.ITEMS, Action.DUMMY_ITEMS, Action.DUMMY_CONTENT}:
                assert dictionary_vr(tag) == b"SQ"
            if action is Action.UID:
                assert dictionary_vr(tag) == b"UI"
            if action is Action.KEEP:
                assert dictionary_vr(tag) not in {b"SQ", b"PN", b"DA", b"TM", b"DT"}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_list_of_uids_may_grow_beyond_its_vr(
    syntax: str, deidentifier: Deidentifier, node: Any, image: Callable[..., bytes]
) -> None:
    uids = [f"1.9.{number}" for number in range(6000)]
    done = deidentifier.deidentify(
        image(node(0x00080058, b"UI", "\\".join(uids).encode()), syntax=syntax)
    )
    back = dcmread(BytesIO(done.data))
    value = back[0x00080058].value
    values = value.decode().split("\\") if isinstance(value, bytes) else list(value)
    assert [each.strip("\0") for each in values] == list(map(deidentifier.pseudonyms.uid, uids))
    assert deidentifier.deidentify(done.data).data == done.data


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_more_items_or_elements_than_any_image_has_are_refused(
    syntax: str,
    deidentifier: Deidentifier,
    node: Any,
    image: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("preread.deidentify.rewriting._MOST_ITEMS", 100)
    monkeypatch.setattr("preread.deidentify.rewriting.MOST_ELEMENTS", 200)
    monkeypatch.setattr("preread.elements.header.MOST_ELEMENTS", 300)
    empty: list[list[Any]] = [[]]
    deidentifier.deidentify(image(node(0x00081115, b"SQ", items=empty * 100), syntax=syntax))
    with pytest.raises(DeidentificationError, match="more items"):
        deidentifier.deidentify(image(node(0x00081115, b"SQ", items=empty * 101), syntax=syntax))
    many = [node(0x00090000 + number, b"LO") for number in range(300)]
    deidentifier.deidentify(image(*many[:280], syntax=syntax))
    inner = node(0x00081115, b"SQ", items=[many], undefined=True)
    with pytest.raises(DeidentificationError, match="more items or elements"):
        deidentifier.deidentify(image(inner, syntax=syntax))
    with pytest.raises(DeidentificationError, match="more than 300 elements"):
        deidentifier.deidentify(image(*many, syntax=syntax))
