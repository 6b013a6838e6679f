"""A network as a DICOM object: what it holds, refused where it is invalid."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn

from preread.iodeep.document import document_text, parse_document, rows_and_columns
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.layouts import Layout
from preread.iodeep.weights import HashOfFile, PathOfFile, Safetensors, TorchSaved, Weights

if TYPE_CHECKING:
    import datetime as dt
    from typing import Any

RAW_DATA_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66"
LONGEST_NAME: Final = 64
LONGEST_DESCRIPTION: Final = 1024
"""Characters; an ST."""

CHANNELS: Final = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_PARTIAL_420": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""SamplesPerPixel of each PhotometricInterpretation (PS3.3 C.7.6.3.1.2)."""

_UID: Final = re.compile(r"(?=.{3,64}\Z)(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", flags=re.ASCII)
_FURTHEST: Final = 1e9
_CODE_STRING: Final = re.compile(r"[A-Z0-9_][A-Z0-9_ ]{0,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IODeep:
    """A trained network and the images that it is for.

    Attributes
    ----------
    DnnUID
        What the network is known by. Study and series have the same one where we write it.
    DnnName
        What people call it, up to 64 characters.
    DnnArchitecture
        The layers as JSON, in the article's format; or, read from a prototype's file, what
        torch.save wrote, which `preread.iodeep.opening.opened` turns into JSON in the runner.
    DnnWeights
        Where the weights are, or the weights.
    Modality, BodyPartExamined, SamplesPerPixel, PhotometricInterpretation
        Of the images that it is for.
    Rows, Columns
        Of its input, in pixels, as its architecture says.
    WindowCenter, WindowWidth
        What of the modality's values, HU in CT, its input shows from 0 to 1, by the linear function
        of PS3.3 C.11.2.1.2.1; None if each image is shown to it as it asks to be itself.
    Description
        What it was trained on and how well it does, up to 1024 characters.
    created
        When the object was made, in the clock of who made it; None if it does not say.
    SOPInstanceUID
        Of the object; by default one that follows from DnnUID.
    layout
        That of the file that it was read from. `encode` always writes ours.

    Raises
    ------
    InvalidIODeepError
        Naming the first attribute that is invalid.
    """

    DnnUID: str
    DnnName: str
    DnnArchitecture: str | TorchSaved
    DnnWeights: Weights
    Modality: str
    BodyPartExamined: str
    SamplesPerPixel: int
    PhotometricInterpretation: str
    Rows: int
    Columns: int
    WindowCenter: float | None = None
    WindowWidth: float | None = None
    Description: str = ""
    created: dt.datetime | None = None
    SOPInstanceUID: str = ""
    layout: Layout = Layout.IODEEP

    def __post_init__(self) -> None:
        if not self.SOPInstanceUID:
            derived = uuid.uuid5(uuid.NAMESPACE_OID, self.DnnUID)
            object.__setattr__(self, "SOPInstanceUID", f"2.25.{derived.int}")
        if self.created is not None and self.created.tzinfo is not None:
            raise ValueError("created: expected a time without time zone, as TM has none")
        for attribute in ("DnnUID", "SOPInstanceUID"):
            if not _UID.fullmatch(getattr(self, attribute)):
                _refuse(attribute, "expected a UID: numbers with dots, at most 64 characters")
        _check_text("DnnName", self.DnnName, LONGEST_NAME)
        if not self.DnnName:
            _refuse("DnnName", "expected a name")
        _check_text("Description", self.Description, LONGEST_DESCRIPTION)
        for attribute in ("Modality", "BodyPartExamined"):
            if not _CODE_STRING.fullmatch(getattr(self, attribute)):
                _refuse(
                    attribute,
                    "expected 1 to 16 capital letters, digits, spaces and underscores, such as "
                    f"{'CT' if attribute == 'Modality' else 'CHEST'}",
                )
        self._check_image()
        self._check_contents()

    @property
    def document(self) -> dict[str, Any]:
        """The architecture, as `json.loads` gives it.

        Raises
        ------
        InvalidIODeepError
            If it was written by torch.save, which is read in the runner alone.
        """
        if isinstance(self.DnnArchitecture, TorchSaved):
            _refuse("DnnArchitecture", "written by torch.save; it is read in the runner")
        return parse_document(self.DnnArchitecture)

    def with_contents(self, document: dict[str, Any], weights: Weights) -> IODeep:
        """Return the same network with another form of its contents, as an object of our own."""
        size = rows_and_columns(document) or (self.Rows, self.Columns)
        return replace(
            self,
            SOPInstanceUID="",
            layout=Layout.IODEEP,
            DnnArchitecture=document_text(document),
            DnnWeights=weights,
            Rows=size[0],
            Columns=size[1],
        )

    def _check_image(self) -> None:
        channels = CHANNELS.get(self.PhotometricInterpretation)
        if channels is None:
            _refuse("PhotometricInterpretation", f"expected one of {', '.join(CHANNELS)}")
        if self.SamplesPerPixel not in (1, 3):
            _refuse("SamplesPerPixel", "expected 1 or 3")
        if self.SamplesPerPixel != channels:
            _refuse(
                "SamplesPerPixel",
                f"expected {channels}, since PhotometricInterpretation is "
                f"{self.PhotometricInterpretation}",
            )
        for attribute in ("Rows", "Columns"):
            if not 1 <= getattr(self, attribute) <= 0xFFFF:
                _refuse(attribute, "expected 1 to 65535 pixels")
        self._check_window()

    def _check_window(self) -> None:
        center, width = self.WindowCenter, self.WindowWidth
        if (center is None) != (width is None):
            missing = "WindowCenter" if center is None else "WindowWidth"
            _refuse(missing, "expected WindowCenter and WindowWidth, or neither")
        if center is not None and not abs(center) <= _FURTHEST:
            _refuse("WindowCenter", f"expected a number from -{_FURTHEST:g} to {_FURTHEST:g}")
        if width is not None and not 1 <= width <= _FURTHEST:
            _refuse("WindowWidth", f"expected a number from 1 to {_FURTHEST:g}")

    def _check_contents(self) -> None:
        if not isinstance(self.DnnWeights, HashOfFile | PathOfFile | Safetensors | TorchSaved):
            _refuse("DnnWeights", "expected one of the kinds of preread.iodeep.weights")
        if isinstance(self.DnnArchitecture, TorchSaved):
            return
        document = parse_document(self.DnnArchitecture)
        object.__setattr__(self, "DnnArchitecture", document_text(document))
        size = rows_and_columns(document)
        if size is not None and size != (self.Rows, self.Columns):
            wrong = "Rows" if size[0] != self.Rows else "Columns"
            _refuse(
                wrong,
                f"expected {size[0] if wrong == 'Rows' else size[1]}, as input_shape of "
                "DnnArchitecture says",
            )


def _check_text(attribute: str, text: str, longest: int) -> None:
    if len(text) > longest or "\\" in text or not text.isprintable() or text != text.strip():
        _refuse(
            attribute,
            f"expected up to {longest} printable characters without a backslash or outer spaces",
        )


def _refuse(attribute: str, reason: str) -> NoReturn:
    raise InvalidIODeepError(attribute, reason)
