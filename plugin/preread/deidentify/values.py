"""What becomes of one value that may stay: UIDs, times, titles, texts and the meanings of codes."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from typing import Final, NamedTuple

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from preread.deidentify.actions import Action
from preread.deidentify.dates import DateShift
from preread.deidentify.descriptors import TextCleaner
from preread.deidentify.level import Level
from preread.deidentify.profile import TEXT_VRS
from preread.deidentify.pseudonyms import Pseudonyms
from preread.elements import (
    Budget,
    Element,
    TooMuch,
    decode_text,
    dictionary_vr,
    encode_text,
    unlimited,
)

# Names of things that all the world shares: transfer syntaxes, SOP classes, well-known instances
# and frames of reference (PS3.6 Annex A). By the list, not by its root 1.2.840.10008: whoever
# writes a name behind the root must not get it through.
WELL_KNOWN: Final = frozenset(str(uid) for uid in UID_dictionary)

_CHARSET: Final = 0x00080005
_SCHEME: Final = 0x00080102
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+){1,31}", flags=re.ASCII)
_LONGEST_UID: Final = 64
_LONGEST_CODE: Final = 64  # bytes of a value of CS that may yet be words
_OFFSET: Final = re.compile(r"[+-]\d{4} *", flags=re.ASCII)
_MONTH, _DAY, _HOUR = r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])", r"([01]\d|2[0-3])"
_SIXTY, _SECOND = r"[0-5]\d", r"([0-5]\d|60)"
_TIMES: Final = {
    b"DA": re.compile(rf"(\d{{4}}{_MONTH}{_DAY}|\d{{4}}\.{_MONTH}\.{_DAY})?", flags=re.ASCII),
    b"TM": re.compile(rf"({_HOUR}(:?{_SIXTY}(:?{_SECOND}(\.\d{{1,6}})?)?)?)?", flags=re.ASCII),
    b"DT": re.compile(
        rf"(\d{{4}}({_MONTH}({_DAY}({_HOUR}({_SIXTY}({_SECOND}(\.\d{{1,6}})?)?)?)?)?)?([+-]\d{{4}})?)?",
        flags=re.ASCII,
    ),
}
_LONGEST_TREATED: Final = 2**16
"""Bytes of times and titles beyond which nobody knows what they are."""
_LONGEST_CLEANED: Final = 2**20
"""Bytes of a text, or of a list of UIDs, beyond which it is none."""
_SHORT: Final = 2**10
_CLEANED: Final = frozenset((Action.CLEAN, Action.MEANING))
# What they cost, in units of a budget.
_OF_A_VALUE: Final = 16
_OF_A_LETTER: Final = 8
_ONE_TEXT: Final = frozenset((b"LT", b"ST", b"UT"))  # a backslash does not separate values here

Terms = Sequence[str]


@cache
def _partner(tag: int) -> int:
    """Return the time that belongs to a date, or the date that belongs to a time; 0 without one."""
    keyword = keyword_for_tag(tag)
    for mine, other in (("Date", "Time"), ("Time", "Date")):
        if mine in keyword:
            found = tag_for_keyword(other.join(keyword.rsplit(mine, 1)))
            if found is not None and dictionary_vr(found) in (b"DA", b"TM"):
                return int(found)
    return 0


@cache
def _harmless_words() -> TextCleaner:
    return TextCleaner()


def valid_uid(text: str) -> bool:
    """Tell whether a text is a UID (PS3.5 section 9)."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


class Keyed(NamedTuple):
    """What is done with the values of one file.

    Attributes
    ----------
    pseudonyms
        What UIDs become.
    alias_key
        What titles are named with.
    shift
        How far times move; None where none does.
    cleaner
        What texts are cleaned with; None where none is.
    known
        Finds the words that identify in this file's header.
    character_sets
        Of the top level.
    """

    pseudonyms: Pseudonyms
    alias_key: bytes
    shift: DateShift
    cleaner: TextCleaner | None
    known: Callable[[], frozenset[str]]
    character_sets: Terms


