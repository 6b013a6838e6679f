"""Signing a network, and telling whose signature it bears.

The element (0017,xx14) of our layout holds, in base64, a signature of the text that `signed_text`
gives: Ed25519, ECDSA with SHA-256, or RSA-PSS with SHA-256 and a salt of 32 bytes, as the key is.
Which certificate it belongs to is not written down: the few that a site trusts are tried.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from preread.errors import SettingsError
from preread.iodeep.layouts import signature_place
from preread.iodeep.recognising import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from preread.iodeep.recognising import Recognised

LONGEST_SIGNATURE: Final = 4096
"""Characters of base64; RSA with 16384 bits takes 2732."""
LARGEST_PEM: Final = 64 * 1024

_SMALLEST_RSA: Final = 2048  # bits
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_KEYS: Final = "expected an Ed25519, an elliptic curve or an RSA key of 2048 bits or more"

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class Signer(NamedTuple):
    """Whose signature a site trusts.

    Attributes
    ----------
    name
        Of the certificate's file.
    key
        Its public key.
    valid_from, valid_until
        When its signatures count, in UTC.
    """

    name: str
    key: PublicKey
    valid_from: dt.datetime
    valid_until: dt.datetime


def signed_text(digest: str) -> bytes:
    """Give what is signed, of the digest of a network."""
    return b"Preread IODeep\n" + digest.encode("ascii")


def sign(digest: str, key: PrivateKey) -> str:
    """Sign a network, and return the value of its element.

    Parameters
    ----------
    digest
        As `preread.iodeep.recognising.digest_of` gives it.
    key
        As `load_key` gives it.
    """
    text = signed_text(digest)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        made = key.sign(text)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made = key.sign(text, ec.ECDSA(hashes.SHA256()))
    else:
        made = key.sign(text, _PSS, hashes.SHA256())
    return base64.b64encode(made).decode("ascii")


def signer_of(found: Recognised, signers: Sequence[Signer], now: dt.datetime) -> Signer | None:
    """Return whose signature a network bears.

    Parameters
    ----------
    found
        The network. It is hashed only if it bears a signature.
    signers
        Those that are trusted; outside of their time they are not.
    now
        With a time zone.
    """
    signature = signature_in(found)
    current = [one for one in signers if one.valid_from <= now <= one.valid_until]
    if not signature or not current:
        return None
    text = signed_text(digest_of(found))
    return next((one for one in current if _fits(one.key, signature, text)), None)


def signature_in(found: Recognised) -> bytes:
    """Return the signature that a network bears, decoded and not checked; empty without one."""
    place = signature_place(found.places)
    value = b"" if place is None else bytes(found.header.view(place)[: LONGEST_SIGNATURE + 1])
    if len(value) > LONGEST_SIGNATURE:
        return b""
    try:
        return binascii.a2b_base64(value.strip(b" \0"), strict_mode=True)
    except ValueError:
        return b""


def load_signer(path: Path) -> Signer:
    """Read a certificate (PEM).

    Raises
    ------
    SettingsError
        If it is none, or has another kind of key.
    """
    try:
        certificate = x509.load_pem_x509_certificate(_read(path))
        key = certificate.public_key()
    except ValueError:
        raise SettingsError(f"{path}: expected an X.509 certificate in PEM") from None
    if not isinstance(
        key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    ) or (isinstance(key, rsa.RSAPublicKey) and key.key_size < _SMALLEST_RSA):
        raise SettingsError(f"{path}: {_KEYS}")
    return Signer(path.name, key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def load_key(path: Path, password: str = "") -> PrivateKey:
    """Read a private key (PEM).

    Raises
    ------
    SettingsError
        If it is none, is of another kind, or cannot be opened with the password.
    """
    try:
        key = serialization.load_pem_private_key(
            _read(path), password.encode() if password else None
        )
    except (ValueError, TypeError):
        raise SettingsError(
            f"{path}: expected a private key in PEM, and its password if it has one"
        ) from None
    if not isinstance(
        key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    ) or (isinstance(key, rsa.RSAPrivateKey) and key.key_size < _SMALLEST_RSA):
        raise SettingsError(f"{path}: {_KEYS}")
    return key


def _fits(key: PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, text)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, text, _PSS, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_PEM)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
