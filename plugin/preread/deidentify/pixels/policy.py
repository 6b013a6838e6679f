"""Which objects' pixels must be looked at, told from the header as it came."""

from __future__ import annotations

import enum
import re
from typing import Final

from preread.deidentify.behind_frames import only_decoding_tells
from preread.elements import Header


class Look(enum.Flag):
    """What must be looked for in an object's pixels."""

    NONE = 0
    TEXT = 1
    """Text that is burned into the pixels: Clean Pixel Data Option."""
    OVERLAYS = 2
    """Text in overlay bitmaps: Clean Graphics Option."""
    FACE = 4
    """A face that can be rebuilt from slices: Clean Recognizable Visual Features Option."""
    REST = 8
    """Bytes behind the pixels that only decoding tells from them: Clean Pixel Data Option."""


_IMAGE_TYPE: Final = 0x00080008
_CONVERSION_TYPE: Final = 0x00080064
_STUDY_DESCRIPTION: Final = 0x00081030
_SERIES_DESCRIPTION: Final = 0x0008103E
_PROTOCOL_NAME: Final = 0x00181030
_BURNED_IN: Final = 0x00280301
_OVERLAY_DATA: Final = 0x60003000

_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kin below it

# Devices of these write names, dates and measures into the picture as a matter of course, or are
# fed from film and paper (PS3.3 C.7.3.1.1.1 has the terms).
_WRITING: Final = frozenset(
    (
        "AR", "BDUS", "BI", "CR", "DD", "DF", "DG", "DOC", "DS", "DX", "EC", "ECG", "ES", "FS",
        "GM", "HC", "IO", "IVOCT", "IVUS", "KER", "LEN", "LS", "MA", "MG", "OAM", "OCT", "OP",
        "OPM", "OPR", "OPT", "OPTENF", "OPV", "OSS", "OT", "POS", "PX", "RF", "RG", "SC", "SRF",
        "ST", "TG", "US", "VA", "XA", "XC",
    )
)  # fmt: skip

# Cells of arithmetic, not pictures: nobody writes text into a mask or a dose grid.
_NOT_PICTURES: Final = frozenset(("RTDOSE", "SEG"))

# What consoles and workstations call pictures that they drew, in the later values of ImageType.
# Words that slices bear too (OTHER, 3D, CINE) are not among them.
_SCREENS: Final = (
    "SCREEN", "CAPTURE", "SECONDARY", "DOSE", "REPORT", "CURVE", "VOLREN", "SUMMARY", "PASTED",
    "FILM", "LOCALIZER", "SCOUT", "TOPOGRAM",
)  # fmt: skip
_SAID: Final = re.compile(
    r"dose\W*(report|info|record|summary|series)|screen\W*(save|shot|cap)|patient\W*protocol",
    re.IGNORECASE,
)

_SLICED: Final = frozenset(("CT", "MR", "PT"))

# Words of a header that mean head or neck, in the languages that `preread.models.anatomy` knows.
_HEAD_WORDS: Final = re.compile(
    r"""
    (?<![a-z])(
        head|brain|skull|cranium|crani\w*|cerebr\w*|cerebell\w*|encephal\w*|neuro\w*|neck|
        face|facial\w*|maxillo\w*|max[iy]ll\w*|mandib\w*|jaw|dental|tmj|sinus\w*|psinus|nasal|nose|
        orbit\w*|eye\w*|ocular|optic|iac|mastoid\w*|temporal|petrous|sella\w*|pituitary|hypophys\w*|
        ear|ears|inner\s?ear|parotid\w*|larynx|laryng\w*|pharyn\w*|nasophar\w*|oropharyn\w*|tongue|
        kopf\w*|gesicht\w*|schaedel\w*|schädel\w*|hals|hirn\w*|gehirn\w*|
        t[eê]te|cr[aâ]ne|cerveau|visage|cou|massif|cabeza|cr[aá]neo|cara|cuello|cerebro|
        capo|testa|encefalo|collo|headneck|hn|wholebody|whole\s?body|ganzk\w*
    )(?![a-z])
    """,
    re.IGNORECASE | re.VERBOSE,
)

# PS3.16 CID 4: SNOMED CT, and SRT as older files have it.
_HEAD_CODES: Final = frozenset(
    (
        "69536005", "45048000", "774007", "417437006", "416152001", "110517009", "12738006",
        "113305005", "89546000", "91397008", "661005", "53620006", "2095001", "59066005",
        "361078006", "42575006", "81745001", "371398005", "363654007", "55024004", "45289007",
        "54019009", "4596009", "38266002",
        "T-D1100", "T-D1600", "T-D1000", "R-FAB52", "R-FAB53", "T-11011", "T-A0100", "T-A6000",
        "T-11100", "T-11196", "T-D1213", "T-15290", "T-22000", "T-11133", "T-AB959", "T-D1460",
        "T-AA000", "T-D0801", "T-D14AE", "T-11102", "T-61100", "T-61300", "T-24100", "T-D0010",
    )
)  # fmt: skip