class Values:
    """Treats the values of one file.

    Parameters
    ----------
    data
        What the elements' offsets point into.
    keyed
        What they are treated with.
    budget
        What that may cost; None for no bound.
    """

    def __init__(self, data: memoryview, keyed: Keyed, budget: Budget | None = None) -> None:
        self._data = data
        self._keyed = keyed
        self._budget = budget or unlimited()

    def uids(self, element: Element, *, retain: bool = False) -> bytes:
        """Return the UIDs that stand for those of an element.

        Parameters
        ----------
        retain
            Whether what is a UID stays.

        Raises
        ------
        MalformedFile
            If there are more than any attribute has.
        """
        if element.undefined:
            return b""
        uid = self._keyed.pseudonyms.uid
        raw = self._raw(element)
        if len(raw) > _LONGEST_CLEANED:
            raise TooMuch(element.start, element.tag, "more UIDs than any attribute has")
        values: Iterable[str] = raw.decode("latin-1").split("\\")
        if len(raw) > _SHORT:
            values = self._budget.over(values, _OF_A_VALUE)
        found = (value.strip(" \0") for value in values)
        return "\\".join(
            one if not one or one in WELL_KNOWN or (retain and valid_uid(one)) else uid(one)
            for one in found
        ).encode("ascii")

    def treated(self, element: Element, action: Action, level: Level) -> tuple[bytes, bytes] | bool:
        """Return what becomes of a value.

        Parameters
        ----------
        element
            Whose value it is.
        action
            One of `preread.deidentify.actions.VALUES`.
        level
            What is around it.

        Returns
        -------
        tuple of bytes, or bool
            The new VR and value; True if it stays as it is; False if it cannot be treated.
        """
        vr = element.vr or dictionary_vr(element.tag)[:2]
        if action is Action.VALID_UID and not element.undefined:
            return self._same(element, b"UI", self.uids(element, retain=True))
        expected = dictionary_vr(element.tag)[:2]
        is_private_time = not expected and vr in _TIMES
        is_unknown = element.undefined or (vr != expected and not is_private_time)
        if is_unknown or self._is_too_long(element, action):
            return False  # what it is nobody knows
        raw = self._raw(element)
        if action is Action.TIME or not raw.strip(b" \0"):
            return self._is_time(vr, raw)
        if action is Action.ALIAS:
            return vr, self._aliases(raw)
        if action is Action.SHIFT:
            return self._shifted(element, vr, raw, level)
        return self._text(action, vr, raw, level)

    def is_harmless(self, element: Element) -> bool:
        """Tell whether a code that no CS allows is made of words that are known to be harmless.

        Writers put Abdomen for ABDOMEN, and L-SPINE.
        """
        raw = self._raw(element)
        if len(raw) > _LONGEST_CODE or not raw.isascii():
            return False
        cleaner = self._keyed.cleaner or _harmless_words()
        values = [value.strip(" \0") for value in raw.decode("ascii").split("\\")]
        return all(cleaner.clean(value, frozenset()) == value for value in values)

    def _is_too_long(self, element: Element, action: Action) -> bool:
        """Tell whether there is more than such a value can have; count what it costs if not."""
        length = element.value_end - element.value
        if length <= _SHORT:
            return False
        self._budget.spend(length)
        return length > (_LONGEST_CLEANED if action in _CLEANED else _LONGEST_TREATED)

    def _raw(self, element: Element) -> bytes:
        return bytes(self._data[element.value : element.value_end])

    def _same(self, element: Element, vr: bytes, value: bytes) -> tuple[bytes, bytes] | bool:
        padded = value + b"\0" * (len(value) % 2)
        is_same = element.vr in (vr, b"", b"UN") and padded == self._raw(element)
        return True if is_same else (vr, value)

    @staticmethod
    def _is_time(vr: bytes, raw: bytes) -> bool:
        if not raw.strip(b" \0"):
            return True
        values = raw.decode("latin-1").split("\\")
        form = _TIMES.get(vr, _OFFSET)
        return all(form.fullmatch(value.strip(" \0")) for value in values)

    def _shifted(
        self, element: Element, vr: bytes, raw: bytes, level: Level
    ) -> tuple[bytes, bytes] | bool:
        shift = self._keyed.shift
        if not shift.minutes or vr not in _TIMES:
            return self._is_time(vr, raw)
        values = _texts(raw)
        partner = level.find(_partner(element.tag)) if vr != b"DT" else None
        others = _texts(self._raw(partner)) if partner is not None else []
        if len(others) != len(values):
            others = [""] * len(values)
        moved: list[str] = []
        for value, other in zip(values, others, strict=True):
            one = _moved(shift, vr, value, other)
            if one is None:
                return False
            moved.append(one)
        return vr, "\\".join(moved).encode("ascii")

    def _aliases(self, raw: bytes) -> bytes:
        names = []
        for value in _texts(raw):
            digest = hmac.digest(self._keyed.alias_key, value.encode("latin-1"), "sha256")
            known = _ALIAS.fullmatch(value) and self._is_alias(value)
            alias = base64.b32encode(digest[:5]).decode("ascii")
            names.append(value if known or not value else f"AE{alias}{self._check(alias)}")
        return "\\".join(names).encode("ascii")

    def _check(self, alias: str) -> str:
        digest = hmac.digest(self._keyed.alias_key, b"check" + alias.encode("ascii"), "sha256")
        return base64.b32encode(digest[:5]).decode("ascii")[:6]

    def _is_alias(self, value: str) -> bool:
        return hmac.compare_digest(self._check(value[2:10]), value[10:])

    def _text(
        self, action: Action, vr: bytes, raw: bytes, level: Level
    ) -> tuple[bytes, bytes] | bool:
        if action is Action.MEANING and self._is_standard(level):
            return True
        cleaner = self._keyed.cleaner
        if cleaner is None or (vr not in TEXT_VRS and vr != b"CS"):
            return False
        terms = self._terms(level)
        text = decode_text(raw, terms).rstrip(" \0")
        if not raw.isascii():  # what its character set does not have, which parts no values
            text = _NOT_DECODED.sub("\ufffd", text)
        values = [text] if vr in _ONE_TEXT else text.split("\\")
        known, spend = self._known, self._budget.spend
        cleaned = []
        for value in values:
            spend(_OF_A_VALUE + _OF_A_LETTER * len(value))
            cleaned.append(cleaner.clean(value, known))
        if cleaned == values:
            return True
        if not any(cleaned):
            return False
        return vr, encode_text("\\".join(cleaned), terms)

    def _is_standard(self, level: Level) -> bool:
        """Tell whether a standard defines a code; into theirs, sites write anything."""
        scheme = level.find(_SCHEME)
        name = "" if scheme is None else self._raw(scheme).decode("latin-1").strip(" \0")
        return name in _STANDARD_SCHEMES

    @cached_property
    def _known(self) -> frozenset[str]:
        return self._keyed.known()

    def _terms(self, level: Level) -> Terms:
        own = level.find(_CHARSET)
        if own is None:
            return self._keyed.character_sets
        return [term.strip(" \0") for term in self._raw(own).decode("latin-1").split("\\")]


