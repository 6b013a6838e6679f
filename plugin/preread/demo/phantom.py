"""A computed chest: body, ribs, spine, heart, lungs with vessels, and one nodule.

It looks enough like a chest CT to pass through everything that a chest CT passes through. It is
no patient's, it says so in its own attributes, and what a network says of it means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from skimage.filters import gaussian

from preread.errors import PrereadError

SIZE: Final = 512
PIXEL_SPACING: Final = 0.703125  # mm, for a field of view of 360 mm
SLICE_SPACING: Final = 5.0  # mm

_AIR: Final = -1000.0  # Hounsfield units, as all that follow
_LUNG: Final = -860.0
_FAT: Final = -100.0
_SOFT: Final = 45.0
_BLOOD: Final = 60.0
_BONE: Final = 420.0
_NODULE: Final = 35.0

_BODY_AXES: Final = (165.0, 112.0)  # mm, left to right and front to back
_LUNG_CENTRE: Final = (76.0, 2.0)
_LUNG_AXES: Final = (54.0, 80.0, 118.0)

Slice = NDArray[np.float32]


class PhantomError(PrereadError):
    """A phantom was asked for that cannot be made."""


@dataclass(frozen=True, slots=True)
class Nodule:
    """Where the nodule lies.

    Attributes
    ----------
    x, y, z
        Its centre in mm, in patient coordinates (to the left, to the back, to the head).
    radius
        Its mean radius in mm.
    """

    x: float
    y: float
    z: float
    radius: float


class Phantom:
    """One computed chest; the same seed makes the same chest.

    Parameters
    ----------
    seed
        From 0 on. It places the vessels, the nodule and the noise.

    Raises
    ------
    PhantomError
        If the seed is negative.
    """

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise PhantomError(f"the seed of a phantom: expected 0 or more, not {seed}")
        self.seed = seed
        random = np.random.default_rng(seed)
        side = float(random.choice((-1.0, 1.0)))
        self.nodule = Nodule(
            x=side * (_LUNG_CENTRE[0] + random.uniform(-8, 12)),
            y=random.uniform(-25, 25),
            z=random.uniform(18, 40),  # above the heart
            radius=random.uniform(9, 13),
        )
        self._spicules = random.uniform(0, 2 * np.pi, size=4)
        self._vessels = np.concatenate([_vessel(random, side) for side in (-1, 1) * 45])
        axis = (np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2) * np.float32(PIXEL_SPACING)
        self._x, self._y = axis[np.newaxis, :], axis[:, np.newaxis]

    def slice_at(self, z: float) -> NDArray[np.int16]:
        """Compute one axial slice.

        Parameters
        ----------
        z
            Its position in mm, positive to the head; the lungs span -118 to 118.

        Returns
        -------
        numpy.ndarray
            Hounsfield units of shape (512, 512), from -1024 to 3071.
        """
        image = np.full((SIZE, SIZE), _AIR, dtype=np.float32)
        self._draw_body(image, z)
        self._draw_lungs(image, z)
        self._draw_nodule(image, z)
        random = np.random.default_rng((self.seed, round(z * 100) & 0xFFFFFFFF))
        noise = _blurred(random.normal(0, 38, image.shape).astype(np.float32), 0.8)
        noisy = _blurred(image, 0.9) + noise
        return np.clip(np.round(noisy), -1024, 3071).astype(np.int16)

    def _ellipse(self, x: float, y: float, a: float, b: float) -> Slice:
        """Return the squared distance to the centre, 1 on the ellipse."""
        return np.asarray(((self._x - x) / a) ** 2 + ((self._y - y) / b) ** 2, dtype=np.float32)

    def _draw_body(self, image: Slice, z: float) -> None:
        body = self._ellipse(0, 0, *_BODY_AXES)
        image[body < 1] = _FAT
        image[body < 0.86] = _SOFT
        # Ribs run down towards the front, one every 26 mm.
        angle = np.arctan2(self._y / _BODY_AXES[1], np.abs(self._x) / _BODY_AXES[0])
        phase = np.mod(z - 45 * angle, 26.0)
        image[(body > 0.74) & (body < 0.83) & (phase < 9) & (np.abs(self._x) > 18)] = _BONE
        image[self._ellipse(0, 72, 21, 17) < 1] = _BONE * 0.7
        image[self._ellipse(0, -94, 16, 5) < 1] = _BONE * 0.6

    def _draw_lungs(self, image: Slice, z: float) -> None:
        height = 1 - (z / _LUNG_AXES[2]) ** 2
        if height <= 0:
            return
        scale = float(np.sqrt(height))
        a, b = _LUNG_AXES[0] * scale, _LUNG_AXES[1] * scale
        lungs = np.zeros(image.shape, dtype=bool)
        for side in (-1, 1):
            lungs |= self._ellipse(side * _LUNG_CENTRE[0], _LUNG_CENTRE[1], a, b) < 1
        heart = 1 - ((z + 45) / 62) ** 2
        if heart > 0:
            lungs &= self._ellipse(22, -22, 66 * heart**0.5, 52 * heart**0.5) >= 1
        image[lungs] = _LUNG
        for x, y, depth, radius in self._vessels:
            reach = radius**2 - (depth - z) ** 2
            if reach > 0:
                self._draw_disc(image, float(x), float(y), float(np.sqrt(reach)), lungs)
        image[self._ellipse(18, 45, 12, 12) < 1] = _BLOOD
        if z > 20:
            image[self._ellipse(0, 12, 9, 8) < 1] = _AIR

    def _draw_disc(
        self, image: Slice, x: float, y: float, radius: float, within: NDArray[np.bool_]
    ) -> None:
        column, row = (round(v / PIXEL_SPACING + (SIZE - 1) / 2) for v in (x, y))
        half = int(radius / PIXEL_SPACING) + 2
        rows = slice(max(row - half, 0), max(row + half + 1, 0))
        columns = slice(max(column - half, 0), max(column + half + 1, 0))
        near = (self._x[:, columns] - x) ** 2 + (self._y[rows] - y) ** 2 < radius**2
        image[rows, columns][near & within[rows, columns]] = _BLOOD

    def _draw_nodule(self, image: Slice, z: float) -> None:
        nodule = self.nodule
        dx, dy, dz = self._x - nodule.x, self._y - nodule.y, z - nodule.z
        angle = np.arctan2(dy, dx)
        edge = sum(np.sin((3 + 2 * i) * angle + phase) for i, phase in enumerate(self._spicules))
        radius = nodule.radius * (1 + 0.06 * edge)
        image[dx**2 + dy**2 + dz**2 < radius**2] = _NODULE


def _blurred(image: Slice, sigma: float) -> Slice:
    # scikit-image has no types.
    return np.asarray(gaussian(image, sigma=sigma, preserve_range=True))  # type: ignore[no-untyped-call]


def _vessel(random: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Walk from the hilum outwards; return spheres (n, 4): x, y, z and radius in mm."""
    steps = 42
    direction = random.normal(0, 1, 3)
    direction[0] = side * abs(direction[0])
    position = np.array((side * 30.0, 5.0, 0.0))
    radii = np.linspace(random.uniform(2.0, 4.5), 0.8, steps)
    spheres = np.empty((steps, 4))
    for step, radius in enumerate(radii):
        direction += random.normal(0, 0.22, 3)
        direction /= np.linalg.norm(direction)
        position = position + 2.4 * direction
        spheres[step] = (*position, radius)
    return spheres


