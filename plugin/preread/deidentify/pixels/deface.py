"""Slices of heads without faces: PS3.15 E.3.5, Clean Recognizable Visual Features Option (113102).

CT and MR images come one by one, so that each slice is worked on by itself, along the patient's
anterior-posterior direction, which must lie in its plane. All in front of a cut becomes air: the
air itself, skin, nose, lips, lids and the front of the eyes, and in axial slices ears, as far as
they stand out. Volumes of coronal slices in one object are cut the same way, across their frames.

Depths are taken from adult anatomy: scalp and frontal bone together are some 12 mm thick (5 and
7), so that a cut of 8 to 12 mm spares the brain. Where CT shows the whole cranial cavity in a
slice, the cut may be 7 mm deeper, but comes never closer to the cavity than 2 mm. The cut follows
the surface that a ball of 50 mm radius touches from inside, not the surface itself, and its depth
varies irregularly, so that growing the cut surface again does not give the face.

Limits. It was measured on synthetic heads alone: no images of real heads with faces may be kept
here, and no face recogniser was run against the results. Faces that wrapped round to the back of
an MR image, teeth and bone behind the cut, and ears in sagittal slices stay. Thin bone of small
children may not leave room for the brain in MR images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import convex_hull_image

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixels.planes import Plane, depth_axis, plane_of, stack_of

_LEAST_BODY: Final = 400.0  # mm2; less is noise, or the tip of something
_SKIN: Final = -300.0  # HU
_BONE: Final = 250.0  # HU
_AIR: Final = -1000.0  # HU
_LEAST_CAVITY: Final = 200.0  # mm2
_SOFT: Final = (-20.0, 120.0)  # HU of what fills a skull, blood and contrast agent included
_BALL: Final = 50.0  # mm, less than any forehead's radius, more than any nose's
_BALL_OF_WIDTH: Final = 0.3
_DEPTH: Final = 8.0  # mm
_BLURRED: Final = 1.0  # mm that the surface in an MR image is found too far out
_DEEPER: Final = 7.0  # mm, where CT shows the cranial cavity whole
_IRREGULAR: Final = 4.0  # mm
_KNOTS: Final = 15.0  # mm between irregularities
_MARGIN: Final = 2.0  # mm of bone before the cavity
_EAR: Final = 7.0  # mm: what is thinner than twice this stands out
_SHELL: Final = 6.0  # mm; what is dark and thinner than twice this is inside
_HOLLOW: Final = 30.0  # mm; more than from a nose's tip to the cheeks
_FRONT: Final = 0.55  # of the head's length from front to back is looked at
_EARS: Final = 0.8  # of the same, for ears
_NOT_SLICES: Final = (
    "VOLREN", "VOLUME_RENDER", "RENDER", "VRT", "SSD", "MIP", "MINIP", "PROJECTION", "SURFACE",
)  # fmt: skip
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_IMAGE_TYPE: Final = 0x00080008
_SOP_CLASS: Final = 0x00080016
_MODALITY: Final = 0x00080060
_IMAGE_ORIENTATION: Final = 0x00200037
_PHOTOMETRIC: Final = 0x00280004

Slice = NDArray[Any]


def deface_frames(dataset: Dataset, frames: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Cut the face off every frame of a CT or MR image.

    Deterministic: the same pixels give the same result. Frames without a body come back as they
    are. Slices of other parts of the body lose some of their skin.

    Parameters
    ----------
    dataset
        The header; pixel data are not read from it.
    frames
        Stored values, (Rows, Columns) each. Read one at a time, except for a volume of coronal
        slices, all of which is held.

    Yields
    ------
    numpy.ndarray
        Frames of the same shape and type, in the same order.

    Raises
    ------
    preread.deidentify.DeidentificationError
        At once, where the geometry does not allow it: no position, orientation or spacing, planes
        tilted by more than 30 degrees against the direction from front to back, single coronal
        slices, colour, secondary captures, projections and renderings. When its frame comes, for
        an image without air in front of the body (or CT values that are no HU), an MR image with
        too little signal in the face, and for frames of another size or number.
    """
    _check_kind(dataset)
    shape = (int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0))
    count = int(dataset.get("NumberOfFrames") or 1)
    planes = [plane_of(dataset, index) for index in range(count)]
    is_ct = str(dataset.Modality) == "CT"
    if all(depth_axis(plane) is not None for plane in planes):
        return _each(planes, _checked(frames, count, shape), is_ct=is_ct)
    if all(plane.is_coronal for plane in planes):
        order, step = stack_of(planes)
        return _volume(planes[0], order, step, _checked(frames, count, shape), is_ct=is_ct)
    raise DeidentificationError(
        _IMAGE_ORIENTATION,
        "defacing needs slices that hold the direction from front to back within 30 degrees",
    )