def looks(
    header: Header,
    *,
    clean_pixels: bool,
    clean_graphics: bool,
    clean_faces: bool,
    modalities: frozenset[str],
) -> Look:
    """Tell what must be looked for in an object's pixels.

    Only objects with pixel data are looked at; in segmentations and dose grids neither text nor a
    face is looked for. With `clean_pixels` the first row that fits decides on `Look.TEXT`:

    ======================================================  ========================================
    The header says                                         Looked at
    ======================================================  ========================================
    BurnedInAnnotation YES                                  yes
    Modality in `modalities`                                yes
    a secondary capture by SOP class or ConversionType      yes, even if BurnedInAnnotation is NO
    SM, whole slides                                        all but ImageType VOLUME: labels,
                                                            overviews, thumbnails
    Modality US, ES, XC, OT, CR, DX, MG, RF, XA, IO, PX,    yes, even if BurnedInAnnotation is NO:
    GM and others that write into pictures; or none         devices say so without knowing
    ImageType with SECONDARY or a screen's word (DOSE,      yes, even if BurnedInAnnotation is NO
    SCREEN SAVE, LOCALIZER, ...), or SeriesDescription
    with one (dose report, screen save, ...)
    ImageType missing                                       yes: where it is from nobody knows
    ImageType DERIVED and BurnedInAnnotation not NO         yes
    anything else: CT, MR, PT, NM, RTIMAGE, ... slices      no
    ======================================================  ========================================

    `Look.OVERLAYS`: `clean_graphics`, and there is overlay data (60xx,3000), with or without pixel
    data. `Look.FACE`: `clean_faces`, CT, MR or PT that is no secondary capture, and a head, neck,
    face, sinus, orbit, whole body or the like is named by BodyPartExamined,
    AnatomicRegionSequence or the study's, series' or protocol's title. Where no title names any
    part, nothing tells a head, and it is not looked for. `Look.REST`: `clean_pixels`, and nobody
    knows where the pixels end before they are decoded.

    Parameters
    ----------
    header
        As it came: de-identification takes away what this is told from.
    clean_pixels, clean_graphics, clean_faces
        The options that are chosen.
    modalities
        Terms of Modality (0008,0060) that are always looked at.
    """
    look = Look.NONE
    if clean_graphics and any(
        (_OVERLAY_DATA | group << 16) in header for group in range(0, 0x100, 2)
    ):
        look |= Look.OVERLAYS
    if clean_pixels and only_decoding_tells(header):
        look |= Look.REST
    if not header.has_pixel_data or header.Modality in _NOT_PICTURES:
        return look
    if clean_pixels and _may_hold_text(header, modalities):
        look |= Look.TEXT
    if clean_faces and _may_hold_face(header):
        look |= Look.FACE
    return look


def _may_hold_text(header: Header, modalities: frozenset[str]) -> bool:
    burned_in, modality = header.text(_BURNED_IN).upper(), header.Modality.upper()
    if burned_in.startswith("Y") or modality in modalities or _is_capture(header):
        return True
    kinds = [value.strip().upper() for value in header.text(_IMAGE_TYPE).split("\\")]
    if modality == "SM":
        return "VOLUME" not in kinds
    if modality in _WRITING or not modality or not kinds[0]:
        return True
    if any(word in kind for kind in kinds for word in _SCREENS):
        return True
    if _SAID.search(header.text(_SERIES_DESCRIPTION)):
        return True
    return kinds[0] == "DERIVED" and burned_in != "NO"


def _is_capture(header: Header) -> bool:
    sop_class = header.SOPClassUID
    return (
        sop_class == _SECONDARY_CAPTURE
        or sop_class.startswith(_SECONDARY_CAPTURE + ".")
        or bool(header.text(_CONVERSION_TYPE))
    )


def _may_hold_face(header: Header) -> bool:
    if header.Modality.upper() not in _SLICED or _is_capture(header):
        return False
    if _HEAD_CODES.intersection(header.anatomic_region_codes):
        return True
    titles = (
        header.BodyPartExamined,
        *map(header.text, (_STUDY_DESCRIPTION, _SERIES_DESCRIPTION, _PROTOCOL_NAME)),
    )
    # An underscore or a digit stands between words as a space does: "CT_HEAD", "HEAD1".
    return any(_HEAD_WORDS.search(re.sub(r"[\d_]+", " ", title)) for title in titles)
