r"""The private block: how predictions are written as lines of text.

The block is that of the seed paper's files, private creator ``UACJ_VISOR``. Each model takes, one
element each and without gaps, Model, Dataset, Date, FileName, FileSize, Class, and its classes by
falling probability::

    (gggg,1010) { Model : InceptionV3 }
    (gggg,1011) { Dataset : IQ-OTHNCCD Lung Cancer Dataset }
    (gggg,1012) { Date : 2026 11 21 09:23:52.123 }
    (gggg,1013) { FileName : <SOPInstanceUID>.dcm }
    (gggg,1014) { FileSize : 526.862kB }
    (gggg,1015) { Class : Prediction(%) }
    (gggg,1016) { Malignant : 99.01 }
    ...

An image to which a model gives no class has one line in place of Class and the classes, which says
why. Where it is too unlike those that the model was trained on, one more line says how far: the
out-of-distribution score as a multiple of the model's threshold, rounded up, so above 1.00::

    (gggg,1015) { Withheld : unlike its training data }
    (gggg,1016) { OutOfDistribution : 3.21 of 1.00 }

What has to be known of classes before they are read stands in a line before Class::

    (gggg,1015) { Warning : not measured on this kind of image }
    (gggg,1016) { Class : Prediction(%) }

Every other image has exactly the lines of the paper.

- The lines are counted through: line 240 is element xx10 of the next block of the group, so one
  model's lines may lie in two blocks.
- VR is LO up to 64 characters, ST beyond, up to 1024.
- The date is that of the prediction, in the time zone that it carries.
- A kB is 1000 bytes, so that three decimals are the exact number of bytes.
- A text is written as the data set's character set can hold it (`Characters.representable`).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from preread.errors import PrereadError
from preread.results.encoding import Characters, element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from preread.findings.prediction import Prediction

PRIVATE_CREATOR: Final = "UACJ_VISOR"
FIRST_GROUP: Final = 0x0055
FIRST_BLOCK: Final = 0x10
LAST_BLOCK: Final = 0xFF
FIRST_ELEMENT: Final = 0x10
ELEMENTS_PER_BLOCK: Final = 0x100 - FIRST_ELEMENT
LONG_STRING: Final = 64
SHORT_TEXT: Final = 1024
CLASS_HEADING: Final = "Prediction(%)"
OUT_OF_DISTRIBUTION: Final = "OutOfDistribution"
WITHHELD: Final = "Withheld"
WARNING: Final = "Warning"
LARGEST_RATIO: Final = 999_999.99
"""What an image further away than that is stated with."""


class UnwritablePredictionError(PrereadError):
    """A prediction that the private block cannot hold so that it can be read again."""


def percentages(probabilities: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """Round probabilities to percentages that add up to exactly 100.00.

    Largest remainder method: each is rounded down to a hundredth, and the hundredths that are then
    missing go to those that lost most. Among equals the earlier class comes first, in the order as
    in the rounding, so that rounding never turns the order around.

    Parameters
    ----------
    probabilities
        One for each class; not negative and not all zero. They are divided by their sum.

    Returns
    -------
    tuple of (int, float)
        Index of the class and its percentage (two decimals, 0..100), by falling probability.

    Raises
    ------
    UnwritablePredictionError
        If there are none, or one is negative or not a number, or all are zero.

    Examples
    --------
    >>> percentages((1 / 3, 1 / 3, 1 / 3))
    ((0, 33.34), (1, 33.33), (2, 33.33))
    >>> percentages((0.0049, 0.9951))
    ((1, 99.51), (0, 0.49))
    """
    if not all(0.0 <= value < float("inf") for value in probabilities) or not any(probabilities):
        raise UnwritablePredictionError("probabilities: expected numbers from 0 up, not all zero")
    exact = [Fraction(value) for value in probabilities]
    total = sum(exact)
    order = sorted(range(len(exact)), key=lambda index: -exact[index])
    scaled = {index: exact[index] * 10_000 / total for index in order}
    hundredths = {index: int(scaled[index]) for index in order}
    missing = 10_000 - sum(hundredths.values())
    for index in sorted(order, key=lambda index: hundredths[index] - scaled[index])[:missing]:
        hundredths[index] += 1
    return tuple((index, hundredths[index] / 100) for index in order)


def date_text(date: datetime) -> str:
    """Write a date as the block has it: ``2026 11 21 09:23:52.123``.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> date_text(datetime(2026, 11, 21, 9, 23, 52, 123987, tzinfo=UTC))
    '2026 11 21 09:23:52.123'
    """
    return f"{date:%Y %m %d %H:%M:%S}.{date.microsecond // 1000:03d}".rjust(23, "0")


def ratio_text(ratio: float) -> str:
    """Write a score as a multiple of its threshold, above 1, so that it stays above 1.

    Examples
    --------
    >>> ratio_text(3.2078), ratio_text(1.00001)
    ('3.21 of 1.00', '1.01 of 1.00')
    """
    hundredths = max(101, math.ceil(round(min(ratio, LARGEST_RATIO) * 100, 6)))
    return f"{hundredths / 100:.2f} of 1.00"


def _is_no_class(name: str) -> bool:
    """Tell whether a line of that name would be read as something else than a class."""
    key = name.partition(":")[0].strip().casefold()
    return key in ("model", OUT_OF_DISTRIBUTION.casefold())


def _model_lines(
    prediction: Prediction, file_name: str, file_size: int, characters: Characters
) -> list[str]:
    pairs = [
        ("Model", prediction.model),
        ("Dataset", prediction.dataset),
        ("Date", date_text(prediction.date)),
        ("FileName", file_name),
        ("FileSize", f"{file_size / 1000:.3f}kB"),
    ]
    pairs += _reason(prediction) if prediction.withheld else _classes(prediction, characters)
    return [characters.representable(f"{{ {key} : {value} }}") for key, value in pairs]


def _reason(prediction: Prediction) -> list[tuple[str, str]]:
    """Say why there is no class, in place of the classes."""
    pairs = [(WITHHELD, prediction.withheld)]
    if prediction.unlikeness is not None and prediction.outside:
        pairs.append((OUT_OF_DISTRIBUTION, ratio_text(prediction.unlikeness.ratio)))
    return pairs


def _classes(prediction: Prediction, characters: Characters) -> list[tuple[str, str]]:
    names = [characters.representable(name) for name in prediction.classes]
    if len(set(names)) != len(names) or any(map(_is_no_class, names)):
        raise UnwritablePredictionError(
            f"model {prediction.model}: two classes have the same name once written in the image's "
            f"character set, or one is called Model or {OUT_OF_DISTRIBUTION}, which mean something "
            "else in the block; rename it on the model's card"
        )
    pairs = [(WARNING, prediction.warning)] if prediction.warning else []
    pairs.append(("Class", CLASS_HEADING))
    shares = percentages(prediction.probabilities)
    return [*pairs, *((names[index], f"{share:.2f}") for index, share in shares)]


def private_block(
    predictions: Iterable[Prediction],
    *,
    SOPInstanceUID: str,  # noqa: N803 - the attribute's own name
    file_size: int,
    characters: Characters = Characters(),  # noqa: B008 - frozen, so one for all calls is the same
) -> list[tuple[str, str]]:
    """Write the lines of the private block.

    Parameters
    ----------
    predictions
        One for each model, in the order in which they are to be shown.
    SOPInstanceUID
        Of the image that was read; the file's name is made of it.
    file_size
        Size in bytes of the de-identified image that was read.
    characters
        What the data set can hold.

    Returns
    -------
    list of (str, str)
        VR, which is LO or ST, and text of each line.

    Raises
    ------
    UnwritablePredictionError
        If a line is longer than ST holds, or two classes cannot be told apart.
    """
    block: list[tuple[str, str]] = []
    for prediction in predictions:
        for line in _model_lines(prediction, f"{SOPInstanceUID}.dcm", file_size, characters):
            if len(line) > SHORT_TEXT:
                raise UnwritablePredictionError(
                    f"a name on the card of model {prediction.model} is too long for a private "
                    f"element ({SHORT_TEXT} characters): shorten it"
                )
            block.append(("LO" if len(line) <= LONG_STRING else "ST", line))
    return block


def block_elements(
    lines: Sequence[tuple[str, str]], group: int, characters: Characters
) -> dict[int, bytes]:
    """Encode the lines of a block and its reservations.

    Parameters
    ----------
    lines
        VR and text, as `private_block` gives them.
    group
        The private group, odd.
    characters
        What the data set can hold.

    Returns
    -------
    dict of int to bytes
        Encoded elements by tag, in rising order. Empty if there are no lines.

    Raises
    ------
    UnwritablePredictionError
        If a private group cannot hold that many lines.
    """
    blocks = -(-len(lines) // ELEMENTS_PER_BLOCK)
    if blocks > LAST_BLOCK - FIRST_BLOCK + 1:
        raise UnwritablePredictionError(f"{len(lines)} lines: a private group cannot hold as many")
    base = group << 16
    reserved = [base | FIRST_BLOCK + index for index in range(blocks)]
    elements = {tag: element(tag, "LO", PRIVATE_CREATOR.encode("ascii")) for tag in reserved}
    for index, (vr, text) in enumerate(lines):
        block, position = divmod(index, ELEMENTS_PER_BLOCK)
        tag = base | (FIRST_BLOCK + block) << 8 | FIRST_ELEMENT + position
        elements[tag] = element(tag, vr, characters.encode(text))
    return elements


def private_dictionary(models: int = 8, classes: int = 6) -> dict[str, list[str | int]]:
    """Make the entries of Orthanc's ``Dictionary`` for the block's usual place.

    Where the lines of a second model begin depends on how many classes the first one has, so only
    the first six lines have names of their own. Date is a keyword of the standard already, which
    ``/tools/find`` would confuse.

    Parameters
    ----------
    models
        How many models to provide for.
    classes
        How many classes each of them may have; each model may have one line more.

    Returns
    -------
    dict of str to list
        For each tag VR, name, least and greatest multiplicity, private creator.

    Raises
    ------
    ValueError
        If the elements do not fit into one block.

    Examples
    --------
    >>> dictionary = private_dictionary(models=1, classes=2)
    >>> dictionary["0055,1010"]
    ['LO', 'Model', 1, 1, 'UACJ_VISOR']
    >>> dictionary["0055,1017"]
    ['LO', 'PredictionLine08', 1, 1, 'UACJ_VISOR']
    """
    heading = ("Model", "Dataset", "PredictionDate", "FileName", "FileSize", "PredictionClass")
    count = models * (len(heading) + classes + 1)
    if models < 1 or classes < 1 or count > ELEMENTS_PER_BLOCK:
        raise ValueError(f"expected 1 to {ELEMENTS_PER_BLOCK} elements")
    names = list(heading)
    names += [f"PredictionLine{index + 1:02d}" for index in range(len(heading), count)]
    return {
        f"{FIRST_GROUP:04x},{FIRST_BLOCK:02x}{FIRST_ELEMENT + index:02x}": [
            "LO",
            name,
            1,
            1,
            PRIVATE_CREATOR,
        ]
        for index, name in enumerate(names)
    }
