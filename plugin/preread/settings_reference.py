"""Writes the reference of the settings from the models that check them."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo

from preread.settings import Section, Settings

_HEAD = """\
# Settings

All settings stand in the `"Preread"` section of Orthanc's configuration. Each has a default, so
an empty section works. They are checked when Orthanc starts: an unknown key, a wrong type or an
impossible combination stops the start with one line that names the key. Strings may hold
`${NAME}` and `${NAME:-default}` from the environment, as in the rest of Orthanc's configuration;
one without a default that is not set stops the start too.

This file is made by `preread settings`; change the descriptions in
`plugin/preread/sections.py` and `iodeep_sections.py`.
"""

_TABLE = "| Setting | Type | Default | What it does |\n|---|---|---|---|\n"


def markdown() -> str:
    """Return the reference as Markdown, with a newline at its end.

    Examples
    --------
    >>> markdown().startswith("# Settings")
    True
    """
    parts = [_HEAD]
    for title, section in _sections(Settings, "Preread"):
        rows = [
            _row(name, field) for name, field in section.model_fields.items() if not _within(field)
        ]
        if rows:
            about = "" if section is Settings else f"{_first_line(section)}\n\n"
            parts.append(f"## `{title}`\n\n{about}{_TABLE}" + "\n".join(rows) + "\n")
    example = json.dumps({"Preread": _example(Settings)}, indent=2)
    parts.append(f"## All defaults\n\n```json\n{example}\n```\n")
    return "\n".join(parts)


def _sections(section: type[Section], title: str) -> Iterator[tuple[str, type[Section]]]:
    yield title, section
    for field in section.model_fields.values():
        inner = _within(field)
        if inner is not None:
            yield from _sections(inner, f"{title}.{field.alias}")


def _within(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _first_line(section: type[Section]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _row(name: str, field: FieldInfo) -> str:
    cells = (
        f"`{field.alias or name}`",
        _type(field),
        f"`{json.dumps(_plain(field.default))}`",
        field.description or "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(field: FieldInfo) -> str:
    words = _words(field.annotation)
    bounds = [bound for bound in map(_bound, field.metadata) if bound]
    return f"{words}, {' and '.join(bounds)}" if bounds else words


def _words(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(f'`"{member.value}"`' for member in kind)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return " or ".join(_words(one) for one in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"list of {_words(typing.get_args(kind)[0])}s"
    return {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "string",
        Path: "path",
        type(None): "`null`",
    }.get(kind, "object")


_COMPARED = (
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Gt, "gt", "above"),
    (annotated_types.Le, "le", "at most"),
    (annotated_types.Lt, "lt", "below"),
)


def _bound(rule: Any) -> str:
    for kind, name, words in _COMPARED:
        if isinstance(rule, kind):
            limit = getattr(rule, name)
            return f"{words} {limit:g}" if isinstance(limit, int | float) else ""
    if isinstance(rule, annotated_types.MinLen):
        return f"{rule.min_length} or more characters"
    if isinstance(rule, annotated_types.MaxLen):
        return f"{rule.max_length} characters at most"
    return ""


def _plain(value: Any) -> Any:
    """Return a default as JSON would hold it."""
    if isinstance(value, Section):
        return {
            field.alias or name: _plain(getattr(value, name))
            for name, field in type(value).model_fields.items()
        }
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _example(section: type[Section]) -> Any:
    return _plain(section())
