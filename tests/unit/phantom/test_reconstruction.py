"""Blur and noise of the kernels."""

import numpy as np
import pytest

from preread.phantom import Grid, Kernel
from preread.phantom.reconstruction import CTReconstruction, MRReconstruction

SIZE = 256
SPACING = 0.7


def _grid(thickness: float = 5.0) -> Grid:
    return Grid(size=SIZE, pixel_spacing=SPACING, slice_thickness=thickness, slices=1)


def _noise(kernel: Kernel, planes: int = 12) -> np.ndarray:
    ct = CTReconstruction(_grid(), kernel)
    random = np.random.default_rng(3)
    flat = np.ones((SIZE, SIZE), dtype=np.float32)
    return np.stack([ct.noise_plane(random, flat) for _ in range(planes)])


def _spectrum(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies in 1/mm and the power at each, averaged over directions."""
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    axis = np.fft.fftfreq(SIZE, SPACING)
    ring = (np.hypot(axis[:, np.newaxis], axis) * SIZE * SPACING).astype(int)[: SIZE // 2]
    sums = np.bincount(ring.ravel(), weights=power[: SIZE // 2].ravel())
    mean = (sums / np.bincount(ring.ravel()))[: SIZE // 2]
    return (np.arange(len(mean)) + 0.5) / (SIZE * SPACING), mean


def _mean_frequency(kernel: Kernel) -> float:
    frequencies, power = _spectrum(_noise(kernel))
    return float((frequencies * power).sum() / power.sum())


def test_a_sharper_kernel_has_finer_and_more_noise() -> None:
    order = (Kernel.SOFT, Kernel.STANDARD, Kernel.LUNG)
    fineness = [_mean_frequency(kernel) for kernel in order]
    assert fineness[0] * 1.1 < fineness[1]
    assert fineness[1] * 1.2 < fineness[2]
    deviations = [_noise(kernel, 4).std() for kernel in order]
    assert deviations[0] * 1.3 < deviations[1]
    assert deviations[1] * 1.8 < deviations[2]


@pytest.mark.parametrize("kernel", Kernel)
def test_noise_has_the_spectrum_of_filtered_back_projection(kernel: Kernel) -> None:
    frequencies, power = _spectrum(_noise(kernel))
    peak = int(power.argmax())
    # It rises with the frequency from nothing, and falls again; white noise would do neither.
    assert power[:3].mean() < 0.25 * power[peak]
    assert frequencies[peak] > 0.08
    assert power[-3:].mean() < 0.75 * power[peak]
    third = frequencies.searchsorted(frequencies[peak] / 3)
    slope = np.polyfit(frequencies[1:third], power[1:third], 1)
    assert slope[0] > 0
    assert abs(slope[1]) < 0.15 * power[peak]


@pytest.mark.parametrize("kernel", Kernel)
def test_noise_is_as_strong_as_it_says(kernel: Kernel) -> None:
    said = CTReconstruction(_grid(), kernel).noise
    assert _noise(kernel).std() == pytest.approx(said, rel=0.02)
    assert _noise(kernel).mean() == pytest.approx(0, abs=0.01 * said)


def test_thinner_slices_have_more_noise() -> None:
    thick, thin = (CTReconstruction(_grid(t), Kernel.SOFT).noise for t in (5.0, 1.25))
    assert thin == pytest.approx(2 * thick)


def test_a_sharper_kernel_blurs_less_and_none_changes_what_is_even() -> None:
    plane = np.full((SIZE, SIZE), -1000, dtype=np.float32)
    plane[64:192, 64:192] = 40
    widths = []
    for kernel in (Kernel.SOFT, Kernel.STANDARD, Kernel.LUNG):
        shown = CTReconstruction(_grid(), kernel).blurred(plane)
        assert shown[128, 128] == pytest.approx(40, abs=2)
        assert shown[8, 8] == pytest.approx(-1000, abs=2)
        widths.append(float(1 / np.diff(shown[128, 40:90]).max()))
    assert widths == sorted(widths, reverse=True)


def test_mr_noise_is_rician() -> None:
    mr = MRReconstruction(_grid())
    air = mr.magnitude(np.zeros((SIZE, SIZE), dtype=np.float32), np.random.default_rng(1))
    # Where there is no signal, that is the Rayleigh distribution.
    assert air.min() >= 0
    assert air.mean() == pytest.approx(mr.noise * np.sqrt(np.pi / 2), rel=0.01)
    assert air.std() == pytest.approx(mr.noise * np.sqrt(2 - np.pi / 2), rel=0.02)
