"""Writes the conformance statement of de-identification from the code that carries it out.

The words stand in ``reference.md`` beside this module; what is a table or a number in the
statement is put in here. Run as a module it prints ``docs/deidentification.md``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from pydicom.datadict import keyword_for_tag

from preread.deidentify.actions import Action
from preread.deidentify.audit import AuditLog, digest_of
from preread.deidentify.descriptors.vocabulary import vocabulary
from preread.deidentify.dummies import dummy
from preread.deidentify.iod_types import known_sop_classes, types_of
from preread.deidentify.options import BASIC_PROFILE, Option
from preread.deidentify.profile import TEXT_VRS, alternatives_of, profile_of
from preread.deidentify.pseudonyms import Pseudonyms
from preread.deidentify.safe_private import safe_private_table
from preread.deidentify.secret import Secret
from preread.deidentify.table import PRIVATE, Row, table_e1_1
from preread.elements import VRS, dictionary_vr, standard_tags

_TEMPLATE: Final = "reference.md"
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")

SHORT_NAMES: Final = {
    Option.CLEAN_PIXEL_DATA: "Pixels",
    Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES: "Faces",
    Option.CLEAN_GRAPHICS: "Graphics",
    Option.CLEAN_STRUCTURED_CONTENT: "Structured",
    Option.CLEAN_DESCRIPTORS: "Descriptors",
    Option.RETAIN_LONGITUDINAL_FULL_DATES: "FullDates",
    Option.RETAIN_LONGITUDINAL_MODIFIED_DATES: "ModifiedDates",
    Option.RETAIN_PATIENT_CHARACTERISTICS: "Patient",
    Option.RETAIN_DEVICE_IDENTITY: "Device",
    Option.RETAIN_UIDS: "UIDs",
    Option.RETAIN_SAFE_PRIVATE: "SafePrivate",
    Option.RETAIN_INSTITUTION_IDENTITY: "Institution",
}
"""What the options are called in the table of all rows."""

WORDS: Final = {
    Action.KEEP: "kept",
    Action.REMOVE: "removed",
    Action.EMPTY: "emptied",
    Action.DUMMY: "dummy",
    Action.UID: "new UID",
    Action.ITEMS: "items de-identified",
    Action.DUMMY_ITEMS: "items kept, texts and codes dummies",
    Action.DUMMY_CONTENT: "tree kept, texts and codes of a site dummies",
    Action.CLEAN_ITEMS: "items kept, texts cleaned",
    Action.CLEAN: "cleaned",
    Action.SHIFT: "moved",
    Action.TIME: "kept",
    Action.VALID_UID: "kept",
    Action.ALIAS: "alias",
}
"""What the table of all rows says of an action."""

WRITTEN: Final = {
    0x00080018: "new UID",
    0x00100010: "pseudonym",
    0x00100020: "pseudonym",
    0x0020000D: "new UID",
    0x0020000E: "new UID",
}
"""What stands at the top level of every object, whatever was there."""

_NOT_IN_DATA_SETS: Final = {
    0x0000: "removed: belongs to commands",
    0x0002: "written anew, as the new SOPInstanceUID",
    0x0004: "removed; a DICOMDIR is made anew",
}
_REPEATING: Final = {
    "50xxxxxx": (0x50003000, "all elements of PS3.3 C.10.2"),
    "60xx3000": (0x60003000, "text in it is looked for"),
    "60xx4000": (0x60004000, ""),
}
_EXAMPLE_TIME: Final = "2026-01-01T12:00:00.000+00:00"
_EXAMPLE_PROCESS: Final = "4711"


def markdown() -> str:
    """Return the statement as Markdown, with a newline at its end.

    Examples
    --------
    >>> markdown().startswith("# De-identification")
    True
    """
    template = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return _PLACE.sub(lambda place: _PARTS[place[1]](), template)


def rows() -> str:
    """Return Table E.1-1 with what is done, as a table of Markdown."""
    lines = ["| tag | name | VR | code | what is done | options |", "|---|---|---|---|---|---|"]
    lines += [
        "| " + " | ".join((_written_tag(row), row.name, _vr(row), row.action, *cells)) + " |"
        for row in table_e1_1().rows
        for cells in [(_done(row), _changed(row))]
    ]
    return "\n".join(lines)


def _written_tag(row: Row) -> str:
    return "private" if row.tag == PRIVATE else f"({row.tag[:4]},{row.tag[4:]})"


def _tag(row: Row) -> int:
    """Return the row's tag; of a repeating group the first one's, 0 for all private ones."""
    if row.tag in _REPEATING:
        return _REPEATING[row.tag][0]
    return 0 if row.tag == PRIVATE else int(row.tag, 16)


def _vr(row: Row) -> str:
    if row.tag in ("50xxxxxx", PRIVATE):
        return ""
    return dictionary_vr(_tag(row)).decode("ascii")


def _done(row: Row) -> str:
    """Say what is done without options, at the top level and deeper down."""
    tag = _tag(row)
    group = tag >> 16
    if tag and group in _NOT_IN_DATA_SETS:
        return _NOT_IN_DATA_SETS[group]
    deeper = WORDS[profile_of().actions.get(tag, Action.REMOVE)]
    if tag in WRITTEN:
        top = f"written anew: {WRITTEN[tag]}"
    else:
        by_type = _by_type(tag)
        if set(by_type) == {deeper}:
            return deeper
        if len(by_type) == 1:
            (top,) = by_type
        else:
            top = ", ".join(
                f"{word} (type {' or '.join(map(str, sorted(types)))})"
                for word, types in by_type.items()
            )
    return f"{top}; nested: {deeper}"


def _by_type(tag: int) -> dict[str, set[int]]:
    """Return what is done at the top level of the known SOP classes, by the attribute's type."""
    found: dict[str, set[int]] = defaultdict(set)
    for uid in known_sop_classes():
        action = profile_of().top(uid).get(tag, Action.REMOVE)
        found[WORDS[action]].add((types_of(uid) or {}).get(tag, 3))
    return dict(sorted(found.items(), key=lambda item: min(item[1])))


