"""How many images of each kind a random part takes, so that its size comes out exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def quotas(
    sizes: NDArray[np.int64],
    sets: NDArray[np.bool_],
    classes: NDArray[np.bool_],
    share: float,
    *,
    exact: Sequence[int | None],
    parts_left: int = 1,
) -> NDArray[np.int64]:
    """Choose how many images of each kind a part takes.

    A kind is a combination of labels over all sets. Each kind gives its share as nearly as whole
    numbers allow, while the part's size in each set is the number asked for, or else the nearest
    to the share; every class with images enough has some on both sides. A mixed-integer linear
    programme (solved by HiGHS through SciPy) around the weighted least-squares solution.

    Parameters
    ----------
    sizes
        (K,) images of each kind.
    sets, classes
        (S, K) and (C, K): which kinds belong to a set, and to a class of a set.
    share
        Of the images that the part takes, 0 to 1.
    exact
        Size of the part in each set; None where the share decides.
    parts_left
        Images that each class keeps outside the part, where it has as many.

    Returns
    -------
    ndarray of int64
        (K,), 0 to `sizes`.

    Raises
    ------
    TrainingError
        If no division has the sizes that were asked for.

    Examples
    --------
    The seed paper's data: 613 images in the first set only, 250 in the second only, 847 in both.

    >>> kinds, sets = np.array([613, 250, 847]), np.array([[1, 0, 1], [0, 1, 1]], dtype=bool)
    >>> found = quotas(kinds, sets, sets, 0.3, exact=(430, 321))
    >>> (sets @ found).tolist()
    [430, 321]
    """
    totals = sets @ sizes
    aims = np.array(
        [
            round(share * total) if given is None else given
            for total, given in zip(totals, exact, strict=True)
        ],
        dtype=float,
    )
    # Each kind's share, moved as little as possible (for its size) until the aims are met.
    weighted = sets * sizes
    moved, *_ = np.linalg.lstsq(weighted @ sets.T.astype(float), aims - share * totals, rcond=None)
    near = np.clip(share * sizes + weighted.T @ moved, 0, sizes)
    # Where no division has every class on both sides, whoever uses it finds which is missing.
    for sided in (classes, classes[:0]):
        window = 0
        while window <= 2 * int(sizes.max()):
            found = _programme(
                sizes, sets, sided, near, aims, exact=exact, window=window, parts_left=parts_left
            )
            if found is not None:
                return found
            window = 2 * window + 1
    numbers = " and ".join(str(given) for given in exact if given is not None)
    raise TrainingError(
        f"no division has {numbers} images of these sets in one part; ask for other numbers"
    )


def _programme(
    sizes: NDArray[np.int64],
    sets: NDArray[np.bool_],
    classes: NDArray[np.bool_],
    near: NDArray[np.float64],
    aims: NDArray[np.float64],
    *,
    exact: Sequence[int | None],
    window: int,
    parts_left: int,
) -> NDArray[np.int64] | None:
    """Solve for whole numbers at most a window away from the nearest that are not whole."""
    from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - slow to import

    kinds, count = len(sizes), len(sets)
    # The variables: images of each kind, how far each is from near, how far each set is off.
    off: NDArray[Any] = np.eye(kinds)
    none = np.zeros((kinds, count))
    set_off: NDArray[Any] = np.eye(count)
    there = classes @ sizes
    constraints = [
        LinearConstraint(np.hstack([off, -off, none]), -np.inf, near),
        LinearConstraint(np.hstack([off, off, none]), near, np.inf),
        LinearConstraint(np.hstack([sets, 0 * none.T, -set_off]), -np.inf, aims),
        LinearConstraint(np.hstack([sets, 0 * none.T, set_off]), aims, np.inf),
        LinearConstraint(
            np.hstack([classes, np.zeros((len(classes), kinds + count))]),
            np.minimum(1, there),
            np.maximum(there - parts_left, np.minimum(1, there)),
        ),
    ]
    least = np.maximum(np.floor(near) - window, 0)
    most = np.minimum(np.ceil(near) + window, sizes)
    slack = [0.0 if given is not None else np.inf for given in exact]
    solved = milp(
        # Being off in a set weighs more than all kinds' distances together can change.
        np.concatenate([np.zeros(kinds), np.ones(kinds), np.full(count, 2.0 * kinds + 1)]),
        constraints=constraints,
        bounds=Bounds(
            np.concatenate([least, np.zeros(kinds + count)]),
            np.concatenate([most, np.full(kinds, np.inf), slack]),
        ),
        integrality=np.concatenate([np.ones(kinds), np.zeros(kinds + count)]),
    )
    return None if solved.x is None else np.rint(solved.x[:kinds]).astype(np.int64)
