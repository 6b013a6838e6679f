"""Of a trusted network no more is let in than what its digest or its signature covers."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from preread.deidentify.marks import beginning
from preread.iodeep.iod import RAW_DATA_STORAGE
from preread.iodeep.reading import decode
from preread.iodeep.recognising import Recognised, admitted, digest_of, syntax_of
from preread.iodeep.signature import load_key
from preread.iodeep.signing import signed
from preread.iodeep.trust import Trust
from preread.iodeep.writing import encode
from preread.iodeep_sections import IODeepSettings
from tests.unit.iodeep.conftest import Build, Make
from tests.unit.iodeep.test_trust import NOW, certify, found_in, rewritten

CANARY = b"CANARYZQX^JANE"
TEXT = CANARY.decode()


@pytest.fixture
def network(make: Make, tmp_path: Path) -> bytes:
    """Give a network that is signed with the key in ``tmp_path``."""
    key, _ = certify(tmp_path, ed25519.Ed25519PrivateKey.generate())
    return signed(encode(make(Description="Dice 0.9, Läsion")), load_key(key))


@pytest.fixture
def trust(network: bytes, tmp_path: Path) -> Trust:
    return Trust(IODeepSettings(certificates=(Path("site.pem"),)), tmp_path, lambda: NOW)


def let_in(found: Recognised, signature: bytes = b"") -> bytes:
    """Give what the receive hook has Orthanc store."""
    instance = found.header.SOPInstanceUID
    return admitted(found, beginning(RAW_DATA_STORAGE, instance, syntax_of(found)), signature)


def with_dataset(change: Callable[[Dataset], Any]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        dataset = dcmread(io.BytesIO(data))
        change(dataset)
        file = io.BytesIO()
        dataset.save_as(file)
        return file.getvalue()

    return changed


def into_the_entry(dataset: Dataset) -> None:
    entry = dataset.ContributingEquipmentSequence[0]
    entry.InstitutionName = entry.StationName = TEXT
    entry.OperatorsName = TEXT
    entry.PurposeOfReferenceCodeSequence[0].CodeMeaning = TEXT
    entry.Manufacturer = TEXT


def another_entry(dataset: Dataset) -> None:
    entry = Dataset()
    entry.PatientName = entry.ContributionDescription = TEXT
    entry.BitsAllocated, entry.Rows, entry.Columns = 8, 16, 16
    entry.PixelData = (CANARY * 20)[:256]
    dataset.ContributingEquipmentSequence.append(entry)


def description_again(dataset: Dataset) -> None:
    """A text beyond the 1024 characters that are looked at."""
    entry = dataset.ContributingEquipmentSequence[0]
    entry.ContributionDescription += " " * 1100


def more_numbers(data: bytes) -> bytes:
    """Rows with further values, of which the first alone is read."""
    at = data.find(struct.pack("<HH2s", 0x28, 0x10, b"US"))
    value = data[at + 8 : at + 10] + CANARY * 3000
    return (
        data[:at] + struct.pack("<HH2sH", 0x28, 0x10, b"US", len(value)) + value + data[at + 10 :]
    )


def twice(data: bytes) -> bytes:
    """A second StudyDescription behind the first, which alone counts."""
    at = data.find(struct.pack("<HH2s", 0x08, 0x103E, b"LO"))
    again = struct.pack("<HH2sH", 0x08, 0x1030, b"LO", len(CANARY)) + CANARY
    return data[:at] + again + data[at:]


def transfer_syntax(data: bytes) -> bytes:
    """A transfer syntax that nobody knows is read as Explicit VR Little Endian."""
    known = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    value = b"1.2." + CANARY + b"\0\0"
    assert known in data
    return data.replace(known, b"\x02\x00\x10\x00UI" + struct.pack("<H", len(value)) + value)


def reserved_bytes(data: bytes) -> bytes:
    at = data.find(b"\x17\x00\x10\x10UT")
    return data[: at + 6] + CANARY[:2] + data[at + 8 :]


def padding(data: bytes) -> bytes:
    """Bits in spaces and zeros, behind what the creator of the private block is called."""
    at = data.find(b"\x17\x00\x10\x00LO")
    value = b"IODEEP" + b"\0 " * 40
    return (
        data[:at] + b"\x17\x00\x10\x00LO" + struct.pack("<H", len(value)) + value + data[at + 14 :]
    )


REPLAYS: dict[str, Callable[[bytes], bytes]] = {
    "keys of the entry": with_dataset(into_the_entry),
    "another entry": with_dataset(another_entry),
    "spaces of the description": with_dataset(description_again),
    "values of a number": more_numbers,
    "an element twice": twice,
    "the transfer syntax": transfer_syntax,
    "reserved bytes": reserved_bytes,
    "padding": padding,
}


@pytest.mark.parametrize("way", REPLAYS)
def test_a_replayed_network_brings_nothing_that_is_not_signed(
    network: bytes, trust: Trust, way: str
) -> None:
    replayed = REPLAYS[way](network)
    assert replayed != network
    found = found_in(replayed)
    assert trust.of_contents(found)
    stored = let_in(found, trust.signature_of(found))
    # What is let in of the replayed file is what is let in of the original.
    assert stored == let_in(found_in(network), trust.signature_of(found_in(network)))
    assert CANARY[:9] not in stored
    again = found_in(stored)
    assert trust.of_contents(again)
    assert digest_of(again) == digest_of(found)
    assert decode(stored) == decode(network)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian]
)
def test_what_is_let_in_is_valid_and_the_same_network(
    network: bytes, trust: Trust, syntax: str
) -> None:
    found = found_in(rewritten(network, syntax))
    stored = let_in(found, trust.signature_of(found))
    assert let_in(found_in(stored), trust.signature_of(found_in(stored))) == stored
    dataset = dcmread(io.BytesIO(stored))
    before = dcmread(io.BytesIO(network))
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert dataset.file_meta.MediaStorageSOPInstanceUID == before.SOPInstanceUID
    (entry,) = dataset.ContributingEquipmentSequence
    assert entry.Manufacturer == before.Manufacturer
    assert entry.ContributionDescription == "Dice 0.9, Läsion"
    assert entry.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    del dataset.ContributingEquipmentSequence, before.ContributingEquipmentSequence
    assert {e.tag: (e.VR, e.value) for e in dataset if not e.tag.is_private} == {
        e.tag: (e.VR, e.value) for e in before if not e.tag.is_private
    }


def test_a_signature_that_nobody_checked_is_left_out(network: bytes, tmp_path: Path) -> None:
    """In its place there may be anything where a network is trusted for another reason."""
    canary = base64.b64encode(CANARY).decode()

    def forge(dataset: Dataset) -> None:
        dataset[0x00171014].value = canary

    forged = found_in(with_dataset(forge)(network))
    listed = IODeepSettings.model_validate({"AllowedSHA256": [digest_of(forged)]})
    trust = Trust(listed, tmp_path)
    assert trust.of_contents(forged)
    stored = let_in(forged, trust.signature_of(forged))
    assert canary.encode() not in stored
    assert digest_of(found_in(stored)) == digest_of(forged)


@pytest.mark.parametrize("rows", ["64", "640", "12345"])
def test_numbers_that_are_texts_stay_so(prototype: Build, rows: str) -> None:
    made = prototype(Rows=rows)
    found = found_in(made)
    stored = let_in(found)
    assert (
        dcmread(io.BytesIO(stored))[0x00280010].value == dcmread(io.BytesIO(made))[0x00280010].value
    )
    assert decode(stored) == decode(made)
    assert digest_of(found_in(stored)) == digest_of(found)
