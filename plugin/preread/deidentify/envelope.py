"""Content encrypted for those who hold a key, as CMS.

PS3.15 section E.1.1 and PS3.3 section C.12.1.1.4: an item of (0400,0500) holds a CMS EnvelopedData
(RFC 5652), encrypted with AES-256 in CBC mode under a key of its own, which is wrapped for each
recipient with RSA key transport. What is in it is a data set with one Modified Attributes Sequence,
whose one item has the original attributes.

CMS EnvelopedData keeps secrets, it does not seal against change: damage is found where it breaks
the padding or the structure of the data set, not wherever it may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from preread.deidentify.errors import EnvelopeError, NotForThisKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7EnvelopeBuilder
    from cryptography.x509 import Certificate

SMALLEST_KEY: Final = 2048
"""Bits of an RSA key below which a recipient is refused."""

_LARGEST_FILE: Final = 2**20
_SEQUENCE_OF_DER: Final = 0x30
_PEM: Final = b"-----BEGIN "
_CERTIFICATE_MARK: Final = b"-----BEGIN CERTIFICATE-----"


class Recipients:
    """Those who can go back from a de-identified object to the original.

    Thread safe. The certificates' dates are looked at when they are loaded, not later.

    Parameters
    ----------
    certificates
        One for each; RSA keys.
    """

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        from cryptography.hazmat.primitives.ciphers import algorithms  # noqa: PLC0415 - when used
        from cryptography.hazmat.primitives.serialization import pkcs7  # noqa: PLC0415

        if not certificates:
            raise EnvelopeError("expected the certificate of at least one recipient")
        builder: PKCS7EnvelopeBuilder = pkcs7.PKCS7EnvelopeBuilder()
        builder = builder.set_content_encryption_algorithm(algorithms.AES256)
        for certificate in dict.fromkeys(certificates):
            builder = builder.add_recipient(certificate)
        self._builder = builder

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Self:
        """Read the recipients' certificates.

        Parameters
        ----------
        paths
            X.509 certificates, PEM or DER, one to a file.

        Raises
        ------
        EnvelopeError
            If there is none, or one is missing, no certificate, expired or not yet valid, not for
            encrypting keys, not of an RSA key, or of one of less than 2048 bits. The message names
            the file.
        """
        return cls([_valid_certificate(path) for path in paths])

    def seal(self, content: bytes) -> bytes:
        """Encrypt for every recipient.

        Parameters
        ----------
        content
            A data set, as `modified_attributes` writes it.

        Returns
        -------
        bytes
            CMS EnvelopedData, DER.
        """
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - when used
            Encoding as CmsEncoding,
        )
        from cryptography.hazmat.primitives.serialization import pkcs7  # noqa: PLC0415

        # Without the option line ends would be turned into those of mail.
        options = [pkcs7.PKCS7Options.Binary]
        return self._builder.set_data(content).encrypt(CmsEncoding.DER, options)


@dataclass(frozen=True, slots=True)
class Holder:
    """One who may go back: a certificate and the private key that belongs to it.

    Attributes
    ----------
    certificate
        An envelope names its recipients by it; it may have expired since.
    key
        RSA.
    """

    certificate: Certificate
    key: RSAPrivateKey

    def __repr__(self) -> str:
        return "Holder()"

    @classmethod
    def load(cls, certificate: Path, key: Path, password: str | None = None) -> Self:
        """Read a certificate and its private key.

        Parameters
        ----------
        certificate
            X.509, PEM or DER.
        key
            RSA, PEM or DER (PKCS #8 or PKCS #1).
        password
            Of the key file, if it has one.

        Raises
        ------
        EnvelopeError
            If a file is missing or not what it should be, the password is missing or wrong, or key
            and certificate do not belong together. The message names the file.
        """
        found, private = _certificate(certificate), _private_key(key, password)
        if found.public_key() != private.public_key():
            raise EnvelopeError(
                f"{key}: this is not the key of {certificate}; give the two that belong together"
            )
        return cls(found, private)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt an envelope.

        Parameters
        ----------
        sealed
            CMS EnvelopedData, DER; bytes behind it, such as an element's padding, do not matter.

        Raises
        ------
        NotForThisKeyError
            If it is for others only.
        EnvelopeError
            If it is damaged, or encrypted in another way than `Recipients.seal` does.
        """
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - when used
        from cryptography.hazmat.primitives.serialization import pkcs7  # noqa: PLC0415

        length = _length_of_der(sealed)
        try:
            return pkcs7.pkcs7_decrypt_der(sealed[:length], self.certificate, self.key, [])
        except UnsupportedAlgorithm:
            raise EnvelopeError(
                "the encrypted attributes use another cipher; expected AES in CBC mode and RSA"
            ) from None
        except ValueError as error:
            if "recipient" in str(error):
                raise NotForThisKeyError(
                    "the encrypted attributes are not for this key; use that of a recipient"
                ) from None
            raise EnvelopeError("the encrypted attributes are damaged") from None


def open_envelope(sealed: bytes, certificate: Path, key: Path, password: str | None) -> bytes:
    """Decrypt one envelope; for many, load a `Holder` once.

    Raises
    ------
    EnvelopeError
        As `Holder.load` and `Holder.open` do.
    """
    return Holder.load(certificate, key, password).open(sealed)


def _length_of_der(data: bytes) -> int:
    """Return the length of the outermost value; of bytes that are none, all of them."""
    if len(data) < 2 or data[0] != _SEQUENCE_OF_DER:
        return len(data)
    if data[1] < 0x80:
        return 2 + data[1]
    size = data[1] & 0x7F
    return 2 + size + int.from_bytes(data[2 : 2 + size], "big")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise EnvelopeError(f"{path}: there is no such file") from None
    except OSError as error:
        raise EnvelopeError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > _LARGEST_FILE:
        raise EnvelopeError(f"{path}: expected a certificate or key, not a file of over 1 MiB")
    return content


def _certificate(path: Path) -> Certificate:
    from cryptography import x509  # noqa: PLC0415 - when used

    content = _content(path)
    if content.count(_CERTIFICATE_MARK) > 1:
        # A chain ends at an authority, which is not meant to read the patients' names.
        raise EnvelopeError(f"{path}: holds several certificates; give each recipient's in a file")
    try:
        if _PEM in content:
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except ValueError:
        raise EnvelopeError(f"{path}: expected an X.509 certificate, PEM or DER") from None


def _valid_certificate(path: Path) -> Certificate:
    """Read a certificate that may be encrypted for."""
    from cryptography import x509  # noqa: PLC0415 - when used
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415

    certificate = _certificate(path)
    try:
        key = certificate.public_key()
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    except (ValueError, UnsupportedAlgorithm):
        raise EnvelopeError(f"{path}: expected a certificate of an RSA key") from None
    if not isinstance(key, RSAPublicKey):
        raise EnvelopeError(f"{path}: expected a certificate of an RSA key")
    if key.key_size < SMALLEST_KEY:
        raise EnvelopeError(
            f"{path}: its RSA key has {key.key_size} bits; expected {SMALLEST_KEY} at least"
        )
    if usage is not None and not usage.key_encipherment:
        raise EnvelopeError(
            f"{path}: its KeyUsage does not allow keyEncipherment; give one that is for encrypting"
        )
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise EnvelopeError(
            f"{path}: expired on {certificate.not_valid_after_utc:%Y-%m-%d}; give a valid one"
        )
    if now < certificate.not_valid_before_utc:
        raise EnvelopeError(
            f"{path}: valid from {certificate.not_valid_before_utc:%Y-%m-%d} on, not yet"
        )
    return certificate


def _private_key(path: Path, password: str | None) -> RSAPrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - when used
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415

    content = _content(path)
    is_pem = _PEM in content
    load = serialization.load_pem_private_key if is_pem else serialization.load_der_private_key
    encoded = password.encode() if password else None
    try:
        try:
            key = load(content, encoded)
        except TypeError:
            if encoded is None:
                raise EnvelopeError(f"{path}: the key is encrypted; give its password") from None
            key = load(content, None)  # it has none
    except (ValueError, UnsupportedAlgorithm):
        words = " or the password is wrong" if password else ""
        raise EnvelopeError(f"{path}: expected a private key, PEM or DER{words}") from None
    if not isinstance(key, RSAPrivateKey):
        raise EnvelopeError(f"{path}: expected an RSA key")
    return key
