"""Writing predictions into an instance, in place or as a derived one.

Both work on the bytes of the file. The result is in Explicit VR Little Endian, or in the source's
own transfer syntax where its pixel data is encapsulated: only then do viewers get the values of
private elements over WADO-RS. Pixel data, foreign private groups and everything else that is not
named here stay as they are. What an earlier run wrote is taken out first, so running again
replaces; with the same predictions the result has the same bytes.

FileSize in the block is the size of the image's file without what Preread adds to it. That is what
was fetched, but for a source that had to be converted, whose size is that of the converted file:
it is the same in every run, while the size of what is fetched is not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydicom.uid import (
    EnhancedCTImageStorage,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    EnhancedUSVolumeStorage,
    EnhancedXAImageStorage,
    EnhancedXRFImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
)

from preread.results.block import (
    FIRST_BLOCK,
    FIRST_GROUP,
    LAST_BLOCK,
    PRIVATE_CREATOR,
    block_elements,
    private_block,
)
from preread.results.encoding import code, coded, element, item, sequence
from preread.results.equipment import INTENDED_USE, equipment_item, is_ours
from preread.results.splice import Layout, UnwritableInstanceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.findings.prediction import Prediction

_IMAGE_TYPE: Final = 0x00080008
_INSTANCE_CREATION_DATE: Final = 0x00080012
_INSTANCE_CREATION_TIME: Final = 0x00080013
_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
_SERIES_DATE: Final = 0x00080021
_SERIES_TIME: Final = 0x00080031
_REFERENCED_SERIES_SEQUENCE: Final = 0x00081115
_SERIES_DESCRIPTION: Final = 0x0008103E
_DERIVATION_DESCRIPTION: Final = 0x00082111
_SOURCE_IMAGE_SEQUENCE: Final = 0x00082112
_DERIVATION_CODE_SEQUENCE: Final = 0x00089215
_CONTRIBUTING_EQUIPMENT_SEQUENCE: Final = 0x0018A001
_SERIES_INSTANCE_UID: Final = 0x0020000E
_SERIES_NUMBER: Final = 0x00200011
_LONGEST_IMAGE_TYPE: Final = 1024  # bytes; a value of CS has 16
_FUNCTIONAL_GROUPS_SEQUENCES: Final = (0x52009229, 0x52009230)  # shared, per frame
_ENHANCED: Final = frozenset(
    (
        EnhancedCTImageStorage,
        EnhancedMRImageStorage,
        EnhancedMRColorImageStorage,
        EnhancedPETImageStorage,
        EnhancedUSVolumeStorage,
        EnhancedXAImageStorage,
        EnhancedXRFImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
        LegacyConvertedEnhancedMRImageStorage,
        LegacyConvertedEnhancedPETImageStorage,
    )
)

_UID: Final = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*", flags=re.ASCII)
_SERIES_NUMBER_OFFSET: Final = 9000
_LARGEST_NUMBER: Final = 2**31 - 1
# CID 7202; CID 7203 has no code for a derivation that leaves the pixel data alone.
_SOURCE_IMAGE: Final = ("121322", "DCM", "Source image for image processing operation")
_DERIVATION: Final = ("PREDICTED", "99PREREAD", "Predictions added, pixel data unchanged")

Edits = dict[int, bytes | None]


def with_predictions(data: bytes, predictions: Sequence[Prediction]) -> bytes:
    """Write predictions into an image: same SOP Instance, the private block replaced.

    The block goes to the first of the groups 0055, 0057, 0059, ... in which nobody else has an
    element. Contributing Equipment Sequence says which models they are; what others entered there
    stays.

    Parameters
    ----------
    data
        A DICOM file.
    predictions
        One for each model, in the order in which they are to be shown. With none, what an earlier
        run wrote is taken out.

    Returns
    -------
    bytes
        The file with the predictions.

    Raises
    ------
    UnwritableInstanceError
        If an attribute that is needed is missing or no private group is free.
    preread.results.block.UnwritablePredictionError
        If a prediction does not fit into private elements.
    preread.elements.MalformedFile
        If the file cannot be walked through.
    """
    layout = Layout.of(data)
    edits, lines = _results(layout, predictions)
    return layout.join({**edits, **lines})


def derived_instance(
    data: bytes,
    predictions: Sequence[Prediction],
    *,
    SeriesInstanceUID: str,  # noqa: N803 - the attribute's own name
    SOPInstanceUID: str,  # noqa: N803 - the attribute's own name
) -> bytes:
    """Make a derived image in a new series that carries the predictions; the source stays.

    It says that it is derived and from what (PS3.3 C.7.6.1.1.2, C.12.2, C.12.4): Image Type (but
    see below), Source Image and Referenced Series Sequence, Derivation Description and Code
    Sequence. The Image Type of an enhanced multi-frame image sums up its frames' types, which stay
    as they are, and so does it. Of the series, description and number are
    new; date and time are left out, since the instances of a series must agree on them. The
    private block names the file that was read, which is the source.

    Parameters
    ----------
    data
        The source, a DICOM file.
    predictions
        One for each model, in the order in which they are to be shown.
    SeriesInstanceUID
        Of the new series; the same for all instances of one source series.
    SOPInstanceUID
        Of the new instance.

    Returns
    -------
    bytes
        The file of the derived image.

    Raises
    ------
    UnwritableInstanceError
        If there is no prediction, a UID is not one or is that of the source, an attribute that is
        needed is missing, or no private group is free.
    preread.results.block.UnwritablePredictionError
        If a prediction does not fit into private elements.
    preread.elements.MalformedFile
        If the file cannot be walked through.
    """
    if not predictions:
        raise UnwritableInstanceError("derived image: expected one prediction or more")
    layout = Layout.of(data)
    uids = {_SERIES_INSTANCE_UID: SeriesInstanceUID, _SOP_INSTANCE_UID: SOPInstanceUID}
    for tag, uid in uids.items():
        if not _UID.fullmatch(uid) or uid == layout.text(tag):
            raise UnwritableInstanceError(
                f"({tag >> 16:04X},{tag & 0xFFFF:04X}) of the derived image: expected a UID other "
                "than the source's"
            )
    edits, lines = _results(layout, predictions)
    edits |= _derivation(layout, predictions)
    edits |= {tag: element(tag, "UI", uid.encode()) for tag, uid in uids.items()}
    return layout.join({**edits, **lines}, SOPInstanceUID=SOPInstanceUID)


def _results(layout: Layout, predictions: Sequence[Prediction]) -> tuple[Edits, Edits]:
    """Give the edits that take an earlier run's results out, and those that put these in."""
    removed = _without_block(layout)
    group = _free_group(layout, removed)
    # The lengths of these groups will not be right any more; they are retired since 2001.
    removed |= {group << 16: None, 0x00180000: None}
    removed[_CONTRIBUTING_EQUIPMENT_SEQUENCE] = _equipment(layout, ())
    if not predictions:
        return removed, {}
    lines = private_block(
        predictions,
        SOPInstanceUID=layout.uid(_SOP_INSTANCE_UID),
        # Without what an earlier run added, so that running again says the same.
        file_size=sum(map(len, layout.pieces(removed))),
        characters=layout.characters,
    )
    added: Edits = dict(block_elements(lines, group, layout.characters))
    added[_CONTRIBUTING_EQUIPMENT_SEQUENCE] = _equipment(layout, predictions)
    return removed, added


