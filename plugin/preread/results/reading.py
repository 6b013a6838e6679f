"""Reading the private block back, from a file, a data set or the DICOM JSON model.

What is read is what `preread.results.block` writes and what the seed paper's files hold: values of
VR LO, ST, CS, or UN (from an implicit transfer syntax), in any block that ``UACJ_VISOR`` reserves
in any private group. The lines of all blocks of a group are one text, in the order of their tags;
white space around and inside the braces does not matter. Withheld in place of the classes, Warning
before them and OutOfDistribution (`preread.results.block`) may be there or not; older files have
OutOfDistribution behind classes of equal shares.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydicom import Dataset
from pydicom.multival import MultiValue

from preread.errors import PrereadError
from preread.results.block import (
    FIRST_BLOCK,
    LAST_BLOCK,
    OUT_OF_DISTRIBUTION,
    PRIVATE_CREATOR,
    WARNING,
    WITHHELD,
)
from preread.results.encoding import Characters
from preread.results.splice import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_LONGEST: Final = 4 * 1024  # bytes of a value: 1024 characters, four bytes each
_DATE: Final = re.compile(
    r"(\d{4}) (\d\d) (\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?", flags=re.ASCII
)
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([kKmMgG]?)B", flags=re.ASCII)
_UNIT: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_RATIO: Final = re.compile(r"(\d{1,7}\.\d{1,9}) of 1\.00", flags=re.ASCII)
_NUMBER: Final = re.compile(r"(\d{1,3}(?:\.\d{1,9})?) ?%?", flags=re.ASCII)


_HEADINGS: Final = {
    heading.casefold(): heading
    for heading in ("Model", "Dataset", "Date", "FileName", "FileSize", WITHHELD, WARNING, "Class")
}


class MalformedBlockError(PrereadError):
    """A line of a private block is not what it should be.

    Attributes
    ----------
    tag
        The element, ``0xGGGGEEEE``.
    reason
        What is wrong with it and what was expected; never the value itself.
    """

    def __init__(self, tag: int, reason: str) -> None:
        super().__init__(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) of {PRIVATE_CREATOR}: {reason}")
        self.tag = tag
        self.reason = reason


class ClassPercentage(NamedTuple):
    """One class and what a model gives it.

    Attributes
    ----------
    name
        The class.
    percentage
        Two decimals, 0..100; those of one model add up to 100.
    """

    name: str
    percentage: float


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What one model said of an image, as its private block has it.

    Attributes
    ----------
    Model
        Name of the model.
    Dataset
        Name of the data set that it was trained on; empty if there is no such line.
    Date
        When the image was read, in the clock of the machine that wrote it: the block has no time
        zone. None if there is no such line.
    FileName
        Name of the file that was read; empty if there is no such line.
    FileSize
        Its size in bytes (a kB taken as 1000 of them). None if there is no such line.
    classes
        By falling percentage, as written. None if they are withheld; in older files all the same
        if the image was unlike the training data.
    OutOfDistribution
        For an image unlike the training data, how far it is from them as a multiple of the model's
        threshold, above 1. None for every other image.
    Withheld
        Why the image was given no class; empty where it was given one.
    Warning
        What has to be known before the classes are read; empty where nothing has.

    Examples
    --------
    >>> element = lambda line: {"vr": "LO", "Value": [line]}
    >>> result, = read_block({
    ...     "00550010": {"vr": "LO", "Value": ["UACJ_VISOR"]},
    ...     "00551010": element("{ Model : InceptionV3 }"),
    ...     "00551011": element("{ Dataset : IQ-OTHNCCD Lung Cancer Dataset }"),
    ...     "00551012": element("{ Date : 2026 11 21 09:23:52.123 }"),
    ...     "00551013": element("{ FileName : 2.25.1.dcm }"),
    ...     "00551014": element("{ FileSize : 526.862kB }"),
    ...     "00551015": element("{ Class : Prediction(%) }"),
    ...     "00551016": element("{ Malignant : 99.01 }"),
    ...     "00551017": element("{ Benign : 0.99 }"),
    ... })
    >>> result.Model, result.FileSize, result.Date.isoformat()
    ('InceptionV3', 526862, '2026-11-21T09:23:52.123000')
    >>> result.classes[0]
    ClassPercentage(name='Malignant', percentage=99.01)
    """

    Model: str
    Dataset: str = ""
    Date: datetime | None = None
    FileName: str = ""
    FileSize: int | None = None
    classes: tuple[ClassPercentage, ...] = ()
    OutOfDistribution: float | None = None
    Withheld: str = ""
    Warning: str = ""


