"""Which run of letters and digits may stay, looked at alone (rules 1, 4, 6 and 8)."""

from __future__ import annotations

import re
from typing import Final

from preread.deidentify.descriptors.known import is_known
from preread.deidentify.descriptors.vocabulary import vocabulary

_CAMEL: Final = re.compile(r"[^\W\d_a-zß-öø-ÿ]+(?![a-zß-öø-ÿ])|[^\W\d_a-zß-öø-ÿ]?[a-zß-öø-ÿ]+")
_MIXED: Final = re.compile(r"([^0-9]*)([0-9]+)([^0-9]*)")
_NUMBER: Final = re.compile(r"[0-9]+")
_PARTS: Final = re.compile(r"[0-9]+|[^0-9]+")
_DIMENSIONS: Final = re.compile(r"[0-9]{1,3}(?:x[0-9]{1,3})+([a-z]*)")
_KERNEL: Final = re.compile(
    r"(?:[bdhijqtu]|b[lrv]|h[crfv]|qr|ur|ub|sa|sp)[0-9]{2}[fhmsdu]?", re.ASCII
)


def stays(run: str, folded: str, words: frozenset[str], known: frozenset[str]) -> bool:
    """Tell whether a run may stay.

    Parameters
    ----------
    run, folded
        As written, and case-folded.
    words
        The vocabulary.
    known
        What identifies in the same header.

    >>> stays("McLung", "mclung", frozenset(("lung",)), frozenset())
    False
    """
    if is_known(folded, known):
        return False
    if folded in words:
        return True
    if _NUMBER.fullmatch(folded):
        return len(folded) <= 3
    if _NUMBER.search(folded):
        if any(is_known(part, known) for part in _PARTS.findall(folded)):
            return False
        return _is_mixed(run, folded, words, known)
    return _is_camel(run, words, known)


def _is_mixed(run: str, folded: str, words: frozenset[str], known: frozenset[str]) -> bool:
    dimensions = _DIMENSIONS.fullmatch(folded)
    if dimensions:
        return not dimensions[1] or dimensions[1] in words
    match = _MIXED.fullmatch(folded)
    if match is None or _KERNEL.fullmatch(folded):
        return match is not None
    before, digits, after = match.groups()
    if before and after:
        return before + digits in words and after in words
    letters = before or after
    if letters not in words:
        start, end = (0, len(before)) if before else (len(digits), len(run))
        return len(digits) <= 3 and _is_camel(run[start:end], words, known)
    if after:
        return len(digits) <= 3 and after not in vocabulary().ages
    return _may_have(before, digits)


def _may_have(letters: str, digits: str) -> bool:
    """Tell whether a word of the vocabulary may have that number right behind it."""
    if len(digits) == 4:
        in_tens = letters in vocabulary().take_four_digits_in_tens and digits[-1] == "0"
        return in_tens or (letters == "b" and int(digits) % 50 == 0)
    # Up to three letters with three digits: accession numbers are written so.
    most = 3 if len(letters) > 3 or letters in vocabulary().take_three_digits else 2
    return len(digits) <= most


def _is_camel(run: str, words: frozenset[str], known: frozenset[str]) -> bool:
    parts = _CAMEL.findall(run)
    if len(parts) < 2 or "".join(parts) != run:
        return False
    return all(
        (len(part) > 2 or (len(part) == 2 and part.isupper()))
        and part.casefold() in words
        and not is_known(part.casefold(), known)
        for part in parts
    )
