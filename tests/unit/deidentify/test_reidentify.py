from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from pydicom.dataset import FileDataset

from preread.deidentify import (
    DeidentificationError,
    Deidentifier,
    DeidentifyOptions,
    Secret,
)
from preread.deidentify.encrypted_attributes import (
    attributes_item,
    content_transfer_syntax,
    modified_attributes,
)
from preread.deidentify.envelope import Holder, Recipients
from preread.deidentify.errors import EnvelopeError
from preread.deidentify.reidentify import ReidentifyError, reidentify, restore
from preread.elements import explicit_little_endian, read_file_meta, read_header
from preread.findings.prediction import Prediction
from preread.results import derived_instance, read_block, with_predictions
from tests.unit.deidentify.conftest import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    Node,
    encoded,
)
from tests.unit.deidentify.sealing import Person, elements_of, person, sealed, with_sequence

Image = Callable[..., bytes]

MORE = (
    Node(0x00080005, b"CS", b"ISO_IR 100"),
    Node(0x00080050, b"SH", b"ACC 1"),
    Node(0x00080090, b"PN", b"M\xfcller^Egon"),
    Node(0x00081110, b"SQ", items=[[Node(0x00081155, b"UI", b"1.9.76543.4")]], undefined=True),
    Node(0x00082112, b"SQ", items=[[Node(0x00081155, b"UI", b"1.9.76543.5")]]),
    Node(0x00090010, b"LO", b"STRANGER"),
    Node(0x00091001, b"LO", b"private words"),
    Node(0x00120063, b"LO", b"of another's"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="module")
def anna(folder: Path) -> Person:
    return person(folder, "anna")


@pytest.fixture(scope="module")
def recipients(anna: Person) -> Recipients:
    return Recipients.load([anna.certificate])


@pytest.fixture(scope="module")
def holder(anna: Person) -> Holder:
    return Holder.load(anna.certificate, anna.key)


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    return Prediction(
        model="InceptionV3",
        version="1.2.0",
        dataset="Some data",
        weights_sha256="ab" * 32,
        classes=("Benign", "Malignant"),
        probabilities=(0.25, 0.75),
        frames=((0.25, 0.75),),
        date=datetime(2026, 11, 21, 9, 23, tzinfo=UTC),
        engine="openvino",
    )


def read(data: bytes) -> FileDataset:
    return pydicom.dcmread(BytesIO(data))


def comparable(data: bytes) -> dict[int, bytes]:
    """Return the elements as they are to come back: in one encoding, without group lengths."""
    elements = elements_of(read_header(explicit_little_endian(data)))
    return {tag: elements[tag] for tag in sorted(elements) if tag & 0xFFFF}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG])
def test_every_byte_comes_back(
    image: Image, deidentifier: Deidentifier, recipients: Recipients, holder: Holder, syntax: str
) -> None:
    more = list(MORE)
    if syntax == BIG_ENDIAN:
        more[5:7] = []  # the block of a private element's value has no known byte order
    if syntax == JPEG:
        more.append(Node(0x7FE00010, b"OB", items=[[]], undefined=True))  # without a frame
    original = image(*more, syntax=syntax)
    deidentified = sealed(original, deidentifier, recipients)
    assert b"HOSP-4711" not in deidentified
    back = restore(deidentified, holder)
    assert comparable(back) == comparable(original)
    assert list(comparable(back)) == sorted(comparable(back))
    meta = read_file_meta(back)
    assert meta.MediaStorageSOPInstanceUID == "1.9.76543.1.2.3"
    assert meta.TransferSyntaxUID == (JPEG if syntax == JPEG else EXPLICIT)
    data_set = read(back)
    assert data_set.PatientName == "Doe^Jane"
    assert str(data_set.ReferringPhysicianName) == "Müller^Egon"
    assert data_set.DeidentificationMethod == "of another's"
    assert "PatientIdentityRemoved" not in data_set
    assert "EncryptedAttributesSequence" not in data_set


