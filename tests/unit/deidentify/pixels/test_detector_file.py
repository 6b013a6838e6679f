"""The detector's file: found, told by its hash, taken out of a wheel."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import JPEGLosslessSV1, JPEGLSLossless

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixels.cleaning import PixelCleaner, PixelOptions
from preread.deidentify.pixels.detector_file import (
    NAME,
    VARIABLE,
    DetectorError,
    unpack,
    weights_file,
)
from preread.deidentify.pixels.encoding import check_writable
from preread.deidentify.pixels.policy import Look
from preread.demo.phantom import write_chest_series


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Return a wheel with the true file and another one."""
    path = tmp_path / "rapidocr-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(weights_file(os.environ, sys.path), f"rapidocr/models/{NAME}")
        archive.writestr("rapidocr/__init__.py", "raise RuntimeError")
    return path


def test_one_file_is_taken_out_of_the_wheel(wheel: Path, tmp_path: Path) -> None:
    path = unpack(wheel, tmp_path)
    assert [each.name for each in path.parent.iterdir()] == [NAME]
    assert weights_file({}, ["/nowhere", str(tmp_path)]) == path
    assert weights_file({VARIABLE: str(path)}, []) == path


@pytest.mark.parametrize("content", [{}, {f"rapidocr/models/{NAME}": b"another network"}])
def test_another_wheel_leaves_nothing(content: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "other.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(DetectorError):
        unpack(path, tmp_path)
    assert not list(tmp_path.rglob(NAME))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"damaged")
    with pytest.raises(DetectorError, match="its SHA-256 is another"):
        weights_file({VARIABLE: str(path)}, sys.path)


def test_without_the_file_nothing_passes_as_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing.onnx"))
    image = next(iter(write_chest_series(tmp_path, seed=1, slices=1)))
    with pytest.raises(DeidentificationError, match="no text detector: PREREAD_TEXT_DETECTOR"):
        PixelCleaner(bytes(32), PixelOptions()).clean(image.read_bytes(), Look.TEXT)


def test_jpeg_ls_is_refused_where_nothing_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(JPEGLSLossless)
    encoder = get_encoder(JPEGLSLossless)
    monkeypatch.setattr(encoder, "_available", {})  # as pydicom has it without the package
    with pytest.raises(DeidentificationError, match="without the package pyjpegls"):
        check_writable(JPEGLSLossless)
    check_writable(JPEGLosslessSV1)  # is written uncompressed
