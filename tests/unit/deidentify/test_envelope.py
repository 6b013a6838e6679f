from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filereader import read_dataset

from preread.deidentify import Deidentifier, Secret
from preread.deidentify.encrypted_attributes import (
    attributes_item,
    content_transfer_syntax,
    modified_attributes,
)
from preread.deidentify.envelope import Holder, Recipients, open_envelope
from preread.deidentify.errors import EnvelopeError, NotForThisKeyError
from preread.elements import Encoding
from tests.unit.deidentify.conftest import Node, encoded
from tests.unit.deidentify.sealing import Person, person

ENCODINGS = [Encoding(True, True), Encoding(False, True), Encoding(False, False)]
NAMES = ["implicit", "explicit", "big endian"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="module")
def anna(folder: Path) -> Person:
    return person(folder, "anna")


@pytest.fixture(scope="module")
def bert(folder: Path) -> Person:
    return person(folder, "bert", bits=3072, der=True, password="open sesame")


@pytest.fixture(scope="module")
def holder(anna: Person) -> Holder:
    return Holder.load(anna.certificate, anna.key)


@pytest.fixture(scope="module")
def both(anna: Person, bert: Person) -> Recipients:
    return Recipients.load([anna.certificate, bert.certificate])


def test_every_recipient_opens_it_and_nobody_else(
    both: Recipients, anna: Person, bert: Person, folder: Path
) -> None:
    content = b"line\nline\r\n\0\xff" * 300
    envelope = both.seal(content)
    assert content[:50] not in envelope
    assert open_envelope(envelope, anna.certificate, anna.key, None) == content
    assert open_envelope(envelope, bert.certificate, bert.key, "open sesame") == content
    other = person(folder, "carl")
    with pytest.raises(NotForThisKeyError, match="not for this key"):
        open_envelope(envelope, other.certificate, other.key, None)


def test_each_sealing_has_a_key_of_its_own(both: Recipients) -> None:
    assert both.seal(b"the same")[-16:] != both.seal(b"the same")[-16:]