def test_attributes_that_the_original_lacked_go(
    write: Callable[..., bytes], deidentifier: Deidentifier, recipients: Recipients, holder: Holder
) -> None:
    nodes = [
        Node(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2"),
        Node(0x00080018, b"UI", b"1.9.76543.1.2.3"),
        Node(0x0020000D, b"UI", b"1.9.76543.1"),
        Node(0x0020000E, b"UI", b"1.9.76543.1.2"),
    ]
    deidentified = sealed(write(nodes), deidentifier, recipients)
    assert "PatientName" in read(deidentified)
    back = read(restore(deidentified, holder))
    assert [int(element.tag) for element in back] == [node.tag for node in nodes]


def test_what_another_site_encrypted_comes_back(
    image: Image, deidentifier: Deidentifier, recipients: Recipients, holder: Holder, anna: Person
) -> None:
    elsewhere = Deidentifier(Secret(bytes(32)))
    first = sealed(image(*MORE), elsewhere, recipients)
    back = restore(sealed(first, deidentifier, recipients), holder)
    assert comparable(back) == comparable(first)
    assert read(reidentify(back, anna.certificate, anna.key)).PatientID == "HOSP-4711"


def engine_of(secret: Secret, anna: Person) -> Deidentifier:
    return Deidentifier(secret, DeidentifyOptions(recipients=(anna.certificate,)))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_what_the_engine_sealed_comes_back(
    image: Image, secret: Secret, holder: Holder, anna: Person, syntax: str
) -> None:
    more = list(MORE)
    if syntax == BIG_ENDIAN:
        more[5:7] = []
    original = image(*more, syntax=syntax)
    engine = engine_of(secret, anna)
    once = engine.deidentify(original).data
    assert b"HOSP-4711" not in explicit_little_endian(once)
    assert comparable(restore(once, holder)) == comparable(original)
    twice = engine.deidentify(once).data
    assert comparable(restore(twice, holder)) == comparable(original)


def test_a_deflated_file(
    image: Image, deidentifier: Deidentifier, recipients: Recipients, holder: Holder
) -> None:
    original = image(*MORE, syntax=DEFLATED)
    done = deidentifier.deidentify(original).data
    after = read_header(done)
    before = elements_of(read_header(original))
    content = modified_attributes(before.values(), after.encoding)
    engine = zlib.compressobj(wbits=-15)
    deflated = engine.compress(content) + engine.flush()
    inner = [
        attributes_item(recipients.seal(deflated), DEFLATED, after.encoding),
        attributes_item(
            recipients.seal(content), content_transfer_syntax(after.encoding), after.encoding
        ),
    ]
    for entry in inner:
        inflated = explicit_little_endian(done)
        whole = with_sequence(inflated, [entry])
        start = read_file_meta(whole).dataset_start
        engine = zlib.compressobj(wbits=-15)
        body = engine.compress(whole[start:]) + engine.flush()
        file = done[: read_file_meta(done).dataset_start] + body
        back = restore(file, holder)
        assert read_file_meta(back).TransferSyntaxUID == EXPLICIT
        assert comparable(back) == comparable(original)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_results_stay(
    image: Image,
    deidentifier: Deidentifier,
    recipients: Recipients,
    holder: Holder,
    prediction: Prediction,
    syntax: str,
) -> None:
    original = image(*MORE, syntax=syntax)
    read_by_models = with_predictions(sealed(original, deidentifier, recipients), [prediction])
    assert read_file_meta(read_by_models).TransferSyntaxUID == EXPLICIT
    back = restore(read_by_models, holder)
    (found,) = read_block(read(back))
    assert found.Model == "InceptionV3"
    assert read(back).ContributingEquipmentSequence[0].ManufacturerModelName == "InceptionV3"
    assert comparable(with_predictions(back, [])) == comparable(original)


def equipment(manufacturer: bytes, purpose: bytes) -> Node:
    code = Node(0x0040A170, b"SQ", items=[[Node(0x00080100, b"SH", purpose)]])
    entry = [
        Node(0x00080070, b"LO", manufacturer),
        Node(0x0018A003, b"ST", b"Words about Jane"),
        code,
    ]
    return Node(0x0018A001, b"SQ", items=[entry])


def test_results_make_room_for_the_original(
    image: Image,
    deidentifier: Deidentifier,
    recipients: Recipients,
    holder: Holder,
    prediction: Prediction,
) -> None:
    original = image(
        equipment(b"Scanner", b"109101"),
        Node(0x00550010, b"LO", b"STRANGER"),
        Node(0x00551010, b"LO", b"what a stranger has here"),
        Node(0x00570010, b"LO", b"OTHER"),
    )
    deidentified = with_predictions(sealed(original, deidentifier, recipients), [prediction])
    assert read(deidentified)[0x0055, 0x0010].value == "UACJ_VISOR"
    back = restore(deidentified, holder)
    data_set = read(back)
    assert data_set[0x0055, 0x1010].value == "what a stranger has here"
    assert data_set[0x0059, 0x0010].value == "UACJ_VISOR"
    assert [str(entry.Manufacturer) for entry in data_set.ContributingEquipmentSequence] == [
        "Scanner",
        "Preread",
    ]
    assert data_set.ContributingEquipmentSequence[0].ContributionDescription == "Words about Jane"
    (found,) = read_block(data_set)
    assert found.Model == "InceptionV3"
    assert comparable(with_predictions(back, [])) == comparable(original)


def test_a_derived_image_stays_one(
    image: Image,
    deidentifier: Deidentifier,
    recipients: Recipients,
    holder: Holder,
    prediction: Prediction,
) -> None:
    original = image(
        *MORE,
        Node(0x00080021, b"DA", b"20200102"),
        Node(0x0008103E, b"LO", b"Chest of Jane"),
        Node(
            0x00081115,
            b"SQ",
            items=[[Node(0x0020000E, b"UI", b"1.9.76543.8")]],
        ),
    )
    derived = derived_instance(
        sealed(original, deidentifier, recipients),
        [prediction],
        SeriesInstanceUID="2.25.71",
        SOPInstanceUID="2.25.72",
    )
    back = restore(derived, holder)
    found = read(back)
    assert (found.SOPInstanceUID, found.SeriesInstanceUID) == ("2.25.72", "2.25.71")
    assert read_file_meta(back).MediaStorageSOPInstanceUID == "2.25.72"
    assert (found.StudyInstanceUID, found.PatientID) == ("1.9.76543.1", "HOSP-4711")
    assert "SeriesDate" not in found
    assert "Preread predictions" in found.SeriesDescription
    (source,) = found.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == "1.9.76543.1.2.3"
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    theirs, ours = found.ReferencedSeriesSequence
    assert theirs.SeriesInstanceUID == "1.9.76543.8"
    assert ours.SeriesInstanceUID == "1.9.76543.1.2"
    assert ours.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == "1.9.76543.1.2.3"
    assert found.DerivationCodeSequence[-1].CodeValue == "PREDICTED"
    assert b"2.25.7" in back
    assert deidentifier.deidentify(original).SOPInstanceUID.encode() not in back.replace(
        f"FileName : {deidentifier.deidentify(original).SOPInstanceUID}".encode(), b""
    )


def test_the_vr_of_what_was_sealed_implicitly(
    image: Image, recipients: Recipients, holder: Holder
) -> None:
    signed = Node(0x00280103, b"US", b"\1\0")
    file = image(signed, syntax=IMPLICIT)
    encoding = read_header(file).encoding
    lowest = encoded([Node(0x00280106, b"SS", struct.pack("<h", -7))], implicit=True)
    content = modified_attributes([lowest], encoding)
    entry = attributes_item(recipients.seal(content), IMPLICIT, encoding)
    back = read(restore(with_sequence(file, [entry]), holder))
    assert back.SmallestImagePixelValue == -7


def test_items_of_others_are_passed_over_and_ours_add_up(
    image: Image, folder: Path, recipients: Recipients, holder: Holder
) -> None:
    file = image()
    encoding = read_header(file).encoding
    others = Recipients.load([person(folder, "bert").certificate])

    def entry(who: Recipients, *nodes: Node) -> bytes:
        content = modified_attributes([encoded([node]) for node in nodes], encoding)
        return attributes_item(who.seal(content), EXPLICIT, encoding)

    back = read(
        restore(
            with_sequence(
                file,
                [
                    entry(others, Node(0x00104000, b"LT", b"not ours")),
                    entry(recipients, Node(0x00100020, b"LO", b"first")),
                    entry(
                        recipients,
                        Node(0x00100020, b"LO", b"second"),
                        Node(0x00080050, b"SH", b"more"),
                    ),
                ],
            ),
            holder,
        )
    )
    assert (back.PatientID, back.AccessionNumber) == ("first", "more")
    assert "PatientComments" not in back


def test_reasons(
    image: Image, folder: Path, deidentifier: Deidentifier, recipients: Recipients, holder: Holder
) -> None:
    def refused(data: bytes, words: str) -> None:
        with pytest.raises(ReidentifyError, match=words):
            restore(data, holder)

    refused(image(), "nothing to go back to")
    refused(b"no DICOM", "malformed")
    others = Recipients.load([person(folder, "bert").certificate])
    refused(sealed(image(), deidentifier, others), "not for this key")
    file, encoding = image(), read_header(image()).encoding
    refused(with_sequence(file, []), "not for this key")
    refused(with_sequence(file, [b""]), "lacks its transfer syntax")
    refused(with_sequence(file, [attributes_item(b"nothing", EXPLICIT, encoding)]), "damaged")

    def entry(content: bytes) -> bytes:
        return with_sequence(file, [attributes_item(recipients.seal(content), EXPLICIT, encoding)])

    refused(entry(b"no data set"), "damaged")
    refused(entry(b""), "no ModifiedAttributesSequence")
    refused(entry(encoded([Node(0x00100010, b"PN", b"Doe")])), "no ModifiedAttributesSequence")
    with pytest.raises(EnvelopeError, match="no such file"):
        reidentify(file, folder / "nowhere", folder / "nowhere")


def _round_trip(path: Path, engine: Deidentifier, holder: Holder) -> bool:
    original = path.read_bytes()
    try:
        deidentified = engine.deidentify(original).data
    except DeidentificationError:
        return False
    back = comparable(restore(deidentified, holder))
    before = comparable(original)
    for tag in (0x7FE00008, 0x7FE00009, 0x7FE00010):  # stripped of comments, and not sealed
        back.pop(tag, None)
        before.pop(tag, None)
    assert back == before, path.name
    return True


def test_public_files_come_back(secret: Secret, holder: Holder, anna: Person) -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    engine = engine_of(secret, anna)
    done = [_round_trip(path, engine, holder) for path in sorted(folder.glob("*.dcm"))]
    assert sum(done) > 40


@pytest.mark.shared_data
def test_shared_files_come_back(
    shared_dicom: Path, secret: Secret, holder: Holder, anna: Person
) -> None:
    engine = engine_of(secret, anna)
    paths = [path for path in sorted((shared_dicom / "variety").rglob("*")) if path.is_file()]
    paths = [path for path in paths if path.read_bytes()[128:132] == b"DICM"]
    done = [_round_trip(path, engine, holder) for path in paths]
    assert sum(done) > 0.8 * len(paths)