Source = bytes | bytearray | memoryview | Dataset | Mapping[str, Any]


def read_block(
    source: Source, *, skip: Callable[[MalformedBlockError], None] | None = None
) -> tuple[ModelResult, ...]:
    """Read what the models said of an image from its private block.

    Parameters
    ----------
    source
        A DICOM file as bytes, a pydicom data set, or one object of the DICOM JSON model (PS3.18
        Annex F), as WADO-RS ``/metadata`` gives one for each instance.
    skip
        Called with the error for each model that has a malformed line; the model that the line
        lies in is then left out as a whole, since a guess could be wrong. Without it the error is
        raised.

    Returns
    -------
    tuple of ModelResult
        In the order of the block; empty if there is none.

    Raises
    ------
    MalformedBlockError
        If a line is malformed and `skip` is not given.
    preread.elements.MalformedFile
        If bytes are not a DICOM file that can be walked through.
    """
    if isinstance(source, Dataset):
        characters, values = _of_dataset(source)
    elif isinstance(source, Mapping):
        characters, values = _of_json(source)
    else:
        characters, values = _of_file(source)
    results: list[ModelResult] = []
    for tags in _our_elements(values, characters):
        results.extend(_results(((tag, values[tag]) for tag in tags), characters, skip))
    return tuple(results)


Value = str | bytes | memoryview | None  # None: named, but its value lies elsewhere


def _of_dataset(dataset: Dataset) -> tuple[Characters, dict[int, Value]]:
    terms = dataset.get("SpecificCharacterSet") or ()
    characters = Characters((terms,) if isinstance(terms, str) else tuple(map(str, terms)))
    values: dict[int, Value] = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating the data set itself would parse each value
        if tag.is_private and tag.element >= 0x10:
            # Taken as it was read: pydicom would split, and warn of, what CS forbids.
            values[int(tag)] = _plain(dataset.get_item(tag).value)
    return characters, values


def _of_file(data: bytes | bytearray | memoryview) -> tuple[Characters, dict[int, Value]]:
    layout = Layout.of(bytes(data))
    values: dict[int, Value] = {
        place.tag: layout.value(place.tag)
        for place in layout.places
        if place.tag >> 16 & 1 and place.tag & 0xFFFF >= 0x10
    }
    return layout.characters, values


def _plain(value: object) -> Value:
    if value is None or isinstance(value, str | bytes):
        return value
    return _joined(value)


def _joined(values: object) -> str | None:
    """Put the values of one element together again, as they lie in the file."""
    return "\\".join(map(str, values)) if isinstance(values, list | tuple | MultiValue) else None


def _of_json(model: Mapping[str, Any]) -> tuple[Characters, dict[int, Value]]:
    # JSON comes in Unicode; only binary values are still in the file's own character set.
    characters = Characters()
    values: dict[int, Value] = {}
    for name, attribute in model.items():
        if not (isinstance(name, str) and re.fullmatch(r"[0-9A-Fa-f]{8}", name)):
            continue
        tag = int(name, 16)
        if not isinstance(attribute, Mapping):
            continue
        if tag == _SPECIFIC_CHARACTER_SET:
            characters = Characters(tuple(map(str, attribute.get("Value") or ())))
        elif tag >> 16 & 1 and tag & 0xFFFF >= 0x10:
            values[tag] = _json_value(attribute)
    return characters, values


def _json_value(attribute: Mapping[str, Any]) -> Value:
    if "InlineBinary" in attribute:
        try:
            return base64.b64decode(str(attribute["InlineBinary"]), validate=True)
        except (binascii.Error, ValueError):
            return None
    if "BulkDataURI" in attribute:
        return None
    return _joined(attribute.get("Value") or [])


def _our_elements(values: Mapping[int, Value], characters: Characters) -> Iterator[list[int]]:
    """Give for each group with a reservation of ours the tags of our elements, rising."""
    blocks: dict[int, set[int]] = defaultdict(set)
    for tag, value in values.items():
        number = tag & 0xFFFF
        if (
            FIRST_BLOCK <= number <= LAST_BLOCK
            and value is not None
            and len(value) <= 2 * len(PRIVATE_CREATOR)
            and _text(value, characters).strip(" \0") == PRIVATE_CREATOR
        ):
            blocks[tag >> 16].add(number)
    for group in sorted(blocks):
        yield sorted(
            tag for tag in values if tag >> 16 == group and (tag & 0xFFFF) >> 8 in blocks[group]
        )


def _text(value: str | bytes | memoryview, characters: Characters) -> str:
    return value if isinstance(value, str) else characters.decode(bytes(value))


