"""The way back: the original's attributes out of the Encrypted Attributes Sequence.

PS3.15 section E.1.2. Works on bytes, outside the receive hook: values come back with the bytes that
they had, and what is not named here, pixel data and results among it, stays as it is. What comes of
it is in Explicit VR Little Endian, or in its own transfer syntax where its pixel data is
encapsulated.

Pixels that were cleaned and faces that were removed do not come back. BurnedInAnnotation
(0028,0301) and RecognizableVisualFeatures (0028,0302) are left alone unless they were sealed, as
they tell what the pixels are now. The names of files in a private block of results stay those that
were read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from preread.deidentify.encrypted_attributes import (
    ALWAYS_SEALED,
    ENCRYPTED_ATTRIBUTES_SEQUENCE,
    ENCRYPTED_CONTENT,
    ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID,
    MODIFIED_ATTRIBUTES_SEQUENCE,
)
from preread.deidentify.envelope import Holder
from preread.deidentify.errors import EnvelopeError, NotForThisKeyError
from preread.deidentify.kept_results import Edits, value_of, with_results
from preread.elements import (
    Encoding,
    MalformedFile,
    encode_element,
    encoding_of,
    explicit_little_endian,
    items,
    read_file_meta,
    scan,
)
from preread.errors import PrereadError
from preread.results.splice import Layout, UnwritableInstanceError

_log = structlog.get_logger(__name__)

_EXPLICIT: Final = Encoding(implicit=False, little=True)
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_SOP_INSTANCE_UID: Final = 0x00080018
_DECIDE_VRS: Final = (0x00280100, 0x00280103)  # BitsAllocated, PixelRepresentation
_FIRST_GROUP: Final = 0x0004
"""Below it are command and file meta elements, which have no place in a data set."""


class ReidentifyError(PrereadError):
    """A file cannot be brought back to what it was; the message says why."""


def reidentify(data: bytes, certificate: Path, key: Path, password: str | None = None) -> bytes:
    """Bring back the original's attributes; for many files, load a `Holder` once and use `restore`.

    Parameters
    ----------
    data
        A de-identified file, results added or not.
    certificate, key, password
        As `Holder.load` takes them.

    Raises
    ------
    EnvelopeError
        If certificate or key cannot be used.
    ReidentifyError
        As `restore` does.
    """
    return restore(data, Holder.load(certificate, key, password))


def restore(data: bytes, holder: Holder) -> bytes:
    """Bring back the original's attributes.

    What de-identification writes whatever was there (`ALWAYS_SEALED`) goes, and every sealed
    attribute takes its place again. Several items that this key opens add up.

    Parameters
    ----------
    data
        A de-identified file, results added or not.
    holder
        A recipient.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ReidentifyError
        If it carries no encrypted attributes, they are for others or damaged, or the file cannot be
        walked through.
    """
    try:
        layout = Layout.of(data)
        if ENCRYPTED_ATTRIBUTES_SEQUENCE not in layout:
            raise ReidentifyError(
                "nothing to go back to: the file carries no EncryptedAttributesSequence (0400,0500)"
            )
        originals = _originals(layout, holder)
        edits: Edits = dict.fromkeys(ALWAYS_SEALED)
        edits |= with_results(layout, originals)
        # The lengths of changed groups no longer hold; they are retired.
        edits |= dict.fromkeys(tag & 0xFFFF0000 for tag in tuple(edits))
        instance = edits.get(_SOP_INSTANCE_UID)
        uid = value_of(instance).decode("latin-1") if instance else ""
        return layout.join(edits, SOPInstanceUID=uid)
    except (MalformedFile, UnwritableInstanceError) as error:
        raise ReidentifyError(str(error)) from None


def _originals(layout: Layout, holder: Holder) -> dict[int, bytes]:
    """Open every item that is for this key; of an attribute in two of them the first counts."""
    found: dict[int, bytes] = {}
    reason = "not for this key: no item of EncryptedAttributesSequence names its certificate"
    opened = False
    for entry in layout.items(ENCRYPTED_ATTRIBUTES_SEQUENCE):
        try:
            syntax, sealed = _parts(entry)
            found = {**_elements(holder.open(sealed), syntax, layout), **found}
            opened = True
        except NotForThisKeyError:
            continue
        except (EnvelopeError, MalformedFile) as error:
            words = "the encrypted attributes are damaged"
            reason = str(error) if isinstance(error, EnvelopeError) else words
            _log.warning("reidentify.item-not-opened")
    if not opened:
        raise ReidentifyError(reason)
    return found


def _parts(entry: memoryview) -> tuple[str, bytes]:
    """Return transfer syntax and content of an item of the sequence."""
    values = {
        place.tag: bytes(entry[place.value : place.value_end])
        for place in scan(entry, 0, len(entry), _EXPLICIT)
    }
    syntax = values.get(ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID, b"").strip(b" \0")
    sealed = values.get(ENCRYPTED_CONTENT, b"")
    if not syntax or not sealed:
        raise EnvelopeError(
            "an item of EncryptedAttributesSequence lacks its transfer syntax or its content"
        )
    return syntax.decode("latin-1"), sealed


def _elements(content: bytes, syntax: str, layout: Layout) -> dict[int, bytes]:
    """Return the sealed elements by tag, in Explicit VR Little Endian."""
    parts = [
        bytes(128),
        b"DICM",
        encode_element(_TRANSFER_SYNTAX_UID, b"UI", syntax.encode("latin-1"), _EXPLICIT),
        content,
    ]
    encoding = encoding_of(syntax)
    if encoding.implicit:
        # What decides between US and SS, OB and OW stands in the file, as it is no secret.
        parts += [
            encode_element(tag, b"US", layout.value(tag), encoding)
            for tag in _DECIDE_VRS
            if tag in layout
        ]
    source = memoryview(explicit_little_endian(b"".join(parts)))
    start = read_file_meta(source).dataset_start
    found = {place.tag: place for place in scan(source, start, len(source), _EXPLICIT)}
    modified = found.get(MODIFIED_ATTRIBUTES_SEQUENCE)
    if modified is None:
        raise EnvelopeError("the encrypted content holds no ModifiedAttributesSequence (0400,0550)")
    return {
        place.tag: bytes(source[place.start : place.end])
        for _, first, last in items(source, modified.value, modified.value_end, _EXPLICIT)
        for place in scan(source, first, last, _EXPLICIT)
        if place.tag & 0xFFFF and place.tag >> 16 > _FIRST_GROUP
    }
