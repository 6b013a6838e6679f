"""The weights of the text detector: one file out of a package of PyPI, whose rest stays away.

``python -m preread.deidentify.pixels.detector_file`` fetches it when Preread is installed.
``rapidocr`` carries it, and would bring OpenCV (150 MB). The file is PP-OCRv6's small detector, by
PaddleOCR (Apache-2.0). It is told by its hash, wherever it comes from.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from preread.errors import PrereadError

NAME: Final = "PP-OCRv6_det_small.onnx"
VARIABLE: Final = "PREREAD_TEXT_DETECTOR"
"""The environment variable that names the file where it lies elsewhere."""

_FOLDER: Final = "preread_weights"  # beside the packages, so that whoever imports them finds it
_SHA256: Final = "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"
_WHEEL: Final = (
    "rapidocr==3.10.0 "
    "--hash=sha256:2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050\n"
)
_INSIDE: Final = f"rapidocr/models/{NAME}"
_LARGEST: Final = 20_000_000
_HOW: Final = "run: .venv/bin/python -m preread.deidentify.pixels.detector_file"


class DetectorError(PrereadError):
    """There is no text detector."""


def weights_file(environment: Mapping[str, str], folders: Sequence[str]) -> Path:
    """Return where the weights are.

    Parameters
    ----------
    environment
        `VARIABLE` in it names the file.
    folders
        Where packages are looked for (``sys.path``) if it does not.

    Raises
    ------
    DetectorError
        If they are missing, or not those that were measured.
    """
    named = environment.get(VARIABLE, "")
    places = [Path(named)] if named else [Path(each) / _FOLDER / NAME for each in folders]
    for path in places:
        if path.is_file():
            _check(path.read_bytes() if path.stat().st_size <= _LARGEST else b"", str(path))
            return path
    where = f"{VARIABLE}: there is no file {named}" if named else f"{NAME} is missing"
    raise DetectorError(f"no text detector: {where}; {_HOW}")


def fetch() -> Path:
    """Fetch the weights by pip, if they are not there yet, and return where they are.

    Raises
    ------
    DetectorError
        If that fails.
    """
    folder = Path(sysconfig.get_path("purelib"))
    if (folder / _FOLDER / NAME).is_file():
        return weights_file({}, [str(folder)])
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _downloaded(Path(temporary))
        return unpack(wheel, folder)


def unpack(wheel: Path, folder: Path) -> Path:
    """Take the weights out of a wheel.

    Parameters
    ----------
    wheel
        Of ``rapidocr``.
    folder
        The packages beside which they go.

    Raises
    ------
    DetectorError
        If it does not hold them.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_INSIDE) as member:
            data = member.read(_LARGEST + 1)
    except (OSError, KeyError, zipfile.BadZipFile):
        raise DetectorError(f"{wheel.name} does not hold {_INSIDE}") from None
    _check(data, _INSIDE)
    target = folder / _FOLDER / NAME
    target.parent.mkdir(exist_ok=True)
    beside = target.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(target)
    return target


def _check(data: bytes, name: str) -> None:
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise DetectorError(f"{name} is not the text detector: its SHA-256 is another; {_HOW}")


def _downloaded(folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(_WHEEL, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"),
            *("--disable-pip-version-check", "--ignore-requires-python", "--only-binary", ":all:"),
            *("--require-hashes", "-r", str(wanted), "-d", str(folder)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DetectorError(f"pip cannot fetch the text detector: {(said or ['no reason'])[-1]}")
    return wheels[0]


def main() -> None:
    """Fetch the weights; an error is one line on standard error."""
    try:
        fetch()
    except PrereadError as error:
        print(f"preread: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        sys.exit(1)


if __name__ == "__main__":
    main()