def _without_block(layout: Layout) -> Edits:
    """Take out every block that ``UACJ_VISOR`` reserves, in whatever group."""
    reserved = {
        place.tag
        for place in layout.places
        if place.tag >> 16 & 1
        and FIRST_BLOCK <= place.tag & 0xFFFF <= LAST_BLOCK
        and place.value_end - place.value <= 2 * len(PRIVATE_CREATOR)  # spaces allowed for
        and layout.text(place.tag) == PRIVATE_CREATOR
    }
    blocks = {(tag & 0xFFFF0000) | (tag & 0xFF) << 8 for tag in reserved}
    return {
        place.tag: None
        for place in layout.places
        if place.tag in reserved or place.tag & 0xFFFFFF00 in blocks
    }


def _free_group(layout: Layout, removed: Edits) -> int:
    """Find the first private group, from 0055 on, in which nobody else has an element."""
    used = {
        place.tag >> 16
        for place in layout.places
        if place.tag not in removed and place.tag & 0xFFFF  # a group length alone is nobody's
    }
    for group in range(FIRST_GROUP, 0xFFFF, 2):
        if group not in used:
            return group
    raise UnwritableInstanceError(
        f"({FIRST_GROUP:04X},0010): expected a private group from {FIRST_GROUP:04X} on that nobody "
        "else uses; remove private elements that are not needed"
    )


