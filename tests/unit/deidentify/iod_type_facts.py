"""The facts of `iod-types.json`, from highdicom's tables of PS3.3.

``python -m tests.unit.deidentify.iod_type_facts`` in the repository writes the file anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom
from highdicom import _standard_utils as tables
from pydicom.datadict import keyword_for_tag, tag_for_keyword

import preread.deidentify.iod_types
from preread.deidentify.iod_types import ABSENT
from preread.deidentify.table import PRIVATE, Row, table_e1_1

PATH = Path(preread.deidentify.iod_types.__file__).with_name("iod-types.json")
_STRICTNESS = {"1": 1, "1C": 1, "2": 2, "2C": 2, "3": 3}


def conditional_tags() -> list[int]:
    """Return the attributes of Table E.1-1 whose action depends on their type.

    Those that the table removes whatever their type, and that some IOD demands, are among them.
    """
    conditional = {int(row.tag, 16) for row in table_e1_1().rows if "/" in row.action}
    removed = {row.tag: int(row.tag, 16) for row in table_e1_1().rows if _is_removed(row)}
    return sorted(conditional | demanded_tags() & set(removed.values()))


def demanded_tags() -> set[int]:
    """Return the attributes that some IOD demands in a module that it has in any case."""
    modules = tables.get_module_attribute_map()
    iods = tables.get_iod_module_map()
    keywords = {
        attribute["keyword"]
        for iod in set(tables.get_sop_class_iod_map().values()) - {"basic-directory"}
        for module in iods[iod]
        if module["usage"] == "M"
        for attribute in modules.get(str(module["key"]), ())
        if not attribute["path"] and attribute["type"] in ("1", "2")
    }
    return {int(tag) for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None}


def _is_removed(row: Row) -> bool:
    return row.action == "X" and row.tag != PRIVATE and "x" not in row.tag


def types_by_sop_class() -> Iterator[tuple[str, dict[int, int]]]:
    """Yield SOP classes with what their IODs require, those known in full alone."""
    tags = {keyword_for_tag(tag): tag for tag in conditional_tags()}
    modules = tables.get_module_attribute_map()
    iods = tables.get_iod_module_map()
    for uid, iod in sorted(tables.get_sop_class_iod_map().items()):
        keys = [str(module["key"]) for module in iods[iod]]
        if all(key in modules for key in keys):
            yield uid, _strictest([each for key in keys for each in modules[key]], tags)


def _strictest(attributes: list[dict[str, Any]], tags: dict[str, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for attribute in attributes:
        tag = tags.get(attribute["keyword"])
        if tag is not None and not attribute["path"]:
            found[tag] = min(found.get(tag, 3), _STRICTNESS[attribute["type"]])
    return found


def facts() -> dict[str, Any]:
    """Return what the file holds."""
    by_class = dict(types_by_sop_class())
    tags = sorted({tag for types in by_class.values() for tag in types})
    patterns = {
        uid: "".join(str(types.get(tag, ABSENT)) for tag in tags) for uid, types in by_class.items()
    }
    distinct = sorted(set(patterns.values()))
    return {
        "Source": "DICOM PS3.3, the modules of each IOD and the types of their attributes",
        "MadeFrom": f"highdicom {highdicom.__version__}",
        "Tags": [f"{tag:08X}" for tag in tags],
        "Patterns": distinct,
        "SOPClasses": {uid: distinct.index(pattern) for uid, pattern in patterns.items()},
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(facts(), indent=0) + "\n", encoding="utf-8")
