"""The words that are known to be harmless, as package data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

_FILE: Final = "vocabulary.json"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Case-folded words.

    Attributes
    ----------
    words
        All that are known to be harmless.
    also_names
        Those of them that people are called by, too, and little words that lead to a name.
    titles
        What is followed by somebody's name, address or number.
    titles_if_capitalized
        Modalities, units and words that are titles as ``Mr`` or ``MR.``
    units
        What makes a number that stands before it a measure.
    take_three_digits, take_four_digits_in_tens
        Abbreviations of parameters whose values are written right behind them.
    months, ages
        Words of the vocabulary that beside a number are a month in one of the languages, and that
        behind a number tell an age or an hour.
    """

    words: frozenset[str]
    also_names: frozenset[str]
    titles: frozenset[str]
    titles_if_capitalized: frozenset[str]
    units: frozenset[str]
    take_three_digits: frozenset[str]
    take_four_digits_in_tens: frozenset[str]
    months: frozenset[str]
    ages: frozenset[str]


@cache
def vocabulary() -> Vocabulary:
    """Return the vocabulary, read once.

    >>> "thorax" in vocabulary().words
    True
    >>> "long" in vocabulary().also_names
    True
    """
    content = json.loads(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))

    def words(key: str) -> frozenset[str]:
        found = content[key]
        return frozenset((found if isinstance(found, str) else " ".join(found.values())).split())

    also_names = words("AlsoNames")
    return Vocabulary(
        words=words("Words") | also_names,
        also_names=also_names,
        titles=words("Titles"),
        titles_if_capitalized=words("TitlesIfCapitalized"),
        units=words("Units"),
        take_three_digits=words("TakeThreeDigits"),
        take_four_digits_in_tens=words("TakeFourDigitsInTens"),
        months=words("Months"),
        ages=words("Ages"),
    )