_ALIAS: Final = re.compile(r"AE[A-Z2-7]{14}")
_NOT_DECODED: Final = re.compile(r"\\x[0-9a-f]{2}")
# PS3.16 Table 8-1, without designators that every site may fill as it likes.
_STANDARD_SCHEMES: Final = frozenset(
    (
        "ACR", "ASTM-sigpurpose", "BARI", "BI", "C4", "C5", "CD2", "CDT", "CVX", "DCM", "DCMUID",
        "FMA", "HPC", "I10", "I10C", "I10P", "I11", "I9", "I9C", "I9P", "IBSI", "ICDO3",
        "ISO3166_1", "ISO639_1", "ISO639_2", "ISO_OID", "ITIS_TSN", "LN", "MA", "MAYOASRG", "MDC",
        "MDNS", "MGI", "MSH", "MVX", "NCIt", "NCDR", "NDC", "NEU", "NICIP", "NYUMCCG", "PATHLEX",
        "POS", "PUBCHEM_CID", "RADLEX", "RFC3066", "RFC5646", "RO", "RXNORM", "SCPECG", "SCT",
        "SNM3", "SNM", "SRT", "UBERON", "UCUM", "UMD", "UMLS", "UNS", "UPC", "X12DE23",
    )
)  # fmt: skip


def _texts(raw: bytes) -> list[str]:
    return [value.strip(" \0") for value in raw.decode("latin-1").split("\\")]


def _moved(shift: DateShift, vr: bytes, value: str, other: str) -> str | None:
    """Return a moved value; a date and the time that belongs to it move as one."""
    if not value:
        return ""
    if vr == b"DT":
        return shift.datetime(value)
    date, time = (value, other) if vr == b"DA" else (other, value)
    if date and time:
        both = shift.date_and_time(date, time)
        if both is not None:
            return both[0] if vr == b"DA" else both[1]
    return shift.date(value) if vr == b"DA" else shift.time(value)
