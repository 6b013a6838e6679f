"""Compares typings/orthanc.pyi with the real module and writes what differs as JSON."""

import ast
import json
import os
from pathlib import Path

import orthanc

stub = ast.parse(Path(os.environ["STUB"]).read_text())
missing: list[str] = []
wrong: list[str] = []
for node in stub.body:
    if isinstance(node, ast.ClassDef | ast.FunctionDef) and not hasattr(orthanc, node.name):
        missing.append(node.name)
        continue
    if isinstance(node, ast.FunctionDef) and not callable(getattr(orthanc, node.name)):
        wrong.append(node.name)
    if isinstance(node, ast.ClassDef):
        real = getattr(orthanc, node.name)
        if not isinstance(real, type):
            wrong.append(node.name)
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                name = item.target.id
                if not isinstance(getattr(real, name, None), int):
                    missing.append(f"{node.name}.{name}")
            elif isinstance(item, ast.FunctionDef) and not callable(getattr(real, item.name, None)):
                missing.append(f"{node.name}.{item.name}")
Path(os.environ["REPORT"]).write_text(json.dumps({"missing": missing, "wrong": wrong}))
