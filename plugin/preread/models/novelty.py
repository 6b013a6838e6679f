"""How far an image lies from those that a model was trained on, by the features of its backbone.

Features are scaled to length 1, because how long they are says how much an image resembles
anything at all (Sun and others, "Out-of-distribution detection with deep nearest neighbors",
2022). The training images are then described by probabilistic principal components (Tipping and
Bishop, 1999): a normal distribution whose covariance is their own in the directions in which they
vary most, and the same in all others. The score is the Mahalanobis distance in it, so that an
image which leaves the directions of the training images, as most that are unlike them do (Wang
and others, "ViM", 2022), is far away, and so is one that goes too far along them.

numpy alone: it is read where no network is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from preread.models.card import InvalidModelError
from preread.models.weights import NOVELTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

METHOD: Final = (
    "Mahalanobis distance of a backbone's features, scaled to length 1, under probabilistic "
    "principal components of the training images' features (64 at most); 1 is their root mean "
    "square"
)
"""For the card."""
FEWEST: Final = 8
"""Training images without which no distribution can be described."""

_COMPONENTS: Final = 64
_MEAN, _DIRECTIONS = f"{NOVELTY}mean", f"{NOVELTY}directions"
_VARIANCES, _REST = f"{NOVELTY}variances", f"{NOVELTY}rest"
_TINY: Final = 1e-12


class Novelty:
    """The distribution of the training images' features; made by `fit` or `from_arrays`.

    Parameters
    ----------
    mean
        (D,), of the scaled features.
    directions
        (K, D), rows of length 1 at right angles to each other.
    variances
        (K,), along those, times the number of dimensions in which the training images vary.
    rest
        The same along every other direction.
    """

    def __init__(
        self,
        mean: NDArray[np.float32],
        directions: NDArray[np.float16],
        variances: NDArray[np.float32],
        rest: NDArray[np.float32],
    ) -> None:
        self._stored: dict[str, NDArray[Any]] = {
            _MEAN: mean,
            _DIRECTIONS: directions,
            _VARIANCES: variances,
            _REST: rest,
        }
        self._mean = mean.astype(np.float64)
        # One layout, so that what is read back from a file gives the same to the last bit.
        self._directions = np.ascontiguousarray(directions, dtype=np.float64)
        self._variances = variances.astype(np.float64)
        self._rest = float(rest[0])

    @property
    def width(self) -> int:
        """The number of features, D."""
        return len(self._mean)

    @classmethod
    def fit(cls, features: NDArray[np.float32]) -> Novelty:
        """Describe training images; the same features give the same description.

        Parameters
        ----------
        features
            (N, D), of the training images as they are, not augmented.

        Raises
        ------
        InvalidModelError
            If there are fewer than `FEWEST` images, or they do not vary.
        """
        if features.ndim != 2 or len(features) < FEWEST:
            raise InvalidModelError(
                f"features of training images: shape {features.shape}, expected {FEWEST} rows or "
                "more to tell unlike images"
            )
        rows = _scaled(features)
        mean = rows.mean(axis=0)
        rows -= mean
        dimensions = min(len(rows) - 1, rows.shape[1])
        kept = min(_COMPONENTS, dimensions // 2)
        variances, directions = _principal(rows, kept)
        rest = ((rows**2).sum() / (len(rows) - 1) - variances.sum()) / (dimensions - kept)
        if not rest > _TINY:
            raise InvalidModelError(
                "features of training images: they do not vary; unlike images cannot be told"
            )
        return cls(
            mean.astype(np.float32),
            directions.astype(np.float16),
            (variances * dimensions).astype(np.float32),
            np.array([rest * dimensions], dtype=np.float32),
        )

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Tell how far images lie from the training images.

        Parameters
        ----------
        features
            (N, D).

        Returns
        -------
        ndarray of float64
            (N,), above 0; the training images' root mean square is 1, and others like them have
            somewhat more.

        Raises
        ------
        InvalidModelError
            If a feature is not finite, or there are more or fewer of them.
        """
        if features.ndim != 2 or features.shape[1] != self.width:
            raise InvalidModelError(
                f"features: shape {features.shape}, expected {self.width} for each image"
            )
        away = _scaled(features) - self._mean
        along = away @ self._directions.T
        beside = ((away - along @ self._directions) ** 2).sum(axis=1)
        squares = (along**2 / self._variances).sum(axis=1) + beside / self._rest
        score: NDArray[np.float64] = np.sqrt(np.maximum(squares, _TINY))
        return score

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give what is kept in the model's file of weights, by names ``novelty.*``."""
        return dict(self._stored)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], name: str = "novelty") -> Novelty:
        """Read what `arrays` gave.

        Parameters
        ----------
        arrays
            By name; other names than those are refused.
        name
            What to call the file in an error.

        Raises
        ------
        InvalidModelError
            If one is missing, strange, of another shape or type, not finite, or no variance.
        """
        directions = arrays.get(_DIRECTIONS, np.zeros((1, 1)))
        count, width = directions.shape if directions.ndim == 2 else (0, 0)
        expected = {
            _MEAN: ((width,), np.float32),
            _DIRECTIONS: ((count, width), np.float16),
            _VARIANCES: ((count,), np.float32),
            _REST: ((1,), np.float32),
        }
        for key in sorted(expected.keys() ^ arrays.keys()):
            problem = "is missing" if key in expected else "is none of a model's"
            raise InvalidModelError(f"{name}: {key[:80]} {problem}")
        for key, (shape, kind) in expected.items():
            array = arrays[key]
            if array.shape != shape or array.dtype != kind or not array.size:
                raise InvalidModelError(
                    f"{name}: {key}: {array.dtype} of shape {array.shape}, expected "
                    f"{np.dtype(kind).name} of shape {shape}"
                )
            if not np.isfinite(array).all():
                raise InvalidModelError(f"{name}: {key}: holds numbers that are not finite")
        if min(arrays[_VARIANCES].min(), arrays[_REST].min()) <= 0:
            raise InvalidModelError(f"{name}: {_VARIANCES}, {_REST}: expected numbers above 0")
        return cls(arrays[_MEAN], directions, arrays[_VARIANCES], arrays[_REST])


def _scaled(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bring features to length 1, in double precision."""
    if not np.isfinite(features).all():
        raise InvalidModelError("the network's features are not finite; its weights are unusable")
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float64] = rows / np.maximum(lengths, _TINY)
    return scaled


def _principal(
    rows: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the largest variances of centred rows, falling, and their directions (count, D)."""
    # Of the two products the smaller one: a decomposition costs the cube of its side.
    few = len(rows) <= rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count].T
    directions = vectors @ rows if few else vectors
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), _TINY)
    # Which way a direction points is the decomposition's whim.
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(count), largest])[:, np.newaxis]
    return np.maximum(values, 0) / (len(rows) - 1), directions