def _checked(frames: Iterable[Slice], count: int, shape: tuple[int, int]) -> Iterator[Slice]:
    found = 0
    for frame in frames:
        found += 1
        if found > count or frame.shape != shape:
            raise DeidentificationError(None, "frames are not as many or as large as is said")
        yield frame
    if found < count:
        raise DeidentificationError(None, "frames are not as many or as large as is said")


def _check_kind(dataset: Dataset) -> None:
    if str(dataset.get("Modality", "")) not in ("CT", "MR"):
        raise DeidentificationError(_MODALITY, "defacing is for CT and MR only")
    if str(dataset.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE):
        raise DeidentificationError(_SOP_CLASS, "a secondary capture cannot be defaced")
    if dataset.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise DeidentificationError(_PHOTOMETRIC, "defacing needs grey images")
    kinds = [str(kind).upper() for kind in dataset.get("ImageType") or ()][2:]
    is_scout = dataset.Modality == "CT" and "LOCALIZER" in kinds
    if is_scout or any(word in kind for kind in kinds for word in _NOT_SLICES):
        raise DeidentificationError(_IMAGE_TYPE, "a projection or rendering cannot be defaced")


def _each(planes: list[Plane], frames: Iterable[Slice], *, is_ct: bool) -> Iterator[Slice]:
    for plane, frame in zip(planes, frames, strict=False):
        result = frame.copy()
        axis = depth_axis(plane)
        turned = result if axis == 0 else result.T
        toward_back = (plane.down if axis == 0 else plane.across)[1] > 0
        turned = turned if toward_back else turned[::-1]
        spacing = plane.spacing if axis == 0 else plane.spacing[::-1]
        _deface(turned, spacing, plane, is_ct=is_ct, is_axial=plane.is_axial)
        yield result


def _volume(
    plane: Plane, order: list[int], step: float, frames: Iterable[Slice], *, is_ct: bool
) -> Iterator[Slice]:
    """Cut coronal frames as the axial slices that lie across them."""
    volume = np.stack(list(frames))
    sorted_volume = volume[order]
    axial = int(np.argmax(np.abs((plane.down[2], plane.across[2]))))
    for index in range(sorted_volume.shape[1 + axial]):
        across = np.take(sorted_volume, index, axis=1 + axial)
        _deface(across, (step, plane.spacing[1 - axial]), plane, is_ct=is_ct, is_axial=True)
        sorted_volume[(slice(None),) * (1 + axial) + (index,)] = across
    volume[order] = sorted_volume
    yield from volume


