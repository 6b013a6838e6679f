"""A stand-in for the ``orthanc`` module, made from our stub: what the stub lacks raises."""

import ast
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.iodeep.conftest import arrays as arrays  # noqa: PLC0414 - fixtures
from tests.unit.iodeep.conftest import make as make_network  # noqa: F401
from tests.unit.iodeep.conftest import prototype as prototype  # noqa: PLC0414
from tests.unit.iodeep.conftest import weights as weights  # noqa: PLC0414

STUB = Path(__file__).parents[3] / "typings" / "orthanc.pyi"


class FakeOrthanc(types.ModuleType):
    """Declares exactly the names of the stub; functions record their calls."""

    def __init__(self) -> None:
        super().__init__("orthanc")
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: dict[str, Any] = {}
        for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                setattr(self, node.name, self._class(node))
            elif isinstance(node, ast.FunctionDef):
                setattr(self, node.name, self._function(node))
        # Orthanc's own parser reads whatever a test does not say it cannot.
        self.answers["CreateDicomInstance"] = self.DicomInstance()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"typings/orthanc.pyi does not declare orthanc.{name}")

    def _class(self, node: ast.ClassDef) -> type:
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        members = [
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        ]
        if "int" in bases:
            made = type(node.name, (int,), {})
            for number, member in enumerate(members):
                setattr(made, member, made(number))
            return made
        if "Exception" in bases:
            return type(node.name, (Exception,), {})
        methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]

        def refuse(_self: object, name: str) -> Any:
            raise AttributeError(f"typings/orthanc.pyi does not declare {node.name}.{name}")

        body: dict[str, Any] = {"__getattr__": refuse}
        for method in methods:
            body[method] = self._method(method)
        return type(node.name, (), body)

    @staticmethod
    def _method(name: str) -> Any:
        def method(self: Any, *args: Any) -> Any:
            self.__dict__.setdefault("calls", []).append((name, args))
            return self.__dict__.get("answers", {}).get(name)

        return method

    def _function(self, node: ast.FunctionDef) -> Any:
        expected = len(node.args.posonlyargs) + len(node.args.args)

        def function(*args: Any) -> Any:
            if len(args) != expected:
                raise TypeError(f"orthanc.{node.name} takes {expected} arguments, got {len(args)}")
            self.calls.append((node.name, args))
            return self.answers.get(node.name)

        return function

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of every call of a function."""
        return [args for called, args in self.calls if called == name]


@pytest.fixture
def orthanc(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOrthanc]:
    """Put the stand-in where ``import orthanc`` finds it, for hooks imported anew."""
    fake = FakeOrthanc()
    monkeypatch.setitem(sys.modules, "orthanc", fake)
    for name in [name for name in sys.modules if name.startswith("preread.hooks")]:
        monkeypatch.delitem(sys.modules, name)
    yield fake
    for name in [name for name in sys.modules if name.startswith("preread.hooks")]:
        del sys.modules[name]
