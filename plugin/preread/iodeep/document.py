"""The text of DnnArchitecture: JSON, or the Python literal of a dict as the prototype writes it.

Text is data here: what could be anything else than strings, numbers and containers of them is
refused before Python's own parser sees it. What the layers mean is not looked at.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, Final, NoReturn

from preread.iodeep.errors import InvalidIODeepError

LARGEST_ARCHITECTURE: Final = 256 * 1024
"""Bytes of the text; the article's U-Net takes six thousand."""
DEEPEST: Final = 16
"""Nesting of containers; the article's format has three levels."""

_ATTRIBUTE: Final = "DnnArchitecture"
_FORM: Final = "expected a JSON object, or the Python literal of a dict"
_TOKEN: Final = re.compile(
    r"""
    \s+
    | (?P<open>[{\[(]) | (?P<close>[}\])]) | [,:]
    | '(?:[^'\\\n]|\\.)*+' | "(?:[^"\\\n]|\\.)*+"
    | -?\d++(?:\.\d*+)?(?:[eE][+-]?\d++)?
    | (?:True|False|None|true|false|null)\b
    """,
    flags=re.VERBOSE,
)
_LARGEST_NUMBER: Final = 2**53
"""Beyond it JSON's numbers are no longer exact everywhere."""


def parse_document(text: str) -> dict[str, Any]:
    """Read the text of an architecture.

    Parameters
    ----------
    text
        JSON, or the Python literal of a dict (single quotes, True, None).

    Returns
    -------
    dict
        As `json.loads` would give it: keys are strings, and tuples are lists.

    Raises
    ------
    InvalidIODeepError
        If it is too large, nested too deep, or neither.

    Examples
    --------
    >>> parse_document("{'architecture': {1: 'cnn2d'}, 'stride': (1, 1)}")
    {'architecture': {'1': 'cnn2d'}, 'stride': [1, 1]}
    """
    if len(text) > LARGEST_ARCHITECTURE:
        _refuse(f"larger than the {LARGEST_ARCHITECTURE} characters that it may have")
    text = text.strip(" \0\t\r\n\ufeff")
    _check_tokens(text)
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = _literal(text)
    return plain_document(parsed)


def plain_document(parsed: object) -> dict[str, Any]:
    """Give a dict of an architecture as JSON would have it.

    Raises
    ------
    InvalidIODeepError
        If it is no dict, is nested too deep, or holds what JSON cannot.
    """
    found = _plain(parsed, 0)
    if not isinstance(found, dict) or not found:
        _refuse(_FORM)
    return found


def document_text(document: dict[str, Any]) -> str:
    """Write an architecture as JSON, in ASCII, without white space."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def rows_and_columns(document: dict[str, Any]) -> tuple[int, int] | None:
    """Read from an architecture how large its input is.

    Returns
    -------
    tuple of int, or None
        Rows and Columns: ``input_shape1`` and ``input_shape2`` with channels first,
        ``input_shape0`` and ``input_shape1`` with channels last. None if they are not stated.

    Examples
    --------
    >>> shape = {"input_shape0": "3", "input_shape1": "224", "input_shape2": 200}
    >>> rows_and_columns({"input_shape": shape, "data_format": "channels_first"})
    (224, 200)
    """
    shape = document.get("input_shape")
    if not isinstance(shape, dict):
        return None
    stated = document.get("data_format", "")
    if isinstance(stated, dict):  # the article repeats the name within
        stated = stated.get("data_format", "")
    last = str(stated).strip().casefold() == "channels_last"
    keys = ("input_shape0", "input_shape1") if last else ("input_shape1", "input_shape2")
    # With two numbers it is the shape of a signal, not of an image.
    found = [_whole(shape.get(key)) for key in (*keys, "input_shape2")]
    if found[0] is None or found[1] is None or found[2] is None:
        return None
    return found[0], found[1]


def _whole(value: object) -> int | None:
    text = str(value).strip()
    return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text, flags=re.ASCII) else None


def _refuse(reason: str) -> NoReturn:
    raise InvalidIODeepError(_ATTRIBUTE, reason)


def _check_tokens(text: str) -> None:
    """Refuse, in time that grows with the text alone, what is nested too deep or is no data."""
    depth = position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            _refuse(f"{_FORM}; there is something else at character {position + 1}")
        if token["open"]:
            depth += 1
            if depth > DEEPEST:
                _refuse(f"nested deeper than {DEEPEST} levels")
        elif token["close"]:
            depth -= 1
        position = token.end()


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        _refuse(_FORM)


def _plain(value: object, depth: int) -> Any:
    if depth > DEEPEST:
        _refuse(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {_key(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    if value is None or isinstance(value, str | bool):
        return value
    # Neither what is no number nor what is endless is that small.
    if isinstance(value, int | float) and abs(value) <= _LARGEST_NUMBER:
        return value
    _refuse(f"expected texts, and finite numbers up to {_LARGEST_NUMBER}, in objects and lists")


def _key(key: object) -> str:
    if isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool)):
        return str(key)
    _refuse("expected texts or whole numbers as names")