def _deface(
    pixels: Slice, spacing: tuple[float, float], plane: Plane, *, is_ct: bool, is_axial: bool
) -> None:
    """Cut a slice in place; its first axis runs from front to back."""
    values = pixels.astype(np.float32) * plane.slope + plane.intercept
    body = _ct_body(values, spacing) if is_ct else _mr_body(values, spacing)
    if body.sum() * spacing[0] * spacing[1] < _LEAST_BODY:
        return
    if _without_air(body):
        raise DeidentificationError(None, "no air in front of the body: its surface is not shown")
    if not is_ct and is_axial and _hollow(body, spacing) > _HOLLOW:
        raise DeidentificationError(None, "the front of the body cannot be told from air")
    gone = _in_front(body, values, spacing, _seed(pixels), is_ct=is_ct)
    if is_axial:
        gone |= _standing_out(body, spacing)
    if is_ct:
        air = (_AIR - plane.intercept) / plane.slope
        if np.issubdtype(pixels.dtype, np.integer):
            limits = np.iinfo(pixels.dtype)
            air = min(max(round(air), limits.min, int(pixels.min())), limits.max)
    else:
        outside = pixels[~body]
        air = np.median(outside) if outside.size else pixels.min()
    pixels[gone] = air


def _ct_body(values: NDArray[np.float32], spacing: tuple[float, float]) -> NDArray[np.bool_]:
    return _solid(values > _SKIN, spacing)


