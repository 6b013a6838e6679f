"""What the packages take up, which Pythons have them, and that the lock files fit."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / ".ci" / "locks"
_UV = Path(sys.executable).parent / "uv"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def _installed(extra: str = "") -> set[str]:
    """Return the distributions that the base package or an extra brings, all the way down."""
    found: set[str] = set()
    waiting = [("preread", extra)]
    seen = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": wanted}):
                waiting += [(need.name.lower(), one) for one in ("", *sorted(need.extras))]
    return found - {"preread"}


def _megabytes(names: set[str]) -> float:
    """Return the size of what is installed, without what Python compiles of it."""
    paths = {
        Path(str(file.locate()))
        for name in names
        for file in importlib.metadata.files(name) or ()
        if file.suffix != ".pyc"
    }
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def test_the_hooks_need_less_than_200_mb_and_a_node_less_than_700(
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, node = _installed(), _installed() | _installed("runner")
    sizes = _megabytes(base), _megabytes(node)
    with capsys.disabled():
        print(f"\nbase: {sizes[0]:.0f} MB, {len(base)} packages; ", end="")  # noqa: T201
        print(f"with runner: {sizes[1]:.0f} MB, {len(node)} packages")  # noqa: T201
    assert {"numpy", "sqlalchemy", "pydicom"} <= base
    assert not base & {"gdcm", "python-gdcm", "requests", "rich", "scipy", "typer", "openvino"}
    assert not node & {"torch", "torchvision", "captum", "opencv-python", "matplotlib", "rapidocr"}
    assert sizes[0] < 200
    assert sizes[1] < 700


def _resolved(python: str, *extras: str) -> subprocess.CompletedProcess[str]:
    if not _UV.is_file():
        pytest.skip("uv is not installed (extra dev)")
    trusted = {"SSL_CERT_FILE": str(_CERTIFICATES)} if _CERTIFICATES.exists() else {}
    return subprocess.run(
        [
            *(str(_UV), "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
            *("--python-version", python, "--python-platform", "x86_64-manylinux_2_28"),
            *("--only-binary", ":all:", "--default-index", "https://pypi.org/simple"),
            *(word for extra in extras for word in ("--extra", extra)),
            str(ROOT / "pyproject.toml"),
        ],
        env={**os.environ, **trusted},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("python", "extras"),
    [
        *((python, ()) for python in ("3.11", "3.12", "3.13", "3.14")),
        *((python, ("runner", "service")) for python in ("3.11", "3.12", "3.13")),
    ],
    ids=str,
)
def test_every_python_has_builds_of_all_packages(python: str, extras: tuple[str, ...]) -> None:
    done = _resolved(python, *extras)
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip("PyPI does not answer")
    assert done.returncode == 0, done.stderr
    assert "numpy==" in done.stdout


@pytest.mark.parametrize("name", ["node", "dev"])
def test_the_lock_files_are_made_for_what_is_required(name: str) -> None:
    wanted = subprocess.run(
        [sys.executable, ".ci/wanted.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    assert text.startswith(f"# Made by .ci/lock for {wanted.stdout}"), "run: make locks"
    pinned = re.findall(r"^([\w.-]+)(?:\[\w+\])?==\S+", text, flags=re.MULTILINE)
    blocks = re.split(r"^(?=[\w.-]+(?:\[\w+\])?==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pinned)
    assert all("--hash=sha256:" in block for block in blocks)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {Requirement(line).name for line in project["dependencies"]} <= set(pinned)
