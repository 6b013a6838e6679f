"""What the installation says when it cannot go on."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder that looks like a fresh clone to the script."""
    (tmp_path / "clone" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "setup", tmp_path / "clone" / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "clone")
    shutil.copytree(ROOT / ".ci" / "locks", tmp_path / "clone" / ".ci" / "locks")
    (tmp_path / "bin").mkdir()
    return tmp_path / "clone"


def _program(checkout: Path, name: str, text: str) -> None:
    script = checkout.parent / "bin" / name
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)


def _setup(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(checkout.parent / "bin"), os.environ["PATH"]))
    return subprocess.run(
        [checkout / ".ci" / "setup", *arguments],
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_root_and_a_missing_package_is_one_line(checkout: Path) -> None:
    _program(checkout, "dpkg-query", '[ "$3" = dcmtk ] || echo installed')
    _program(checkout, "id", "echo 1000")
    done = _setup(checkout, "demo")
    assert done.returncode == 1
    assert done.stderr == (
        "preread: Debian packages are missing (dcmtk) and installing them needs root: "
        "sudo apt-get install dcmtk\n"
    )


def test_tests_need_more_packages(checkout: Path) -> None:
    _program(checkout, "dpkg-query", "exit 1")
    _program(checkout, "id", "echo 1000")
    assert "postgresql" not in _setup(checkout, "demo").stderr
    wanted = "dicom3tools debootstrap postgresql tesseract-ocr fonts-dejavu-core chromium"
    assert wanted in _setup(checkout, "test").stderr


def test_nothing_is_done_when_nothing_is_missing(checkout: Path) -> None:
    _program(checkout, "dpkg-query", "echo installed")
    _program(checkout, "apt-get", "echo called >&2; exit 1")
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("preread", "pip"):
        (binaries / name).write_text("#!/bin/sh\necho called >&2; exit 1\n")
        (binaries / name).chmod(0o755)
    made_of = (checkout / "pyproject.toml", checkout / ".ci" / "locks" / "node.txt")
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in made_of)).hexdigest()
    (checkout / ".venv" / ".preread-demo").write_text(f"{stamp}  -\n")
    done = _setup(checkout, "demo")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_failing_pip_is_one_line(checkout: Path) -> None:
    _program(checkout, "dpkg-query", "echo installed")
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "pip").write_text("#!/bin/sh\necho 'ERROR: no such thing'; exit 1\n")
    (binaries / "pip").chmod(0o755)
    done = _setup(checkout, "demo")
    assert done.returncode == 1
    assert done.stderr == (
        "preread: pip failed: ERROR: no such thing (the rest is in var/setup.log)\n"
    )
    assert not (checkout / ".venv" / ".preread-demo").exists()


PIP = """
echo "pip $*" >>calls
case $1 in
  config) cat told 2>/dev/null || true ;;
  install) [ "$(eval echo '"${'$#'}"')" = uv ] || exit 0
    mkdir -p .venv/.uv/bin
    printf '#!/bin/sh\necho "uv $*" >>calls; exit %s\n' "$(cat fails)" >.venv/.uv/bin/uv
    chmod +x .venv/.uv/bin/uv ;;
esac
"""


@pytest.mark.parametrize(
    ("told", "fails", "installs"),
    [
        ("", 0, ["pip", "uv"]),
        ("global.extra-index-url='https://two.example/'\n", 0, ["pip", "uv"]),
        ("", 1, ["pip", "uv", "pip"]),
        ("global.index-url='https://own.example/simple'\n", 0, ["pip"]),
        (":env:.no-index='1'\n", 0, ["pip"]),
    ],
)
def test_packages_come_by_uv_unless_pip_was_told_of_an_index_or_uv_fails(
    checkout: Path, told: str, fails: int, installs: list[str]
) -> None:
    _program(checkout, "dpkg-query", "echo installed")
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "pip").write_text(f"#!/bin/sh{PIP}")
    (binaries / "pip").chmod(0o755)
    (binaries / "python").write_text('#!/bin/sh\necho "python $*" >>calls\n')
    (binaries / "python").chmod(0o755)
    (checkout / "told").write_text(told)
    (checkout / "fails").write_text(str(fails))
    done = _setup(checkout, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    calls = (checkout / "calls").read_text().splitlines()
    assert calls.pop() == "python -m preread.deidentify.pixels.detector_file"
    made = [call for call in calls if " install " in call]
    assert [call.split()[0] for call in made] == installs
    assert made[-1].endswith("-e .[runner]")
    assert not (checkout / ".venv" / ".uv").exists()


@pytest.mark.parametrize("version", ["python3.11", "python3.13"])
def test_the_python_is_the_one_that_orthanc_embeds(checkout: Path, version: str) -> None:
    _program(checkout, "dpkg-query", "echo installed")
    _program(checkout, "ldd", f"echo 'lib{version}.so.1.0 => not found'")
    (checkout / ".venv" / "lib" / "python3.2").mkdir(parents=True)
    done = _setup(checkout, "demo")
    assert done.returncode == 1
    if Path("/usr/bin", version).exists():
        said = f".venv is of another Python than Orthanc's {version}: remove it (make clean)"
    else:
        said = f"/usr/bin/{version} is missing: Orthanc embeds that Python"
    assert done.stderr == f"preread: {said}\n"


def test_an_orthanc_without_python_is_one_line(checkout: Path) -> None:
    _program(checkout, "dpkg-query", "echo installed")
    _program(checkout, "ldd", "echo libc.so.6")
    done = _setup(checkout, "demo")
    assert done.returncode == 1
    assert done.stderr.endswith("names no libpython3: which Python Orthanc embeds is not known\n")


def test_a_wrong_word_is_told(checkout: Path) -> None:
    done = _setup(checkout, "everything")
    assert done.returncode == 1
    assert done.stderr == "preread: usage: .ci/setup demo|core|test\n"
