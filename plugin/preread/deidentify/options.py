"""The options of PS3.15 Annex E.3, by the names that Table E.1-1's columns have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from preread.deidentify.errors import DeidentificationError


class Option(StrEnum):
    """An option of the Basic Application Level Confidentiality Profile."""

    CLEAN_PIXEL_DATA = "CleanPixelData"
    CLEAN_RECOGNIZABLE_VISUAL_FEATURES = "CleanRecognizableVisualFeatures"
    CLEAN_GRAPHICS = "CleanGraphics"
    CLEAN_STRUCTURED_CONTENT = "CleanStructuredContent"
    CLEAN_DESCRIPTORS = "CleanDescriptors"
    RETAIN_LONGITUDINAL_FULL_DATES = "RetainLongitudinalFullDates"
    RETAIN_LONGITUDINAL_MODIFIED_DATES = "RetainLongitudinalModifiedDates"
    RETAIN_PATIENT_CHARACTERISTICS = "RetainPatientCharacteristics"
    RETAIN_DEVICE_IDENTITY = "RetainDeviceIdentity"
    RETAIN_UIDS = "RetainUIDs"
    RETAIN_SAFE_PRIVATE = "RetainSafePrivate"
    RETAIN_INSTITUTION_IDENTITY = "RetainInstitutionIdentity"

    @property
    def code(self) -> str:
        """The code of PS3.16 CID 7050, in the scheme DCM."""
        return _CODES[self][0]

    @property
    def meaning(self) -> str:
        """What the code means."""
        return _CODES[self][1]


BASIC_PROFILE: Final = ("113100", "Basic Application Confidentiality Profile")
"""Code and meaning of the profile itself (PS3.16 CID 7050)."""

_CODES: Final = {
    Option.CLEAN_PIXEL_DATA: ("113101", "Clean Pixel Data Option"),
    Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES: (
        "113102",
        "Clean Recognizable Visual Features Option",
    ),
    Option.CLEAN_GRAPHICS: ("113103", "Clean Graphics Option"),
    Option.CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.RETAIN_LONGITUDINAL_FULL_DATES: (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    Option.RETAIN_LONGITUDINAL_MODIFIED_DATES: (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    Option.RETAIN_PATIENT_CHARACTERISTICS: (
        "113108",
        "Retain Patient Characteristics Option",
    ),
    Option.RETAIN_DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    Option.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    Option.RETAIN_INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}


LOOKING: Final = frozenset(
    (
        Option.CLEAN_PIXEL_DATA,
        Option.CLEAN_GRAPHICS,
        Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES,
    )
)
"""Those for which pixels may have to be looked at, which is never done within Orthanc."""


def checked(options: Iterable[Option]) -> frozenset[Option]:
    """Return options that can be had together.

    Raises
    ------
    DeidentificationError
        If dates are to be kept and to be modified.

    >>> sorted(checked([Option.RETAIN_UIDS]))
    [<Option.RETAIN_UIDS: 'RetainUIDs'>]
    """
    found = frozenset(options)
    full, modified = (
        Option.RETAIN_LONGITUDINAL_FULL_DATES,
        Option.RETAIN_LONGITUDINAL_MODIFIED_DATES,
    )
    if {full, modified} <= found:
        raise DeidentificationError(
            None, f"the options {full.value} and {modified.value} exclude each other; choose one"
        )
    return found


@dataclass(frozen=True, slots=True)
class DeidentifyOptions:
    """What may be chosen.

    Attributes
    ----------
    dummy_text
        What stands for a text where the table wants a dummy: 1 to 16 printable ASCII characters,
        no backslash, which separates values.
    options
        The options of PS3.15 E.3.
    safe_private
        Further private attributes that are safe; see `SafePrivate`.
    words
        Further words that the Clean Descriptors Option keeps.
    recipients
        Certificates of those who may re-identify; none: nobody can.
    modalities
        Further modalities whose pixels are looked at.
    regions
        A file with further regions that devices write text into.
    max_megabytes
        Decoded size above which the pixels of an image are not looked at; it fails.

    Raises
    ------
    DeidentificationError
        If the text is none of that, or options exclude each other.
    """

    dummy_text: str = "**.**"
    options: frozenset[Option] = frozenset()
    safe_private: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    recipients: tuple[Path, ...] = ()
    modalities: frozenset[str] = frozenset()
    regions: Path | None = None
    max_megabytes: int = 1024

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", self.dummy_text):
            raise DeidentificationError(
                None, "the dummy text: expected 1 to 16 printable ASCII characters, no backslash"
            )
        checked(self.options)
