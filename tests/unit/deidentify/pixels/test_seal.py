"""Seals: right for one file's pixels and one key."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread

from preread.deidentify.pixels.policy import Look
from preread.deidentify.pixels.seal import PixelSeal, sealed_values
from preread.elements import read_header
from tests.unit.deidentify.pixels.planting import file_of, speckle

SEAL = PixelSeal(b"k" * 32)


def sealed(data: bytes, look: Look, seal: PixelSeal = SEAL, change: int = 0) -> bytes:
    text = seal.text(sealed_values(read_header(data)), look)
    dataset = dcmread(BytesIO(data))
    dataset.DeidentificationMethod = ["Something", text, "else"]
    if change:
        pixels = bytearray(dataset.PixelData)
        pixels[-1] ^= change
        dataset.PixelData = bytes(pixels)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def data() -> bytes:
    return file_of(speckle(32, 32)[None])


def test_a_seal_is_found_by_its_key_alone(data: bytes) -> None:
    header = read_header(sealed(data, Look.TEXT))
    found = SEAL.found(header)
    assert found is not None
    assert found in header.text(0x00120063)
    assert len(found) <= 64
    assert SEAL.holds(header)
    assert not PixelSeal(b"j" * 32).holds(header)
    assert not SEAL.holds(read_header(data))


def test_a_seal_does_not_fit_other_pixels(data: bytes) -> None:
    assert not SEAL.holds(read_header(sealed(data, Look.TEXT, change=1)))


def test_a_seal_covers_overlays(data: bytes) -> None:
    dataset = dcmread(BytesIO(sealed(data, Look.TEXT)))
    dataset.add_new(0x60003000, "OW", b"\1\0")
    buffer = BytesIO()
    dataset.save_as(buffer)
    assert not SEAL.holds(read_header(buffer.getvalue()))


def test_a_seal_for_less_does_not_count(data: bytes) -> None:
    header = read_header(sealed(data, Look.TEXT | Look.OVERLAYS))
    assert SEAL.holds(header, Look.TEXT)
    assert SEAL.holds(header, Look.TEXT | Look.OVERLAYS)
    assert not SEAL.holds(header, Look.FACE)
    assert not SEAL.holds(header, Look.TEXT | Look.FACE)


def test_what_was_looked_for_cannot_be_changed(data: bytes) -> None:
    text = sealed(data, Look.TEXT)
    assert not SEAL.holds(read_header(text.replace(b"Preread pixels 1", b"Preread pixels 7")))
