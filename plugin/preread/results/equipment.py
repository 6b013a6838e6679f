"""Which model, which version, trained on what: the entries of Contributing Equipment Sequence.

PS3.3 C.12.1, SOP Common Module: each entry names a piece of equipment that had a part in the
instance and what its part was. There is one for each model. The private block says what they
found; these say, where any viewer can show it, what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preread import __version__
from preread.results.encoding import Characters, code, element, item
from preread.results.splice import find, items

if TYPE_CHECKING:
    from datetime import datetime

    from preread.elements import Element
    from preread.findings.prediction import Prediction

MANUFACTURER: Final = "Preread"
INTENDED_USE: Final = "Research decision support, not a diagnosis."
# CID 7005. Other rooms may enter themselves with another purpose: de-identifying is 109104.
PROCESSING_EQUIPMENT: Final = ("109102", "DCM", "Processing Equipment")

_PURPOSE: Final = code(0x0040A170, *PROCESSING_EQUIPMENT)
_LONG_STRING: Final = 64
_SHORT_TEXT: Final = 1024


def equipment_item(prediction: Prediction, characters: Characters) -> bytes:
    """Encode the entry for one model.

    Parameters
    ----------
    prediction
        What the model said; its name, version, data set, weights and date are taken from it.
    characters
        What the data set can hold.

    Returns
    -------
    bytes
        An item of (0018,A001) in Explicit VR Little Endian.
    """
    dataset = characters.representable(prediction.dataset)[: _SHORT_TEXT // 2]
    backbone = prediction.backbone_sha256
    did, by = "Classification of the image", f"; computed by {prediction.engine}"
    if prediction.withheld:
        did, by = f"No class given to the image ({prediction.withheld})", ""
    elif prediction.warning:
        did += f" ({prediction.warning})"
    description = (
        f"{did} by a neural network trained on {dataset}; weights sha256:"
        f"{prediction.weights_sha256}{f' on backbone sha256:{backbone}' if backbone else ''}"
        f"{by}. {INTENDED_USE}"
    )
    versions = f"{MANUFACTURER} {__version__}", f"{prediction.model} {prediction.version}"
    software = [characters.encode(text, _LONG_STRING) for text in versions]
    return item(
        (
            element(0x00080070, "LO", MANUFACTURER.encode("ascii")),
            element(0x00081090, "LO", characters.encode(prediction.model, _LONG_STRING)),
            element(0x00181020, "LO", b"\\".join(software)),
            element(0x0018A002, "DT", date_time(prediction.date).encode("ascii")),
            element(0x0018A003, "ST", characters.encode(description, _SHORT_TEXT)),
            _PURPOSE,
        )
    )


def is_ours(entry: memoryview) -> bool:
    """Tell whether the content of an item of (0018,A001) was written by `equipment_item`."""
    manufacturer = find(entry, 0, len(entry), 0x00080070)
    purpose = find(entry, 0, len(entry), 0x0040A170)
    if manufacturer is None or purpose is None:
        return False
    if _text(entry, manufacturer) != MANUFACTURER:
        return False
    concepts = [find(entry, start, end, 0x00080100) for _, start, end in items(entry, purpose)]
    codes = [_text(entry, value) for value in concepts if value is not None]
    return codes == [PROCESSING_EQUIPMENT[0]]


def _text(source: memoryview, place: Element) -> str:
    return bytes(source[place.value : place.value_end]).decode("ascii", "replace").strip(" \0")


def date_time(date: datetime) -> str:
    """Write a date as VR DT, with its offset from UTC.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> date_time(datetime(2026, 11, 21, 9, 23, 52, 123000, tzinfo=UTC))
    '20261121092352.123000+0000'
    """
    return f"{date:%Y%m%d%H%M%S}.{date.microsecond:06d}{date:%z}"[:26]