def _mr_body(values: NDArray[np.float32], spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """Tell tissue from air by the logarithm, which separates noise from what is merely dark."""
    smooth = ndimage.gaussian_filter(values, [1.5 / size for size in spacing])
    if _is_noise(values, smooth):
        return np.zeros(values.shape, dtype=np.bool_)
    smooth = smooth - smooth.min()
    bright = float(np.percentile(smooth, 99))
    scaled = np.log(smooth / bright + 0.02)
    threshold: float = threshold_otsu(scaled)  # type: ignore[no-untyped-call]
    # Bone is dark; without it the scalp is a shell that hangs nowhere.
    shell = _closed(scaled > threshold, _SHELL, spacing)
    return _solid(np.asarray(ndimage.binary_fill_holes(shell)), spacing)


def _is_noise(values: NDArray[np.float32], smooth: NDArray[np.float32]) -> bool:
    """Tell an image of air: nothing stands out once smooth, and nothing is smooth before."""
    middle = float(np.median(smooth))
    if float(smooth.max()) == float(smooth.min()):
        return True
    step = float(np.median(np.abs(np.diff(values, axis=0))))
    return middle > 0 and float(np.percentile(smooth, 99.9)) < 3.5 * middle and step > 0.3 * middle


def _disk(radius: float, spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """Return an ellipse of pixels that is a disk in mm."""
    reach = [max(1, int(radius / size)) for size in spacing]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    inside: NDArray[np.bool_] = np.asarray(np.hypot(rows / reach[0], columns / reach[1]) <= 1)
    return inside


def _opened(
    mask: NDArray[np.bool_], radius: float, spacing: tuple[float, float]
) -> NDArray[np.bool_]:
    """Open by a disk, by distances, which takes the same time for any radius."""
    padded = np.pad(mask, 1, mode="edge")
    distances = ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1]
    core: NDArray[np.bool_] = np.asarray(distances > radius)
    if not core.any():
        return core
    near = ndimage.distance_transform_edt(~core, sampling=spacing) <= radius
    return np.asarray(near & mask)


def _closed(
    mask: NDArray[np.bool_], radius: float, spacing: tuple[float, float]
) -> NDArray[np.bool_]:
    border = [int(radius / size) + 2 for size in spacing]
    inner = tuple(slice(size, -size) for size in border)
    padded = np.pad(mask, [(size, size) for size in border])
    return ~_opened(~padded, radius, spacing)[inner]


def _solid(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """Return the largest piece, cut loose from straps and rests, without holes."""
    loose = ndimage.binary_opening(mask, _disk(2.0, spacing))
    labels, count = ndimage.label(loose)
    if count == 0:
        return np.zeros(mask.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()))


def _without_air(body: NDArray[np.bool_]) -> bool:
    """Tell whether most of the body's columns begin at the image's edge."""
    columns = body.any(axis=0)
    return bool(body[0].sum() > 0.5 * columns.sum())


def _hollow(body: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """Return how deep the front is dented in the middle of an axial slice, in mm."""
    hull = convex_hull_image(body)  # type: ignore[no-untyped-call]
    columns = np.flatnonzero(body.any(axis=0))
    middle = columns[len(columns) // 5 : len(columns) - len(columns) // 5]
    dents = body.argmax(axis=0)[middle] - hull.argmax(axis=0)[middle]
    return float(dents.max()) * spacing[0]


def _in_front(
    body: NDArray[np.bool_],
    values: NDArray[np.float32],
    spacing: tuple[float, float],
    seed: int,
    *,
    is_ct: bool,
) -> NDArray[np.bool_]:
    """Return the pixels in front of the cut."""
    step = spacing[0]
    columns = np.flatnonzero(body.any(axis=0))
    first = body.argmax(axis=0)[columns] * step
    every = np.arange(body.shape[1])
    surface = np.interp(every, columns, first)
    # Where the head becomes small towards its top, so does the radius of its forehead.
    radius = min(_BALL, _BALL_OF_WIDTH * (columns[-1] - columns[0]) * spacing[1])
    cut = _rolled(surface, radius, spacing[1]) + _irregular(len(every), spacing[1], seed) + _DEPTH
    if not is_ct:
        cut += _BLURRED
    else:
        cavity = _cavity_begins(values, spacing)
        if np.isfinite(cavity).any():
            cut = np.minimum(cut + _DEEPER, cavity - _MARGIN)
    rows = np.flatnonzero(body.any(axis=1)) * step
    cut = np.minimum(cut, rows[0] + _FRONT * (rows[-1] - rows[0]))
    middles = (np.arange(body.shape[0]) + 0.5) * step
    return np.asarray(middles[:, None] < cut[None, :])


def _rolled(surface: NDArray[np.float64], radius: float, step: float) -> NDArray[np.float64]:
    """Return what a ball touches that rolls along a surface from inside, in mm from the front."""
    reach = int(0.8 * radius / step)
    offsets = np.arange(-reach, reach + 1) * step
    ball = np.sqrt(radius**2 - offsets**2) - radius
    size = 2 * reach + 1
    closed = ndimage.grey_closing(surface, size=(size,), structure=ball, mode="nearest")
    rolled: NDArray[np.float64] = np.asarray(np.maximum(closed, surface))
    return rolled


def _irregular(size: int, step: float, seed: int) -> NDArray[np.float64]:
    knots = np.random.default_rng(seed).uniform(0, _IRREGULAR, int(size * step / _KNOTS) + 2)
    places = np.arange(size) * step / _KNOTS
    return np.asarray(np.interp(places, np.arange(len(knots)), knots), dtype=np.float64)


def _seed(pixels: Slice) -> int:
    digest = blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _cavity_begins(
    values: NDArray[np.float32], spacing: tuple[float, float]
) -> NDArray[np.float64]:
    """Return for each column how far from the front the cranial cavity is, in mm."""
    bone = ndimage.binary_closing(np.pad(values > _BONE, 8), _disk(3.0, spacing))[8:-8, 8:-8]
    labels, count = ndimage.label(ndimage.binary_fill_holes(bone) & ~bone)
    begins = np.full(values.shape[1], np.inf)
    for label in range(1, count + 1):
        cavity = labels == label
        if cavity.sum() * spacing[0] * spacing[1] < _LEAST_CAVITY:
            continue
        if _SOFT[0] <= float(np.median(values[cavity])) <= _SOFT[1]:
            here = np.where(cavity.any(axis=0), cavity.argmax(axis=0) * spacing[0], np.inf)
            begins = np.minimum(begins, here)
    return begins


def _standing_out(body: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """Return ears: what is thin and hangs on the front of a head."""
    core = _opened(body, _EAR, spacing)
    thin = body & ~core
    rows = np.flatnonzero(body.any(axis=1))
    thin[int(rows[0] + _EARS * (rows[-1] - rows[0])) :] = False
    return np.asarray(ndimage.binary_dilation(thin, _disk(2.0, spacing)) & ~core)
