"""Where devices are known to write text: rules that are applied before anything is looked for.

``regions.json`` beside this module holds what has been published about devices; a file of the same
form may add to it. It is a list of objects. Each key but ``Blank`` is a condition and all must
hold; case does not count:

- ``Modality``: a list of terms, of which it is one;
- ``ImageType``: a list of words, each of which lies in some value;
- ``Manufacturer``: a word, or words in a row, that it holds as such;
- ``ManufacturerModelName``, ``SeriesDescription``, ``SoftwareVersions``: a text that lies in it
  when spaces do not count;
- ``SOPClassUID``: a UID; ``Rows``, ``Columns``: numbers.

``Blank`` lists rectangles ``[x, y, width, height]`` in pixels, or percents such as ``"100%"`` of
the picture's width or height; a negative x or y counts from the right or bottom.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from preread.deidentify.pixels.boxes import Box
from preread.errors import PrereadError
from preread.imaging.attributes import value_of, whole_of

_FILE: Final = "regions.json"
_LISTS: Final = ("Modality", "ImageType")
_NUMBERS: Final = ("Rows", "Columns")
_TEXTS: Final = (
    "Manufacturer",
    "ManufacturerModelName",
    "SeriesDescription",
    "SoftwareVersions",
    "SOPClassUID",
)
_BLANK: Final = "Blank"
_MOST: Final = 65535
_LARGEST_FILE: Final = 2**22

Length = int | float
"""Pixels, or a share of the picture's side from 0 to 1 if it is a float."""


class RegionsError(PrereadError):
    """A file of regions cannot be used; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What to blank in the pictures of one device.

    Attributes
    ----------
    conditions
        What the attributes must be, by keyword.
    blank
        Rectangles: x, y, width, height.
    """

    conditions: Mapping[str, Any]
    blank: tuple[tuple[Length, Length, Length, Length], ...]

    def fits(self, dataset: Dataset) -> bool:
        """Tell whether a data set's attributes are what the rule asks for."""
        return all(_holds(dataset, keyword, want) for keyword, want in self.conditions.items())

    def boxes(self, rows: int, columns: int) -> list[Box]:
        """Return the rectangles in a picture of a size, as far as they lie in it."""
        found = []
        for x, y, width, height in self.blank:
            left, top = _pixels(x, columns), _pixels(y, rows)
            left, top = left + columns * (left < 0), top + rows * (top < 0)
            right, bottom = left + _pixels(width, columns), top + _pixels(height, rows)
            box = Box.within(left, top, right, bottom, rows, columns)
            if box is not None:
                found.append(box)
        return found


@dataclass(frozen=True, slots=True)
class Regions:
    """All rules."""

    rules: tuple[Rule, ...]

    def boxes(self, dataset: Dataset, rows: int, columns: int) -> list[Box]:
        """Return what is to be blanked in the pictures of a data set."""
        return [
            box for rule in self.rules if rule.fits(dataset) for box in rule.boxes(rows, columns)
        ]


def load_regions(more: Path | None = None) -> Regions:
    """Return the rules that come with the package, and those of another file.

    Parameters
    ----------
    more
        A file of the same form.

    Raises
    ------
    RegionsError
        If that file cannot be read or an entry is malformed.
    """
    rules = _own()
    if more is not None:
        try:
            with more.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            raise RegionsError(f"{more}: cannot be read ({error.strerror})") from None
        if len(content) > _LARGEST_FILE:
            raise RegionsError(f"{more}: larger than {_LARGEST_FILE} bytes; expected a few rules")
        rules += _rules(content, str(more))
    return Regions(rules)


@cache
def _own() -> tuple[Rule, ...]:
    return _rules(resources.files(__package__).joinpath(_FILE).read_bytes(), _FILE)


def _rules(content: bytes, name: str) -> tuple[Rule, ...]:
    try:
        entries = json.loads(content)
    except ValueError as error:  # also what is no UTF-8
        raise RegionsError(f"{name}: no JSON ({error})") from None
    if not isinstance(entries, list):
        raise RegionsError(f"{name}: expected a list of rules")
    return tuple(_rule(entry, f"{name}: entry {at}") for at, entry in enumerate(entries, 1))


def _rule(entry: object, where: str) -> Rule:
    if not isinstance(entry, dict) or _BLANK not in entry or len(entry) < 2:
        raise RegionsError(f"{where}: expected an object with {_BLANK} and a condition")
    conditions = {}
    for keyword, want in entry.items():
        if keyword == _BLANK:
            continue
        if not _is_condition(keyword, want):
            known = ", ".join((*_LISTS, *_NUMBERS, *_TEXTS))
            raise RegionsError(
                f"{where}: {keyword}: expected a text, a number from 1 or a list of texts, for one "
                f"of {known}"
            )
        conditions[keyword] = want
    if not isinstance(entry[_BLANK], list) or not entry[_BLANK]:
        raise RegionsError(f"{where}: {_BLANK}: expected a list of [x, y, width, height]")
    return Rule(conditions, tuple(_rectangle(given, where) for given in entry[_BLANK]))


def _is_condition(keyword: str, want: object) -> bool:
    if keyword in _LISTS:
        return (
            isinstance(want, list)
            and bool(want)
            and all(isinstance(word, str) and word.strip() for word in want)
        )
    if keyword in _NUMBERS:
        return isinstance(want, int) and not isinstance(want, bool) and 1 <= want <= _MOST
    return keyword in _TEXTS and isinstance(want, str) and bool(want.strip())


def _rectangle(given: object, where: str) -> tuple[Length, Length, Length, Length]:
    if not isinstance(given, list) or len(given) != 4:
        raise RegionsError(f"{where}: {_BLANK}: expected [x, y, width, height]")
    x, y, width, height = (_length(one, where) for one in given)
    if width <= 0 or height <= 0:
        raise RegionsError(f"{where}: {_BLANK}: width and height are above 0")
    return x, y, width, height


def _length(given: object, where: str) -> Length:
    if isinstance(given, int) and not isinstance(given, bool) and -_MOST <= given <= _MOST:
        return given
    if isinstance(given, str) and given.endswith("%"):
        try:
            share = float(given[:-1]) / 100
        except ValueError:
            share = 2.0
        if -1 <= share <= 1:
            return share
    raise RegionsError(
        f'{where}: {_BLANK}: expected whole pixels or percents such as "12.5%", at most "100%"'
    )


def _pixels(length: Length, side: int) -> float:
    return length * side if isinstance(length, float) else length


def _holds(dataset: Dataset, keyword: str, want: Any) -> bool:
    if keyword in _NUMBERS:
        return bool(whole_of(dataset, keyword) == want)
    value = value_of(dataset, keyword)
    values = list(value) if isinstance(value, MultiValue | list) else [value or ""]
    if keyword == "Manufacturer":
        word = re.compile(rf"(?<![^\W_]){re.escape(want.strip())}(?![^\W_])", re.IGNORECASE)
        return any(word.search(str(one)) for one in values)
    folded = [_folded(one) for one in values]
    if keyword == "Modality":
        return any(_folded(term) in folded for term in want)
    if keyword == "ImageType":
        return all(any(_folded(word) in one for one in folded) for word in want)
    exact = keyword == "SOPClassUID"
    return any(_folded(want) == one if exact else _folded(want) in one for one in folded)


def _folded(value: object) -> str:
    return "".join(str(value).split()).casefold()