def test_openssl_opens_it(both: Recipients, anna: Person, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    content = bytes(range(256)) * 9 + b"\n"
    (tmp_path / "envelope").write_bytes(both.seal(content))
    done = subprocess.run(
        [
            openssl, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "envelope", "-recip",
            anna.certificate, "-inkey", anna.key,
        ],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == content
    shown = subprocess.run(
        [openssl, "cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "envelope"],
        cwd=tmp_path, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    assert "pkcs7-envelopedData" in shown
    assert "aes-256-cbc" in shown
    assert shown.count("d.ktri") == 2


def test_what_openssl_seals_is_opened(anna: Person, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "content").write_bytes(b"of another program\n")
    done = subprocess.run(
        [
            openssl, "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", "-in", "content",
            anna.certificate,
        ],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    opened = open_envelope(done.stdout, anna.certificate, anna.key, None)
    assert opened == b"of another program\n"


def test_padding_behind_an_envelope_does_not_matter(both: Recipients, anna: Person) -> None:
    envelope = both.seal(b"x")
    assert open_envelope(envelope + b"\0", anna.certificate, anna.key, None) == b"x"


@pytest.mark.parametrize("cut", [0, 1, 5, 100, -1])
def test_a_cut_envelope_is_refused(both: Recipients, anna: Person, cut: int) -> None:
    with pytest.raises(EnvelopeError, match="damaged"):
        open_envelope(both.seal(b"y" * 99)[:cut], anna.certificate, anna.key, None)


@given(place=st.integers(0, 10**4), flip=st.integers(1, 255))
def test_damage_never_escapes_as_another_error(
    both: Recipients, holder: Holder, place: int, flip: int
) -> None:
    envelope = bytearray(both.seal(b"z" * 99))
    envelope[place % len(envelope)] ^= flip
    with suppress(EnvelopeError):  # what lies in CBC is not checked for being the same
        holder.open(bytes(envelope))


def test_the_same_certificate_twice_is_one_recipient(anna: Person, bert: Person) -> None:
    once = len(Recipients.load([anna.certificate]).seal(b""))
    assert len(Recipients.load([anna.certificate] * 2).seal(b"")) == once


def _refused(path: Path, words: str) -> None:
    with pytest.raises(EnvelopeError, match=words) as caught:
        Recipients.load([path])
    assert str(path) in str(caught.value)


def test_certificates_that_cannot_be_used(tmp_path: Path, anna: Person, bert: Person) -> None:
    _refused(tmp_path / "nowhere.crt", "no such file")
    _refused(tmp_path, "cannot be read")
    _refused(anna.key, "expected an X.509 certificate")
    (tmp_path / "text").write_text("hello")
    _refused(tmp_path / "text", "expected an X.509 certificate")
    (tmp_path / "long").write_bytes(bytes(2**20 + 1))
    _refused(tmp_path / "long", "over 1 MiB")
    _refused(person(tmp_path, "old", days=(-9, -1)).certificate, "expired on 2")
    _refused(person(tmp_path, "early", days=(2, 9)).certificate, "not yet")
    _refused(person(tmp_path, "curve", curve=True).certificate, "RSA key")
    _refused(person(tmp_path, "small", bits=1024).certificate, "1024 bits; expected 2048")
    _refused(person(tmp_path, "signs", usage=False).certificate, "keyEncipherment")
    Recipients.load([person(tmp_path, "encrypts", usage=True).certificate])
    chain = tmp_path / "chain"
    chain.write_bytes(anna.certificate.read_bytes() * 2)
    _refused(chain, "several certificates")
    with pytest.raises(EnvelopeError, match="at least one recipient"):
        Recipients.load([])


def test_an_expired_certificate_still_opens(tmp_path: Path, anna: Person) -> None:
    envelope = Recipients.load([anna.certificate]).seal(b"long ago")
    assert Holder.load(anna.certificate, anna.key).open(envelope) == b"long ago"
    old = person(tmp_path, "old", days=(-9, -1))
    Holder.load(old.certificate, old.key)


def test_keys_that_cannot_be_used(tmp_path: Path, anna: Person, bert: Person) -> None:
    for key, password, words in (
        (tmp_path / "nowhere.key", None, "no such file"),
        (bert.key, None, "give its password"),
        (bert.key, "wrong", "password is wrong"),
        (bert.key, "open sesame", "not the key of"),
        (anna.certificate, None, "expected a private key"),
        (person(tmp_path, "curve", curve=True).key, None, "RSA key"),
    ):
        with pytest.raises(EnvelopeError, match=words) as caught:
            Holder.load(anna.certificate, key, password)
        assert str(key) in str(caught.value)
        assert "sesame" not in str(caught.value)
    Holder.load(anna.certificate, anna.key, "for a key without one")


@pytest.mark.parametrize("encoding", ENCODINGS, ids=NAMES)
def test_pydicom_reads_the_modified_attributes(
    both: Recipients, anna: Person, encoding: Encoding
) -> None:
    nodes = [
        Node(0x00100010, b"PN", b"Doe^Jane"),
        Node(0x00080005, b"CS", b"ISO_IR 100"),
        Node(0x00081140, b"SQ", items=[[Node(0x00081155, b"UI", b"1.2.3")]], undefined=True),
        Node(0x00100010, b"PN", b"Second^One"),
    ]
    raw = [encoded([each], implicit=encoding.implicit, order=encoding.order) for each in nodes]
    content = modified_attributes(map(memoryview, raw), encoding)
    opened = open_envelope(both.seal(content), anna.certificate, anna.key, None)
    found = read_dataset(BytesIO(opened), encoding.implicit, encoding.little)
    assert list(found.keys()) == [0x04000550]
    (modified,) = found.ModifiedAttributesSequence
    assert [int(tag) for tag in modified.keys()] == [0x00080005, 0x00081140, 0x00100010]  # noqa: SIM118
    assert modified.PatientName == "Doe^Jane"
    assert modified.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3"


@pytest.mark.parametrize("encoding", ENCODINGS, ids=NAMES)
def test_pydicom_reads_the_item(both: Recipients, anna: Person, encoding: Encoding) -> None:
    for size in range(4):  # envelopes of both odd and even lengths
        content = modified_attributes([bytes(2 * size)] if size > 1 else [], encoding)
        envelope = both.seal(content)
        item = attributes_item(envelope, content_transfer_syntax(encoding), encoding)
        found = read_dataset(BytesIO(item), encoding.implicit, encoding.little)
        expected = {
            (True, True): "1.2.840.10008.1.2",
            (False, True): "1.2.840.10008.1.2.1",
            (False, False): "1.2.840.10008.1.2.2",
        }
        syntax = expected[encoding.implicit, encoding.little]
        assert found.EncryptedContentTransferSyntaxUID == syntax
        assert len(item) % 2 == 0
        assert found.EncryptedContent[: len(envelope)] == envelope


def test_what_is_too_long_is_refused() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 2**32

    with pytest.raises(EnvelopeError, match="4 GiB"):
        modified_attributes([Long(8)], ENCODINGS[0])


def test_importing_does_not_load_the_library() -> None:
    code = "import sys, preread.deidentify.envelope; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_poses_as_an_envelope_is_not_kept(node: Any, image: Callable[..., bytes]) -> None:
    """A sender that knows one of our pseudonyms must not get names through in this sequence."""
    engine = Deidentifier(Secret(bytes(range(32))))
    ours = engine.deidentify(image()).PatientID.encode()
    content = b"\x30\x82\1\0\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03 and so on"
    syntax = node(0x04000510, b"UI", b"1.2.840.10008.1.2.1")
    honest = [syntax, node(0x04000520, b"OB", content)]
    posing = [
        [node(0x00100010, b"PN", b"Kanarie^Jane")],
        [*honest, node(0x04000550, b"SQ", items=[[node(0x00100010, b"PN", b"Kanarie^Jane")]])],
        [syntax, node(0x04000520, b"OB", b"Kanarie^Jane")],
        [node(0x04000510, b"UI", b"1.Kanarie"), honest[1]],
    ]
    # Not even one that looks right is kept, if this key has not sealed it.
    for items in (honest, *posing):
        for method in (b"", b"Preread sealed 0123456789abcdef0123456789abcdef"):
            done = engine.deidentify(
                image(
                    node(0x00100020, b"LO", ours),
                    node(0x00120063, b"LO", method),
                    node(0x04000500, b"SQ", items=[items]),
                )
            )
            assert "EncryptedAttributesSequence" not in dcmread(BytesIO(done.data))
            assert not done.sealed
            assert b"Kanarie" not in done.data
