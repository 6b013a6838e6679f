"""Which images can bear regions: they can be referred to, and have a place in the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preread.imaging.errors import NoImagePlaneError
from preread.imaging.plane import ImagePlane, frames_of
from preread.results.structure_set.errors import UnwritableStructureSetError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UIDS: Final = {
    "SOPClassUID": "(0008,0016)",
    "SOPInstanceUID": "(0008,0018)",
    "StudyInstanceUID": "(0020,000D)",
    "SeriesInstanceUID": "(0020,000E)",
}


def check_reference(image: Dataset) -> None:
    """Refuse an image to which nothing can refer.

    Raises
    ------
    UnwritableStructureSetError
        Naming the attribute that is missing or cannot be used.
    """
    for keyword, tag in _UIDS.items():
        if not str(image.get(keyword) or ""):
            raise UnwritableStructureSetError(
                f"{keyword} {tag} is missing: nothing can refer to it"
            )
    try:
        frames_of(image)
    except (TypeError, ValueError):
        raise UnwritableStructureSetError(
            "NumberOfFrames (0028,0008): expected a whole number"
        ) from None


def check_place(image: Dataset) -> None:
    """Refuse an image without a place in the patient (PS3.3 C.7.4.1 and C.7.6.2), for all frames.

    Raises
    ------
    NoImagePlaneError
        Naming the attribute that is missing or cannot be used.
    """
    frame_of(image)
    for frame in range(frames_of(image)):
        ImagePlane.of(image, frame)


def frame_of(image: Dataset) -> str:
    """Return an image's FrameOfReferenceUID.

    Raises
    ------
    NoImagePlaneError
        If it has none.
    """
    frame = str(image.get("FrameOfReferenceUID") or "")
    if not frame:
        raise NoImagePlaneError(
            "FrameOfReferenceUID (0020,0052) is missing: the image has no place in the patient"
        )
    return frame
