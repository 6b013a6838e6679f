"""Our stub of Orthanc's module against the module of a running Orthanc."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

from tests.integration.pacs import ROOT, Pacs

STUB = ROOT / "typings" / "orthanc.pyi"


def test_every_name_of_the_stub_exists(make_pacs: Callable[..., Pacs], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    script = ROOT / "tests" / "integration" / "stub_plugin.py"
    make_pacs({}, script=script).start({"STUB": str(STUB), "REPORT": str(report)})
    assert json.loads(report.read_text()) == {"missing": [], "wrong": []}


def test_the_stub_declares_every_name_that_is_used() -> None:
    declared = {
        node.name
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    used = set()
    for file in (ROOT / "plugin" / "preread" / "hooks").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "orthanc":
                used.add(node.attr)
    assert used
    assert used <= declared


def test_only_the_hooks_import_orthanc() -> None:
    for file in (ROOT / "plugin").rglob("*.py"):
        if file.parent.name == "hooks":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert "orthanc" not in [name.split(".")[0] for name in names], file
