"""What the two environments import, each in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The command line's, the runner's, and what libraries would take where they find it.
NOT_IN_ORTHANC = {
    "captum",
    "dicomweb_client",
    "gdcm",
    "highdicom",
    "keras",
    "matplotlib",
    "openvino",
    "onnx",
    "onnxruntime",
    "pynetdicom",
    "requests",
    "rich",
    "scipy",
    "skimage",
    "tenacity",
    "timm",
    "torch",
    "torchvision",
    "tqdm",
    "typer",
}
NOT_IN_THE_RUNNER = {
    "captum",
    "cv2",
    "keras",
    "matplotlib",
    "nncf",
    "onnx",
    "rapidocr",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
}

_HOOKS = """
from tests.unit.hooks.conftest import FakeOrthanc
unwanted = set(json.loads(sys.argv[1]))
for name in [name for name in sys.modules if name.partition(".")[0] in unwanted]:
    del sys.modules[name]  # of pytest, which the stand-in comes with
sys.modules["orthanc"] = FakeOrthanc()
import preread.hooks.bootstrap
preread.hooks.bootstrap.keep_out()
for name in pkgutil.iter_modules(preread.hooks.__path__, "preread.hooks."):
    importlib.import_module(name.name)
"""
_RUNNER = """
import preread.runner, preread.demo.__main__, preread.phantom.command, preread.cli
import preread.iodeep.openvino_network, preread.models.openvino_engine
for name in pkgutil.iter_modules(preread.runner.__path__, "preread.runner."):
    importlib.import_module(name.name)
"""
_BEGIN = "import importlib, json, pkgutil, sys\n"
_END = "print(json.dumps(sorted({m.partition('.')[0] for m, x in sys.modules.items() if x})))"


def _imported(code: str, unwanted: set[str]) -> set[str]:
    """Return the packages that a new interpreter has imported after some code."""
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + code + _END, json.dumps(sorted(unwanted))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [(_HOOKS, NOT_IN_ORTHANC), (_RUNNER, NOT_IN_THE_RUNNER)],
    ids=["hooks", "runner"],
)
def test_no_more_is_imported_than_is_needed(code: str, unwanted: set[str]) -> None:
    imported = _imported(code, unwanted)
    assert "preread" in imported
    assert "pydicom" in imported
    assert imported & unwanted == set()
