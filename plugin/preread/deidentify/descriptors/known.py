"""What identifies in a header, in the forms in which it would be written elsewhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from preread.deidentify.descriptors.runs import RUN

_DIGITS: Final = re.compile(r"([0-9]+)")
_WRITTEN_OUT: Final = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae"}
)
_MOST_MARKS: Final = 30
_DATE_FORMS: Final = ("%Y", "%y", "%Y%m%d", "%y%m%d", "%d%m%Y", "%d%m%y", "%m%d%Y", "%m%d%y")


def known_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the words by which a header's identifying values are recognized elsewhere.

    Parameters
    ----------
    texts
        Decoded values: names, numbers, birth date, addresses, institutions, physicians.

    Returns
    -------
    frozenset of str
        Case-folded words, digits, and words of both, of two characters and more; without accents
        and with umlauts written out as well; numbers without leading zeros as well; of a date
        (``YYYYMMDD``, with signs or without) the forms that have no signs, and the year.

    >>> sorted(known_words(["Müller^Eva", "0047-11"]))
    ['0047', '11', '47', 'eva', 'mueller', 'muller', 'müller']
    """
    known: set[str] = set()
    for text in texts:
        folded = composed(text).casefold()
        for run in RUN.findall(folded):
            known.add(run)
            known.update(_DIGITS.split(run))
        known.update(_forms_of_date("".join(_DIGITS.findall(folded))))
    for word in tuple(known):
        if word.isdecimal():
            known.add(word.lstrip("0"))
        elif not word.isascii():
            known.update((plain(word), plain(word.translate(_WRITTEN_OUT))))
    return frozenset(word for word in known if len(word) > 1)


def is_known(word: str, known: frozenset[str]) -> bool:
    """Tell whether a case-folded word or number is known, in the genitive and plural too.

    >>> is_known("longs", known_words(["Long"]))
    True
    """
    if word in known:
        return True
    if word[:1] == "0":
        return word.lstrip("0") in known
    if word[-1:] == "s" and word[:-1] in known:
        return True
    return not word.isascii() and plain(word) in known


def composed(text: str) -> str:
    r"""Return a text in normal form C.

    Of marks in a row all but the first 30 are left out, as in the Stream-Safe Text Format of
    Unicode Standard Annex 15: they have to be sorted, and no word has as many.

    >>> composed("cra\u0302ne")
    'crâne'
    """
    if text.isascii():
        return text
    if len(text) > _MOST_MARKS:
        safe: list[str] = []
        marks = 0
        for sign in text:
            marks = marks + 1 if unicodedata.combining(sign) else 0
            if marks <= _MOST_MARKS:
                safe.append(sign)
        text = "".join(safe)
    return unicodedata.normalize("NFC", text)


def plain(word: str) -> str:
    """Return a word without accents.

    >>> plain("crâne")
    'crane'
    """
    parts = unicodedata.normalize("NFD", word)
    return "".join(part for part in parts if not unicodedata.combining(part))


def _forms_of_date(digits: str) -> list[str]:
    if len(digits) != 8:
        return []
    try:
        day = datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return []
    return [day.strftime(form) for form in _DATE_FORMS]
