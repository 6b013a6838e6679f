"""A recipe for deid that says what Table E.1-1 says, as far as its actions reach."""

from __future__ import annotations

from pydicom.datadict import RepeatersDictionary  # type: ignore[attr-defined]

from tests.unit.deidentify.torture import ROWS, vr_of

_DUMMIES = {
    "AE": "ANONYMIZED", "AS": "000Y", "CS": "ANONYMIZED", "DA": "19000101", "DS": "0",
    "DT": "19000101000000", "IS": "0", "LO": "REMOVED", "LT": "REMOVED", "PN": "Anonymous",
    "SH": "REMOVED", "ST": "REMOVED", "TM": "000000", "UC": "REMOVED", "UR": "about:blank",
    "UT": "REMOVED",
}  # fmt: skip
_PSEUDONYMS = frozenset((0x00100010, 0x00100020))


def recipe() -> str:
    """Return it; conditional actions are resolved to what keeps an object valid."""
    lines = ["FORMAT dicom", "", "%header", ""]
    lines += [_line(tag, row.action) for tag, row in ROWS]
    for pattern in RepeatersDictionary:
        if pattern.startswith("50xx") or pattern in {"60xx3000", "60xx4000"}:
            lines += [
                f"REMOVE {pattern.replace('xx', f'{group:02X}')}" for group in range(0, 0x20, 2)
            ]
    lines.append("REPLACE 00020003 func:uid")
    lines.append("REMOVE 00020016")
    return "\n".join(line for line in lines if line is not None) + "\n"


def _line(tag: int, action: str) -> str:
    name, vr = f"{tag:08X}", vr_of(tag).decode()
    if tag in _PSEUDONYMS:
        return f"REPLACE {name} func:pseudonym"
    if "U" in action:
        return f"REPLACE {name} func:uid" if vr == "UI" else f"# its UIDs are replaced: {name}"
    if "D" in action and vr == "UI":
        return f"REPLACE {name} func:uid"
    if "D" in action and vr in _DUMMIES:
        return f"REPLACE {name} {_DUMMIES[vr]}"
    if "Z" in action:
        return f"BLANK {name}"
    return f"REMOVE {name}"