def _changed(row: Row) -> str:
    cells = []
    for option in Option:
        code = row.options.get(option)
        if code is None:
            continue
        cells.append(f"{SHORT_NAMES[option]} {code}: {_result(row, option)}")
    return "; ".join(cells)


def _result(row: Row, option: Option) -> str:
    """Say what one option makes of a row."""
    tag = _tag(row)
    if row.tag == PRIVATE:
        return "kept if listed"
    if tag >> 16 in _NOT_IN_DATA_SETS:
        return "no change"
    more = _REPEATING[row.tag][1] if row.tag in _REPEATING else ""
    if tag in WRITTEN:
        return "kept"
    action = profile_of(frozenset((option,))).actions.get(tag, Action.REMOVE)
    if action == profile_of().actions.get(tag, Action.REMOVE) and action is not Action.ITEMS:
        return "no change"
    return f"{WORDS[action]} ({more})" if more else WORDS[action]


def _options() -> str:
    counts = Counter((option, code) for row in table_e1_1().rows for option, code in _codes(row))
    lines = ["| option | code | short | rows |", "|---|---|---|---|"]
    for option in Option:
        found = [f"{counts[option, code]} {code}" for code in "KC" if counts[option, code]]
        cells = (f"`{option}`", option.code, SHORT_NAMES[option], ", ".join(found) or "none")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _codes(row: Row) -> Iterable[tuple[Option, str]]:
    return ((Option(name), code) for name, code in row.options.items())


def _action_counts() -> str:
    counts = Counter(row.action for row in table_e1_1().rows)
    return ", ".join(f"{code} {count}" for code, count in counts.most_common())


def _dummies() -> str:
    by_value: dict[str, list[str]] = defaultdict(list)
    for vr in sorted(VRS - {b"SQ", b"UI"}):
        value = dummy(vr, "**.**")
        shown = f"`{value.decode('ascii')}`" if any(value) else "zero"
        by_value[shown].append(vr.decode("ascii"))
    lines = ["| VR | dummy |", "|---|---|"]
    lines += [f"| {', '.join(vrs)} | {shown} |" for shown, vrs in by_value.items()]
    return "\n".join(lines)


def _too_new() -> str:
    """Name the rows that the dictionary does not have yet."""
    return ", ".join(
        _written_tag(row)
        for row in table_e1_1().rows
        if row.tag != PRIVATE and "x" not in row.tag and not dictionary_vr(_tag(row))
    )


def _unlisted() -> dict[int, Action]:
    """Return what is done with the attributes that the table does not list."""
    listed = {_tag(row) for row in table_e1_1().rows}
    actions = profile_of().actions
    return {tag: actions.get(tag, Action.REMOVE) for tag in standard_tags() if tag not in listed}