def _equipment(layout: Layout, predictions: Sequence[Prediction]) -> bytes | None:
    """Give the sequence with the entries of others, then one for each model; None if empty."""
    others = [
        item([entry])
        for entry in layout.items(_CONTRIBUTING_EQUIPMENT_SEQUENCE)
        if not is_ours(entry)
    ]
    ours = [equipment_item(prediction, layout.characters) for prediction in predictions]
    if not others and not ours:
        return None
    return sequence(_CONTRIBUTING_EQUIPMENT_SEQUENCE, [*others, *ours])


def _derivation(layout: Layout, predictions: Sequence[Prediction]) -> Edits:
    """Say that the image is derived, how, when and from what."""
    moment = max(prediction.date for prediction in predictions)
    models = ", ".join(f"{each.model} {each.version}" for each in predictions)
    description = f"Pixel data unchanged, predictions added. {INTENDED_USE} Models: {models}"
    reference = (
        element(0x00081150, "UI", layout.uid(_SOP_CLASS_UID).encode()),
        element(0x00081155, "UI", layout.uid(_SOP_INSTANCE_UID).encode()),
    )
    source = item((*reference, element(0x0028135A, "CS", b"YES"), code(0x0040A170, *_SOURCE_IMAGE)))
    series = item(
        (
            sequence(0x0008114A, [item(reference)]),
            element(_SERIES_INSTANCE_UID, "UI", layout.uid(_SERIES_INSTANCE_UID).encode()),
        )
    )
    longer = {
        _REFERENCED_SERIES_SEQUENCE: series,
        _DERIVATION_CODE_SEQUENCE: coded(*_DERIVATION),
    }
    texts = {
        _IMAGE_TYPE: ("CS", _image_type(layout)),
        _INSTANCE_CREATION_DATE: ("DA", f"{moment:%Y%m%d}".encode()),
        _INSTANCE_CREATION_TIME: ("TM", f"{moment:%H%M%S.%f}".encode()),
        _SERIES_DESCRIPTION: ("LO", b"Preread predictions (research, not a diagnosis)"),
        _DERIVATION_DESCRIPTION: ("ST", layout.characters.encode(description, 1024)),
        _SERIES_NUMBER: ("IS", str(_series_number(layout)).encode()),
    }
    edits: Edits = {tag: element(tag, vr, value) for tag, (vr, value) in texts.items()}
    edits[_SOURCE_IMAGE_SEQUENCE] = sequence(_SOURCE_IMAGE_SEQUENCE, [source])
    for tag, last in longer.items():
        edits[tag] = sequence(tag, [*(item([content]) for content in layout.items(tag)), last])
    edits |= dict.fromkeys((0x00080000, 0x00200000, _SERIES_DATE, _SERIES_TIME))
    return edits


def _image_type(layout: Layout) -> bytes:
    """Make value 1 DERIVED, but leave that of an enhanced multi-frame image as it is.

    There it sums up the frames' own types (PS3.3 C.8.16.1), and which attributes a frame has to
    have hangs on it. The frames are the source's, unchanged.
    """
    value = layout.value(_IMAGE_TYPE).rstrip(b" ")
    is_enhanced = layout.text(_SOP_CLASS_UID) in _ENHANCED or any(
        tag in layout for tag in _FUNCTIONAL_GROUPS_SEQUENCES
    )
    if len(value) > _LONGEST_IMAGE_TYPE:
        value = b""
    if value and is_enhanced:
        return value
    _, *others = value.split(b"\\")
    return b"\\".join([b"DERIVED", *(others or [b"SECONDARY"])])


def _series_number(layout: Layout) -> int:
    """Derive the new series' number from its source's: 3 becomes 9003."""
    try:
        number = int(layout.text(_SERIES_NUMBER) or "0")
    except ValueError:
        number = 0
    fits = 0 <= number <= _LARGEST_NUMBER - _SERIES_NUMBER_OFFSET
    return _SERIES_NUMBER_OFFSET + (number if fits else 0)
