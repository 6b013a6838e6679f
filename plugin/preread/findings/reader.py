"""What a reader is: it looks at the pixels of a subject and returns findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from preread.findings.findings import Findings
    from preread.imaging.frame import Frame
    from preread.imaging.plane import ImagePlane


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides whether a subject is for a reader. Holds nothing of a patient.

    Attributes
    ----------
    Modality, SOPClassUID
        Of most of its images; empty when absent.
    body_parts
        SNOMED CT codes that were known when it arrived.
    images
        How many it has.
    """

    Modality: str
    SOPClassUID: str
    body_parts: tuple[str, ...]
    images: int


class Placed(NamedTuple):
    """A frame, and where it lies.

    Attributes
    ----------
    frame
        Its pixels, with what their values mean.
    plane
        In the patient; None where the image has no place there.
    pixel_area
        Square millimetres; None where it is not known.
    """

    frame: Frame
    plane: ImagePlane | None
    pixel_area: float | None


class Reader(Protocol):
    """Looks at a subject: a series, or one image of it."""

    def obstacle(self, facts: Facts, /) -> str:
        """Say why a subject is not for this reader; empty if it is.

        It is asked before any pixel is decoded.
        """
        ...

    def read(self, frames: Iterable[Placed], /) -> Findings:
        """Look at the frames of a subject, image after image as they arrived.

        Parameters
        ----------
        frames
            Each is decoded when it is reached, and only once: no more than a few need be in memory.
            Where a frame lies behind which, its plane tells; the order of arrival does not.
            `Outline.frame` and `Map.frame` count them as they come.

        Raises
        ------
        preread.errors.PrereadError
            If it cannot look at them.
        """
        ...
