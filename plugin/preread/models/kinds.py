"""The kind of image that a model was made for, and why it gives another kind no class."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from preread.imaging.frame import Units


class InputKind(StrEnum):
    """What a model was trained on and measured on."""

    PICTURES = "pictures"
    """Brightness: PNG and JPEG, Secondary Captures, images of 8 bits."""
    HOUNSFIELD = "hounsfield"
    """CT whose values are Hounsfield units."""


_UNITS: Final = {
    InputKind.PICTURES: Units.DISPLAY,
    InputKind.HOUNSFIELD: Units.HOUNSFIELD,
}
_MADE_FOR: Final = {
    InputKind.PICTURES: "made for pictures",
    InputKind.HOUNSFIELD: "made for Hounsfield units",
}
_THESE: Final = {
    Units.HOUNSFIELD: ", not for Hounsfield units",
    Units.DISPLAY: ", not for pictures",
    Units.MODALITY: ", not for such values",
    Units.UNKNOWN: ", not for unknown values",
}


def kind_of(units: Units) -> InputKind | None:
    """Return the kind of image whose values have some units; None where models are for none such.

    Examples
    --------
    >>> kind_of(Units.HOUNSFIELD).value
    'hounsfield'
    """
    return next((kind for kind, wanted in _UNITS.items() if wanted is units), None)


def unfit(made_for: InputKind, units: Units) -> str:
    """Say why a model gives an image no class; empty where the image is of its kind.

    Parameters
    ----------
    made_for
        The model's kind.
    units
        Of the image, as `preread.imaging.meaning` reads them from its attributes.

    Examples
    --------
    >>> unfit(InputKind.PICTURES, Units.HOUNSFIELD)
    'made for pictures, not for Hounsfield units'
    """
    if kind_of(units) is made_for:
        return ""
    return f"{_MADE_FOR[made_for]}{_THESE[units]}"
