"""Imports between rooms run one way: what a room may import stands before it in one list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "plugin" / "preread"

# A file or folder of the package may import those before it. ``preread`` is the package itself.
ORDER = (
    *("preread", "errors", "lost_values", "section", "wal", "tables", "user_cache"),
    *("variables", "log"),
    # DICOM and pixels, and what was found in them.
    *("elements", "imaging", "findings"),
    # Readers find and writers write; neither knows the other.
    *("models", "results"),
    # What is kept, and where.
    *("ledger", "archive", "deidentify"),
    *("iodeep_sections", "sections", "settings", "settings_reference", "container", "connecting"),
    *("explaining", "importing", "quarantining", "deidentifying"),
    *("iodeep", "wiring", "arriving"),
    # The two processes, and what stands beside them.
    *("runner", "hooks", "service", "training", "phantom", "web", "demo", "cli", "__main__"),
)
MAY_NOT = {
    "models": ("results", "ledger", "archive"),
    "results": ("models", "iodeep", "ledger", "archive"),
    "iodeep": ("results", "ledger", "runner"),
    "findings": ("elements", "models", "results"),
}
"""What order alone does not say: readers and writers do not know each other."""


def room_of(module: str) -> str:
    """Return the file or folder of the package that a module lies in."""
    return module.split(".")[1] if "." in module else "preread"


def imports(path: Path) -> Iterator[str]:
    """Give the modules of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] == "preread")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "preread":
            assert node.module is not None
            # "from preread import log" names a room, not something of the package itself.
            for each in node.names:
                below = PACKAGE.parent.joinpath(*node.module.split("."), each.name)
                is_module = below.is_dir() or below.with_suffix(".py").exists()
                yield f"{node.module}.{each.name}" if is_module else node.module


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in path.parts]


def room_of_file(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "preread" if first == "__init__.py" else first.removesuffix(".py")


def test_every_room_has_its_place() -> None:
    assert {room_of_file(path) for path in files()} == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_what_stands_before_it(room: str) -> None:
    allowed = set(ORDER[: ORDER.index(room) + 1]) - set(MAY_NOT.get(room, ()))
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in files()
        if room_of_file(path) == room
        for module in imports(path)
        if room_of(module) not in allowed
    ]
    assert wrong == []


def test_orthanc_is_imported_by_the_hooks_alone() -> None:
    wrong = [
        str(path.relative_to(PACKAGE))
        for path in files()
        if room_of_file(path) != "hooks"
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(one.name == "orthanc" for one in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "orthanc")
    ]
    assert wrong == []


def test_a_kind_of_work_knows_no_other() -> None:
    folder = PACKAGE / "runner" / "kinds"
    common = {"preread.runner.kinds", "preread.runner.kinds.kind"}
    for path in sorted(folder.glob("*.py")):
        if path.stem in ("__init__", "registry"):
            continue
        found = {name for name in imports(path) if name.startswith("preread.runner.kinds")}
        assert found <= common, path.name