def chest_series(seed: int = 1, slices: int = 40) -> Iterator[Dataset]:
    """Make the CT Image Storage instances of one computed chest.

    Each names itself synthetic in SyntheticData, PatientName, PatientID, StudyDescription,
    SeriesDescription, ImageComments and ManufacturerModelName. The same seed makes the same
    instances, UIDs included, so that sending them again replaces them.

    Parameters
    ----------
    seed
        From 0 on.
    slices
        From 1 to 47, 5 mm apart, centred on the lungs.

    Yields
    ------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian, one after the other.

    Raises
    ------
    PhantomError
        If the seed or the number of slices is out of range.
    """
    if not 1 <= slices <= 47:
        raise PhantomError(f"slices of a phantom: expected 1 to 47, not {slices}")
    phantom = Phantom(seed)
    first = -(slices - 1) / 2 * SLICE_SPACING
    for number in range(1, slices + 1):
        yield _instance(phantom, number, first + (number - 1) * SLICE_SPACING)


def _uid(seed: int, *what: str) -> UID:
    name = " ".join(("preread synthetic chest", str(seed), *what))
    return UID(f"2.25.{uuid5(NAMESPACE_OID, name).int}")


def _instance(phantom: Phantom, number: int, z: float) -> Dataset:
    seed = phantom.seed
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = _uid(seed, "instance", str(number))
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    _describe(dataset, seed)
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [-(SIZE - 1) / 2 * PIXEL_SPACING] * 2 + [z]
    dataset.SliceLocation = z
    pixels = phantom.slice_at(z)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = (pixels + 1024).astype("<u2").tobytes()
    return dataset


def _describe(dataset: Dataset, seed: int) -> None:
    """Set what all instances of the series share."""
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.SyntheticData = "YES"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20260101"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "120000"
    dataset.AccessionNumber = ""
    dataset.Modality = "CT"
    dataset.Manufacturer = "Preread"
    dataset.ManufacturerModelName = "Synthetic chest"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Synthetic chest CT, not a patient"
    dataset.SeriesDescription = "Synthetic chest CT, not a patient"
    dataset.PatientName = f"Synthetic^Chest {seed}"
    dataset.PatientID = f"SYNTHETIC-{seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.BodyPartExamined = "CHEST"
    dataset.SliceThickness = SLICE_SPACING
    dataset.KVP = 120
    dataset.PatientPosition = "HFS"
    dataset.StudyInstanceUID = _uid(seed, "study")
    dataset.SeriesInstanceUID = _uid(seed, "series")
    dataset.FrameOfReferenceUID = _uid(seed, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    dataset.AcquisitionNumber = 1
    dataset.ImageComments = "Computed by a program; it shows no patient and means nothing"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [PIXEL_SPACING, PIXEL_SPACING]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = -400, 1500


def write_chest_series(folder: Path, seed: int = 1, slices: int = 40) -> list[Path]:
    """Write `chest_series` as files into a folder that exists.

    Returns
    -------
    list of pathlib.Path
        One per slice, from the feet to the head.

    Raises
    ------
    PhantomError
        If the seed or the number of slices is out of range.
    """
    paths = []
    for dataset in chest_series(seed, slices):
        path = folder / f"chest-{seed}-{dataset.InstanceNumber:02d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