def _kept_texts() -> str:
    """Name the text attributes that stay as they are, by VR."""
    by_vr: dict[str, list[str]] = defaultdict(list)
    for tag, action in sorted(_unlisted().items()):
        vr = dictionary_vr(tag)
        keyword = keyword_for_tag(tag)
        if action is Action.KEEP and vr in TEXT_VRS and keyword:
            by_vr[vr.decode("ascii")].append(keyword)
    return "\n\n".join(
        _filled(f"**{vr}** ({len(keywords)}): {', '.join(keywords)}.")
        for vr, keywords in sorted(by_vr.items())
    )


def _more_uids() -> str:
    keywords = [
        keyword_for_tag(tag)
        for tag, action in sorted(_unlisted().items())
        if action is Action.UID and keyword_for_tag(tag)
    ]
    return _filled(", ".join(keywords), indent="   ").lstrip()


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, 100, initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )


def _safe_private() -> str:
    by_creator: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for each in safe_private_table():
        by_creator[each.creator][each.group].append(f"{each.element:02X}")
    lines = ["| private creator | elements (gggg: xx..) |", "|---|---|"]
    for creator, groups in sorted(by_creator.items()):
        parts = (f"{group:04X}: {' '.join(sorted(found))}" for group, found in groups.items())
        lines.append(f"| `{creator}` | {'; '.join(parts)} |")
    return "\n".join(lines)


def _binary_private() -> str:
    return str(sum(each.vr in (b"OB", b"OW", b"UN") for each in safe_private_table()))


def _audit_line() -> str:
    """Return a line of the audit trail, made by what makes them, with invented values."""
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder) / "audit.jsonl", source="orthanc")
        log.deidentified(
            sender="C-STORE",
            digest=digest_of(b"an invented file"),
            PatientID=pseudonyms.patient("INVENTED-1"),
            StudyInstanceUID=pseudonyms.uid("1.2.3"),
            SeriesInstanceUID=pseudonyms.uid("1.2.3.4"),
            SOPInstanceUID=pseudonyms.uid("1.2.3.4.5"),
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            profile=f"Basic Application Level Confidentiality Profile, PS3.15 {_edition()}",
            options=[BASIC_PROFILE[0], Option.RETAIN_PATIENT_CHARACTERISTICS.code],
            counts={"X": 21, "Z": 9, "D": 2, "U": 4, "set": 9},
            duration_ms=1.25,
        )
        log.close()
        message = json.loads((Path(folder) / "audit.jsonl").read_bytes())
    message["EventIdentification"]["EventDateTime"] = _EXAMPLE_TIME
    message["ActiveParticipant"][1]["AlternativeUserID"] = _EXAMPLE_PROCESS
    return _broken(message)


def _broken(message: Mapping[str, object]) -> str:
    """Write a message as JSON with a line for each part that has a name of its own."""
    parts = []
    for name, value in message.items():
        entries = value if isinstance(value, list) else [value]
        lines = ",\n  ".join(json.dumps(entry) for entry in entries)
        parts.append(f'"{name}":\n ' + (f"[{lines}]" if isinstance(value, list) else f" {lines}"))
    return "{" + ",\n".join(parts) + "}"


def _edition() -> str:
    return profile_of().edition


def _conditional() -> list[Row]:
    return [row for row in table_e1_1().rows if "/" in row.action and "*" not in row.action]


def _demanded() -> str:
    """Name the rows of code X that some IOD demands."""
    return ", ".join(
        f"{_written_tag(row)} {row.name}"
        for row in table_e1_1().rows
        if row.action == "X" and len(alternatives_of(row)) > 1
    )


def _regions() -> str:
    rules = resources.files(f"{__package__}.pixels").joinpath("regions.json").read_bytes()
    return str(len(json.loads(rules)))


_PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "action_counts": _action_counts,
    "audit_line": _audit_line,
    "binary_private": _binary_private,
    "demanded": _demanded,
    "conditional_rows": lambda: str(len(_conditional())),
    "dummies": _dummies,
    "edition": _edition,
    "kept_texts": _kept_texts,
    "more_uids": _more_uids,
    "options": _options,
    "private_creators": lambda: str(len({each.creator for each in safe_private_table()})),
    "private_elements": lambda: str(len(safe_private_table())),
    "regions": _regions,
    "row_count": lambda: str(len(table_e1_1().rows)),
    "rows": rows,
    "safe_private": _safe_private,
    "sop_classes": lambda: str(len(known_sop_classes())),
    "too_new": _too_new,
    "words": lambda: str(len(vocabulary().words)),
}


if __name__ == "__main__":
    sys.stdout.write(markdown())
