"""Recipients for tests, and de-identified files with the originals sealed into them, by hand."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from preread.deidentify import Deidentifier
from preread.deidentify.encrypted_attributes import (
    ALWAYS_SEALED,
    ENCRYPTED_ATTRIBUTES_SEQUENCE,
    attributes_item,
    content_transfer_syntax,
    modified_attributes,
)
from preread.deidentify.envelope import Recipients
from preread.elements import Header, encode_element, read_header


@dataclass
class Person:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@cache
def _key(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def person(
    folder: Path,
    name: str,
    *,
    bits: int = 2048,
    days: tuple[int, int] = (-1, 10),
    curve: bool = False,
    der: bool = False,
    password: str | None = None,
    usage: bool | None = None,
) -> Person:
    """Make a self-signed certificate that is valid between two days, counted from today."""
    key = ec.generate_private_key(ec.SECP256R1()) if curve else _key(name, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if usage is not None:
        no = dict.fromkeys(
            ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign"), False
        )
        more = dict.fromkeys(("crl_sign", "encipher_only", "decipher_only"), False)
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=True, key_encipherment=usage, **no, **more),
            critical=True,
        )
    encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
    made = Person(folder / f"{name}.crt", folder / f"{name}.key")
    made.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding))
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        protection = serialization.BestAvailableEncryption(password.encode())
    made.key.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, protection))
    return made


def elements_of(header: Header) -> dict[int, bytes]:
    """Return the elements of the top level as they lie in the file."""
    return {
        each.tag: bytes(header.data[each.start : each.end])
        for each in reversed(header.all_elements)
    }


def item(content: bytes, order: str = "<") -> bytes:
    """Write an item of defined length."""
    return struct.pack(order + "HHI", 0xFFFE, 0xE000, len(content)) + content


def with_sequence(data: bytes, entries: list[bytes]) -> bytes:
    """Put an Encrypted Attributes Sequence into a file that is not deflated."""
    header = read_header(data)
    value = b"".join(item(entry, header.encoding.order) for entry in entries)
    encoded = encode_element(ENCRYPTED_ATTRIBUTES_SEQUENCE, b"SQ", value, header.encoding)
    behind = [e for e in header.all_elements if e.tag > ENCRYPTED_ATTRIBUTES_SEQUENCE]
    place = behind[0].start if behind else len(data)
    return data[:place] + encoded + data[place:]


def sealed(original: bytes, deidentifier: Deidentifier, *groups: Recipients) -> bytes:
    """De-identify a file and seal what was changed into it, an item for each group."""
    done = deidentifier.deidentify(original)
    before, after = elements_of(done.header), elements_of(read_header(done.data))
    changed = [
        element
        for tag, element in before.items()
        if after.get(tag) != element or tag in ALWAYS_SEALED
    ]
    encoding = done.header.encoding
    content = modified_attributes(changed, encoding)
    syntax = content_transfer_syntax(encoding)
    return with_sequence(
        done.data, [attributes_item(group.seal(content), syntax, encoding) for group in groups]
    )
