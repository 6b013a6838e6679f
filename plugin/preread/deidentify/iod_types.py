"""The type that an IOD gives to the attributes whose action depends on it.

Table E.1-1 of PS3.15 has conditional actions such as X/Z/D: removed where the IOD makes the
attribute optional, emptied where it may be empty, a dummy where it must have a value. PS3.3 says
which it is, module by module; what follows from it for the attributes of such rows is package
data. With them stand attributes that the table removes in any case although some IOD demands them,
such as the date of a presentation state. Of an attribute in several modules of an IOD the strictest
type holds, of conditional types the unconditional one, and modules that an object need not have
count too: a dummy or an empty value too many is harmless, one too few makes an object invalid.

What an attribute is within a sequence or a functional group is not told here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

_FILE: Final = "iod-types.json"
ABSENT: Final = "-"
"""Stands in the data for an attribute that an IOD does not have."""


def types_of(sop_class_uid: str) -> Mapping[int, int] | None:
    """Return what an IOD requires of the attributes with conditional actions.

    Parameters
    ----------
    sop_class_uid
        The SOP class of an object; padding does not count.

    Returns
    -------
    collections.abc.Mapping of int to int, or None
        Tag, 0xGGGGEEEE, to type: 1, 2 or 3. An attribute that the IOD does not have at its top
        level is absent: where an object has it nevertheless (Standard Extended SOP Class, PS3.4
        section 3), it is as good as type 3. None for a SOP class that is not known.

    Examples
    --------
    >>> types_of("1.2.840.10008.5.1.4.1.1.2")[0x00080023]
    2
    """
    return _by_sop_class().get(sop_class_uid.strip("\0 "))


@cache
def demanded() -> frozenset[str]:
    """Return what the file has types of: tags of eight hexadecimal digits.

    Those of rows with the action X are there since some IOD demands them.

    >>> "00700082" in demanded(), "00080081" in demanded()
    (True, False)
    """
    return frozenset(_content()["Tags"])


def known_sop_classes() -> tuple[str, ...]:
    """Return the SOP classes for which `types_of` has an answer.

    >>> "1.2.840.10008.5.1.4.1.1.2" in known_sop_classes()
    True
    """
    return tuple(_by_sop_class())


@cache
def _by_sop_class() -> Mapping[str, Mapping[int, int]]:
    """Read all, once: an object each for the few patterns that the SOP classes share."""
    content = _content()
    tags = [int(tag, 16) for tag in content["Tags"]]
    patterns = [
        MappingProxyType(
            {tag: int(kind) for tag, kind in zip(tags, pattern, strict=True) if kind != ABSENT}
        )
        for pattern in content["Patterns"]
    ]
    return {uid: patterns[number] for uid, number in content["SOPClasses"].items()}


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    )
    return content
