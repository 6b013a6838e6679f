"""Debian 13's Orthanc (1.12.7, DICOMweb 1.20, Python 3.13) on a Debian 12, in a folder of its own.

The folder is made once for each user, by debootstrap, and kept in the cache. What runs in it runs
by chroot in a mount namespace of its own, so that every mount ends with the process, however that
ends. Only what the hooks import is there: a runner goes on outside, in the project's environment.
Where the tests run on a Debian 13 (`make test-trixie`), its own Orthanc is taken.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.pacs import ROOT, Pacs

_RELEASE = "trixie"
ON_TRIXIE = platform.freedesktop_os_release().get("VERSION_CODENAME") == _RELEASE
"""Whether the tests run on a Debian 13, whose Orthanc then is the one of all tests."""
_PACKAGES = ("orthanc", "orthanc-python", "orthanc-dicomweb", "python3")
_PYTHON = "3.13"
# What a forwarder needs beside the base package; no network, no viewer.
_FORWARDER = frozenset(("pillow", "rich", "tenacity", "typer"))
_ENVIRONMENT = Path("/opt/preread")
_PROGRAMS = ("debootstrap", "unshare", "mount", "chroot")
_PRIVATELY = ("unshare", "--mount", "--propagation", "private")
_ENTER = """
set -e
root=$1; project=$2; folder=$3; shift 3
mkdir -p "$root$project" "$root$folder"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$project" "$root$project"
mount -o remount,bind,ro "$root$project"
mount --bind "$folder" "$root$folder"
exec chroot "$root" "$@"
"""


class TrixieMissing(Exception):
    """Debian 13's Orthanc cannot be had on this machine; the text says why."""


@functools.cache
def trixie_root() -> Path | None:
    """Return the folder of Debian 13, made if it is not there yet (two minutes, 700 MB).

    None on a Debian 13.

    Raises
    ------
    TrixieMissing
        If this machine cannot make or run it.
    """
    if ON_TRIXIE:
        return None
    if os.geteuid() != 0:
        raise TrixieMissing("debootstrap and chroot need root")
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        raise TrixieMissing(f"not installed: {', '.join(missing)}")
    if subprocess.run([*_PRIVATELY, "true"], capture_output=True, check=False).returncode:
        raise TrixieMissing("this machine does not let tests mount anything")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preread"
    cache.mkdir(parents=True, exist_ok=True)
    requirements = _requirements()
    recipe = "\n".join((_RELEASE, *_PACKAGES, *requirements))
    root = cache / f"{_RELEASE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with _locked(cache / f"{_RELEASE}.lock"):
        if not root.is_dir():
            _make(root, requirements)
    return root


class TrixiePacs(Pacs):
    """One Orthanc of Debian 13 with Preread, or bare; it sees the project and its own folder.

    Orthanc starts no runner there: `start_runner` starts one outside.

    Parameters
    ----------
    root
        What `trixie_root` returned.
    folder, preread, configuration, script
        As for `Pacs`.
    """

    def __init__(
        self,
        root: Path | None,
        folder: Path,
        preread: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
        script: Path = ROOT / "plugin" / "preread_plugin.py",
    ) -> None:
        self._root = root
        self._runner: subprocess.Popen[bytes] | None = None
        # GDCM's plugin is left out there.
        names = ["DicomWeb"] if preread is None else ["DicomWeb", "Python"]
        more = {"Plugins": [f"/usr/share/orthanc/plugins/libOrthanc{name}.so" for name in names]}
        if preread is not None:
            python = sys.executable if root is None else str(_ENVIRONMENT / "bin" / "python")
            inside = {"Python": python, "Start": False}
            preread = {**preread, "Runner": {**preread.get("Runner", {}), **inside}}
        super().__init__(folder, preread, {**more, **(configuration or {})}, script)

    def command(self) -> list[str]:
        """Return what starts Orthanc: one process, which stays the same to its end."""
        if self._root is None:
            return super().command()
        enter = ["sh", "-c", _ENTER, "trixie", str(self._root), str(ROOT), str(self.folder)]
        # The project cannot be written to from inside.
        cache = f"PYTHONPYCACHEPREFIX={_ENVIRONMENT / 'cache'}"
        return [*_PRIVATELY, *enter, "env", cache, "/usr/sbin/Orthanc", str(self.configuration)]

    def start_runner(self) -> None:
        """Start a runner of the project's own environment; it is stopped with Orthanc."""
        with (self.folder / "runner.out").open("ab") as output:
            self._runner = subprocess.Popen(
                [sys.executable, "-m", "preread", "runner", "--config", str(self.configuration)],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )

    def stop_runner(self) -> None:
        """Stop the runner, if there is one."""
        if self._runner is not None:
            self._runner.terminate()
            try:
                self._runner.wait(60)
            except subprocess.TimeoutExpired:
                self._runner.kill()
                self._runner.wait(30)
            self._runner = None

    def stop(self) -> None:
        """Stop the runner, and Orthanc as an administrator would.

        Python plugin 5.0 on Python 3.13 aborts as its very last act, after all is written.
        """
        self.stop_runner()
        super().stop()

    def kill(self) -> None:
        """End both; Orthanc without any warning."""
        self.stop_runner()
        super().kill()


def _requirements() -> list[str]:
    """Return the project's own requirements that the hooks and a forwarder need."""
    found = {}
    for each in importlib.metadata.requires("preread") or ():
        requirement, _, marker = each.partition(";")
        name = re.split(r"[^\w-]", requirement)[0]
        if "extra" not in marker or name in _FORWARDER:
            found[name] = requirement.strip()
    assert set(found) >= _FORWARDER, f"not required by the project: {_FORWARDER} {found}"
    return sorted(found.values())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(root: Path, requirements: list[str]) -> None:
    """Make the folder beside its place, and put it there when it is whole."""
    for left in root.parent.glob(f".{_RELEASE}-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{_RELEASE}-", dir=root.parent))
    beside.chmod(0o755)
    try:
        include = f"--include={','.join(_PACKAGES)}"
        _call(*_PRIVATELY, "debootstrap", "--variant=minbase", include, _RELEASE, str(beside))
        for useless in (*beside.glob("var/cache/apt/archives/*.deb"), beside / "usr/share/doc"):
            shutil.rmtree(useless) if useless.is_dir() else useless.unlink()
        _call("chroot", str(beside), "python3", "-m", "venv", "--without-pip", str(_ENVIRONMENT))
        packages = f"{beside}{_ENVIRONMENT}/lib/python{_PYTHON}/site-packages"
        wheels = ("--only-binary=:all:", "--python-version", _PYTHON, "--target", packages)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *wheels)
        _call(*pip, *requirements)
        beside.rename(root)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _call(*command: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.strip()] or ["nothing"]
        program = next(word for word in command if word in ("debootstrap", "pip", "chroot"))
        raise TrixieMissing(f"{program} failed and said: {said[-1][:300]}")
