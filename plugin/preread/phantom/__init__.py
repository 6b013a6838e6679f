"""Computed series with known truth: a chest on CT, a brain on MR, and what a reader should find.

Everything made here says that it is synthetic. Nothing here reads a patient's image, and nothing
here knows Orthanc or torch.
"""

from preread.phantom.acquisition import Acquisition, Grid, Kernel, Kind
from preread.phantom.errors import PhantomError
from preread.phantom.lesion import Density, Lesion
from preread.phantom.lesion_mask import LesionMask
from preread.phantom.volume import Volume, make_volume, phantom_grid

__all__ = [
    "Acquisition",
    "Density",
    "Grid",
    "Kernel",
    "Kind",
    "Lesion",
    "LesionMask",
    "PhantomError",
    "Volume",
    "make_volume",
    "phantom_grid",
]
