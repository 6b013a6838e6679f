"""What imaging does to a plane: the blur and the noise of a CT kernel, and those of an MR.

The noise of filtered back projection has the power spectrum f H(f)^2: the ramp filter makes it
rise with the frequency f, and the kernel's transfer function H makes it fall (Riederer, Pelc and
Chesler 1978). A sharp kernel keeps finer detail, and more noise, and finer noise.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from preread.phantom.acquisition import Grid, Kernel

Array = NDArray[np.float32]

_WIDTH: Final = {Kernel.SOFT: 0.32, Kernel.STANDARD: 0.42, Kernel.LUNG: 0.44}  # 1/mm
_BOOST: Final = {Kernel.SOFT: 0.0, Kernel.STANDARD: 0.0, Kernel.LUNG: 1.2}  # edge enhancement
_NOISE: Final = {Kernel.SOFT: 9.0, Kernel.STANDARD: 14.0, Kernel.LUNG: 38.0}  # HU, 5 mm slices
_REFERENCE_THICKNESS: Final = 5.0


class CTReconstruction:
    """The kernel's blur, and noise of its spectrum.

    Parameters
    ----------
    grid
        Of the image.
    kernel
        The sharper, the more noise.
    """

    def __init__(self, grid: Grid, kernel: Kernel) -> None:
        frequency = _frequencies(grid)
        transfer = np.exp(-np.log(2) * (frequency / _WIDTH[kernel]) ** 2)
        self._transfer = (transfer * (1 + _BOOST[kernel] * (frequency / 0.5) ** 2)).astype("f4")
        shaping = np.sqrt(frequency) * self._transfer
        # So that white noise of variance 1 keeps it; all but the outer columns count twice.
        twice = np.full(frequency.shape[1], 2.0)
        twice[0] = 1.0
        if grid.size % 2 == 0:
            twice[-1] = 1.0
        power = float((shaping**2 * twice).sum() / grid.size**2)
        self._shaping = (shaping / np.sqrt(power)).astype("f4")
        thickness = grid.slice_thickness / _REFERENCE_THICKNESS
        self.noise = _NOISE[kernel] / float(np.sqrt(thickness))
        """Standard deviation in the middle of the body, in Hounsfield units."""

    def blurred(self, plane: Array) -> Array:
        """Return a plane (rows, columns) as the kernel shows it without noise."""
        # The plane goes on periodically; air takes the step from one side to the other.
        spectrum = fft.rfft2(plane) * self._transfer
        return np.asarray(fft.irfft2(spectrum, plane.shape), dtype=np.float32)

    def noise_plane(self, random: np.random.Generator, gain: Array) -> Array:
        """Make noise.

        Parameters
        ----------
        random
            Where it is drawn from.
        gain
            (rows, columns), 1 where the noise is as strong as `noise` says.

        Returns
        -------
        numpy.ndarray
            (rows, columns) in Hounsfield units.
        """
        white = random.standard_normal(gain.shape, dtype=np.float32)
        shaped = fft.irfft2(fft.rfft2(white) * self._shaping, gain.shape)
        return np.asarray(shaped, dtype=np.float32) * gain * np.float32(self.noise)


class MRReconstruction:
    """The blur of a limited k-space, and Rician noise (Gudbjartsson and Patz 1995).

    Parameters
    ----------
    grid
        Of the image.
    """

    _NOISE: Final = 14.0  # of a signal of about 1000, in 5 mm slices

    def __init__(self, grid: Grid) -> None:
        frequency = _frequencies(grid)
        self._transfer = np.exp(-((frequency / 0.55) ** 2)).astype("f4")
        thickness = grid.slice_thickness / _REFERENCE_THICKNESS
        # Signal is lost with the slice's thickness; the scale of the image hides it.
        self.noise = self._NOISE / float(thickness) ** 0.75
        """Standard deviation of the real and of the imaginary part."""

    def magnitude(self, plane: Array, random: np.random.Generator) -> Array:
        """Return the magnitude image of a plane (rows, columns)."""
        spectrum = fft.rfft2(plane) * self._transfer
        real = np.asarray(fft.irfft2(spectrum, plane.shape), dtype=np.float32)
        noise = random.standard_normal((2, *plane.shape), dtype=np.float32)
        noise *= np.float32(self.noise)
        return np.asarray(np.hypot(real + noise[0], noise[1]))


def _frequencies(grid: Grid) -> NDArray[np.float64]:
    """Return the spatial frequencies of a real transform, in 1/mm."""
    rows = np.fft.fftfreq(grid.size, grid.pixel_spacing)[:, np.newaxis]
    columns = np.fft.rfftfreq(grid.size, grid.pixel_spacing)[np.newaxis, :]
    return np.asarray(np.hypot(rows, columns))
