"""The detector, loaded once."""

import pytest

from preread.deidentify.pixels.cleaning import PixelCleaner, PixelOptions
from preread.deidentify.pixels.detection import TextDetector


@pytest.fixture(scope="session")
def detector() -> TextDetector:
    # One process of several; more threads would wait for each other.
    return TextDetector(threads=1)


@pytest.fixture
def cleaner(detector: TextDetector) -> PixelCleaner:
    return PixelCleaner(bytes(range(32)), PixelOptions(), detector)
