"""The command line: one line for what cannot be, and no traceback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "preread.demo", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_folder_that_is_not_there() -> None:
    done = _run("show", DICOM="no-such-folder")
    assert done.returncode == 1
    assert done.stderr == "preread: DICOM=no-such-folder is not a folder\n"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = _run("show", "--storage", str(tmp_path), HTTP_PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"preread: HTTP port {port} cannot be used")
    assert done.stderr.count("\n") == 1


def test_a_configuration_that_is_not_there() -> None:
    done = _run("show", "--configuration", "no-such.json")
    assert done.returncode == 1
    assert done.stderr.startswith("preread: no-such.json: cannot be read")
