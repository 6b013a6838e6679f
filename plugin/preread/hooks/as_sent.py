"""Whether Orthanc can answer for an object as it was sent.

Over REST, and for a plugin, Orthanc answers with the ids of the patient, study and series that it
reads from what was sent, not from what the receive hook made of it. When it cannot read them it
answers an error, although the object is stored, or taken in some other way: the answer would be
false. Such an object is refused, so that both agree.
"""

from __future__ import annotations

from typing import Final

import orthanc

from preread.elements import Header, MalformedFile, OverBudget, read_header
from preread.errors import PrereadError
from preread.hooks.cost import ordinary_budget

_LONGEST = 256  # bytes of a value beyond which Orthanc reads none
_LARGEST = 64 << 20  # bytes of a file that is parsed to find out
_MOST_ITEMS = 5_000  # of its sequences
_ITEM: Final = b"\xfe\xff\x00\xe0"
_IDS: Final = {
    0x00100020: "PatientID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00080018: "SOPInstanceUID",
}
_MAY_LACK: Final = 0x00100020
_UNREADABLE = -1


class Unanswerable(PrereadError):
    """Orthanc would answer an error for an object that is stored."""


def check_answerable(data: bytes, header: Header, origin: orthanc.InstanceOrigin) -> None:
    """Refuse what Orthanc would answer an error for, whatever became of it.

    Parameters
    ----------
    data
        The file as it came; its nesting was checked.
    header
        Its header.
    origin
        How it came. To a C-STORE Orthanc answers what was decided. The DICOMweb plugin has parsed
        what it hands on.

    Raises
    ------
    Unanswerable
        With what is wrong in the file.
    """
    if not _is_read_for_the_answer(origin):
        return
    for tag, keyword in _IDS.items():
        length = len(header.view(tag))
        if length > _LONGEST:
            raise Unanswerable(
                f"({tag >> 16:04X},{tag & 0xFFFF:04X}): {keyword} is longer than {_LONGEST} "
                "bytes, and Orthanc would answer an error for it; mend it, or send it by C-STORE"
            )
        if not length and tag != _MAY_LACK:
            raise Unanswerable(f"({tag >> 16:04X},{tag & 0xFFFF:04X}): {keyword} is missing")
    is_parsed = origin == orthanc.InstanceOrigin.PLUGIN
    if not is_parsed and _is_quickly_parsed(data, header) and not _is_readable(data):
        raise Unanswerable(
            "Orthanc's own parser cannot read the file as it was sent (it may have bytes behind "
            "its pixel data, or a sequence that does not end); mend it, or send it by C-STORE"
        )


def is_answerable(data: bytes, origin: orthanc.InstanceOrigin) -> bool:
    """Tell the same of an object whose header may be unreadable; then it may be for Orthanc too."""
    if not _is_read_for_the_answer(origin):
        return True
    try:
        check_answerable(data, read_header(data, ordinary_budget()), origin)
    except (MalformedFile, OverBudget, Unanswerable):
        return False
    return True


def _is_read_for_the_answer(origin: orthanc.InstanceOrigin) -> bool:
    return origin in (orthanc.InstanceOrigin.REST_API, orthanc.InstanceOrigin.PLUGIN)


def _is_quickly_parsed(data: bytes, header: Header) -> bool:
    """Tell whether a file is parsed in milliseconds: here every other sender waits meanwhile."""
    if len(data) > _LARGEST or not isinstance(header.data, bytes):
        return False
    return header.data.count(_ITEM, 0, header.all_elements[-1].start) <= _MOST_ITEMS


def _is_readable(data: bytes) -> bool:
    return orthanc.CreateDicomInstance(data).HasInstancePixelData() != _UNREADABLE
