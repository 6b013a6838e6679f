"""The sequences that hold original attributes: what is sealed, and what the sealed lies in.

PS3.3 section C.12.1.1.4: an item of Encrypted Attributes Sequence (0400,0500) holds the envelope;
what is in it is a data set with one Modified Attributes Sequence (0400,0550).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import islice
from typing import Final

from preread.deidentify.errors import EnvelopeError
from preread.elements import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    Element,
    Encoding,
    MalformedFile,
    encode_element,
    encode_header,
    items,
    read_element,
    scan,
)

ENCRYPTED_ATTRIBUTES_SEQUENCE: Final = 0x04000500
ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID: Final = 0x04000510
ENCRYPTED_CONTENT: Final = 0x04000520
MODIFIED_ATTRIBUTES_SEQUENCE: Final = 0x04000550

_MOST_ENVELOPES: Final = 100

ALWAYS_SEALED: Final = frozenset(
    (
        0x00100010,  # PatientName
        0x00100020,  # PatientID
        0x00120062,  # PatientIdentityRemoved
        0x00120063,  # DeidentificationMethod
        0x00120064,  # DeidentificationMethodCodeSequence
        0x00280303,  # LongitudinalTemporalInformationModified
        ENCRYPTED_ATTRIBUTES_SEQUENCE,
    )
)
"""Attributes that de-identification writes whether they were there or not.

They are sealed wherever the original has them, changed or not: on the way back, what is not among
the sealed attributes was not there.
"""

_ENVELOPED_DATA: Final = bytes.fromhex("06092a864886f70d010703")  # its OBJECT IDENTIFIER in DER
_SYNTAXES: Final = frozenset((IMPLICIT, EXPLICIT, BIG_ENDIAN))
_LARGEST_SEQUENCE: Final = 2**32 - 2


def modified_attributes(elements: Iterable[bytes | memoryview], encoding: Encoding) -> bytes:
    """Write what is sealed: a data set with a Modified Attributes Sequence of one item.

    Parameters
    ----------
    elements
        Whole elements of the original's top level as they lie in the source; of one that is given
        twice the first counts.
    encoding
        How these are written; a deflated source's are as they were before it was deflated.

    Returns
    -------
    bytes
        Written in the same way. `content_transfer_syntax` has its name.

    Raises
    ------
    EnvelopeError
        If it is too long for a sequence, which ends at 4 GiB.

    >>> modified_attributes([], Encoding(implicit=True, little=True)).hex(" ", 4)
    '00045005 08000000 feff00e0 00000000'
    """
    tags = struct.Struct(encoding.order + "HH").unpack_from
    by_tag: dict[tuple[int, ...], bytes | memoryview] = {}
    for element in elements:
        by_tag.setdefault(tags(element), element)
    length = sum(map(len, by_tag.values()))
    if length + 8 > _LARGEST_SEQUENCE:
        raise EnvelopeError("the original attributes are too long to be encrypted: over 4 GiB")
    return b"".join(
        (
            encode_header(MODIFIED_ATTRIBUTES_SEQUENCE, b"SQ", length + 8, encoding),
            struct.pack(encoding.order + "HHI", 0xFFFE, 0xE000, length),
            *(by_tag[tag] for tag in sorted(by_tag)),
        )
    )


def content_transfer_syntax(encoding: Encoding) -> str:
    """Return the transfer syntax of what `modified_attributes` writes.

    >>> content_transfer_syntax(Encoding(implicit=False, little=True))
    '1.2.840.10008.1.2.1'
    """
    if encoding.implicit:
        return IMPLICIT
    return EXPLICIT if encoding.little else BIG_ENDIAN


def attributes_item(sealed: bytes, transfer_syntax: str, encoding: Encoding) -> bytes:
    """Write the content of an item of Encrypted Attributes Sequence (0400,0500).

    Parameters
    ----------
    sealed
        As `Recipients.seal` returns it.
    transfer_syntax
        Of what is in it: `content_transfer_syntax`.
    encoding
        Of the data set that the item goes into.

    Returns
    -------
    bytes
        EncryptedContentTransferSyntaxUID (0400,0510) and EncryptedContent (0400,0520), without the
        item's own tag and length.
    """
    syntax = transfer_syntax.encode("ascii")
    return encode_element(
        ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID, b"UI", syntax, encoding
    ) + encode_element(ENCRYPTED_CONTENT, b"OB", sealed, encoding)


def envelopes(element: bytes, encoding: Encoding) -> list[bytes] | None:
    """Return the Encrypted Contents in an Encrypted Attributes Sequence, padding included.

    Parameters
    ----------
    element
        The whole element.
    encoding
        How it is written.

    Returns
    -------
    list of bytes or None
        None if there is anything but envelopes in it.
    """
    try:
        sequence = read_element(element, 0, len(element), encoding)
        within = items(element, sequence.value, sequence.value_end, encoding)
        found = [
            _envelope(element, list(islice(scan(element, start, end, encoding), 3)))
            for _, start, end in islice(within, _MOST_ENVELOPES + 1)
        ]
    except MalformedFile:
        return None
    contents = [content for content in found if content]
    return contents if len(contents) == len(found) <= _MOST_ENVELOPES else None


def _envelope(data: bytes, elements: list[Element]) -> bytes:
    """Return the content of an item, empty if it is no envelope."""
    if [element.tag for element in elements] != [
        ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID,
        ENCRYPTED_CONTENT,
    ]:
        return b""
    syntax, content = (data[element.value : element.value_end] for element in elements)
    is_one = _ENVELOPED_DATA in content[:20]
    return content if is_one and syntax.rstrip(b"\0").decode("latin-1") in _SYNTAXES else b""