@dataclass(slots=True)
class _Open:
    """A model whose lines are being read."""

    values: dict[str, Any]
    classes: list[ClassPercentage] | None = None  # a list once the line Class has been seen

    @property
    def has_answered(self) -> bool:
        """Whether the classes have begun, or the reason why there are none has been seen."""
        return self.classes is not None or WITHHELD in self.values

    def close(self) -> ModelResult:
        return ModelResult(**self.values, classes=tuple(self.classes or ()))


def _results(
    lines: Iterable[tuple[int, Value]],
    characters: Characters,
    skip: Callable[[MalformedBlockError], None] | None,
) -> Iterator[ModelResult]:
    model: _Open | None = None
    skipping = False
    for tag, value in lines:
        try:
            in_classes = model is not None and model.classes is not None
            key, text = _pair(tag, value, characters, in_classes=in_classes)
            if key.casefold() == "model":
                if model is not None:
                    yield model.close()
                model, skipping = _Open({"Model": text}), False
            elif not skipping:
                _take(model, tag, key, text)
        except MalformedBlockError as error:
            if skip is None:
                raise
            if not skipping:
                skip(error)
            model, skipping = None, True
    if model is not None:
        yield model.close()


def _pair(tag: int, value: Value, characters: Characters, *, in_classes: bool) -> tuple[str, str]:
    if value is None:
        raise MalformedBlockError(tag, "expected its text in place, not binary or bulk data")
    if len(value) > _LONGEST:
        raise MalformedBlockError(tag, f"expected at most {_LONGEST} bytes")
    line = " ".join(_text(value, characters).replace("\0", " ").split())
    if not (line.startswith("{") and line.endswith("}") and ":" in line):
        raise MalformedBlockError(tag, "expected a text of the form { name : value }")
    key, _, text = line[1:-1].partition(":")
    if in_classes and key.strip().casefold() != "model":
        key, _, text = line[1:-1].rpartition(":")  # a class may have a colon in its name
    return key.strip(), text.strip()


def _take(model: _Open | None, tag: int, key: str, text: str) -> None:
    if model is None:
        raise MalformedBlockError(tag, "expected { Model : ... } before any other line")
    if OUT_OF_DISTRIBUTION in model.values:
        raise MalformedBlockError(tag, f"expected nothing after {OUT_OF_DISTRIBUTION}")
    if key.casefold() == OUT_OF_DISTRIBUTION.casefold() and model.has_answered:
        model.values[OUT_OF_DISTRIBUTION] = _ratio(tag, text)
        return
    if WITHHELD in model.values:
        raise MalformedBlockError(tag, f"expected no line but {OUT_OF_DISTRIBUTION} after Withheld")
    if model.classes is not None:
        model.classes.append(ClassPercentage(key, _percentage(tag, text)))
        return
    _head(model, tag, key, text)


def _head(model: _Open, tag: int, key: str, text: str) -> None:
    """Take a line before the classes."""
    heading = _HEADINGS.get(key.casefold())
    if heading is None:
        raise MalformedBlockError(tag, f"expected one of {', '.join(_HEADINGS.values())}")
    if heading in model.values:
        raise MalformedBlockError(tag, f"expected one {heading} for each model")
    if heading in (WITHHELD, WARNING) and not text:
        raise MalformedBlockError(tag, f"expected a reason after {heading}")
    if heading == "Class":
        model.classes = []
    elif heading == "Date":
        model.values[heading] = _date(tag, text)
    elif heading == "FileSize":
        model.values[heading] = _size(tag, text)
    else:
        model.values[heading] = text


def _percentage(tag: int, text: str) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise MalformedBlockError(tag, "expected a percentage from 0.00 to 100.00 after the class")
    return float(match[1])


def _ratio(tag: int, text: str) -> float:
    match = _RATIO.fullmatch(text)
    if match is None or float(match[1]) <= 1:
        raise MalformedBlockError(tag, "expected how far out it is, such as 3.21 of 1.00")
    return float(match[1])


def _date(tag: int, text: str) -> datetime:
    match = _DATE.fullmatch(text)
    reason = "expected a date such as 2026 11 21 09:23:52.123"
    if match is None:
        raise MalformedBlockError(tag, reason)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0"))
    try:
        return datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001 - none
    except ValueError:
        raise MalformedBlockError(tag, reason) from None


def _size(tag: int, text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise MalformedBlockError(tag, "expected a size such as 526.862kB")
    return round(Decimal(match[1]) * _UNIT[match[2].lower()])
