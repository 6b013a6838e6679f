"""The search for text in all frames of an image: looked at, blanked, and looked at again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixels.boxes import Box, covered

_PIXEL_DATA: Final = 0x7FE00010
_MOST_LOOKS: Final = 8
_SAMPLES: Final = 5
_SAME: Final = 0.5  # of a box's area

Shown = NDArray[Any]
"""(H, W), or (H, W, 3) RGB."""


class Detector(Protocol):
    """Finds text in a picture."""

    def boxes(self, values: Shown, /, *, again: bool = False) -> list[Box]:
        """Return where text is; `again` where what was found before has been smoothed over."""
        ...


def text_in(detector: Detector, shown: Shown, known: Sequence[Box] = ()) -> list[Box]:
    """Return where text is in one picture, looked for until nothing more is found.

    Parameters
    ----------
    detector
        Finds text.
    shown
        The picture. It is not changed.
    known
        What will be blanked anyway.

    Raises
    ------
    DeidentificationError
        If there is no end of it.
    """
    picture = np.array(shown)
    blank = covered(known, *shown.shape[:2])
    smooth_over(picture, known)
    found: list[Box] = []
    for number in range(_MOST_LOOKS):
        # What is blank already cannot hold anything: that is a box's own edge.
        new = [
            box for box in detector.boxes(picture, again=number > 0) if not blank[box.area].all()
        ]
        if not new:
            return found
        found += new
        blank |= covered(new, *shown.shape[:2])
        smooth_over(picture, new)
    raise DeidentificationError(
        _PIXEL_DATA, f"after {_MOST_LOOKS} looks there still seems to be text in the picture"
    )


def smooth_over(picture: Shown, boxes: Sequence[Box]) -> None:
    """Fill boxes with what lies around them, in place.

    Where text is blanked a second look must see neither it nor the edges of a black box on grey,
    which look like strokes: each pixel becomes the mean of the straight lines between what bounds
    its column and its row.

    Parameters
    ----------
    picture
        (H, W), or (H, W, 3).
    boxes
        What to fill. Twice, since one may lie at the edge of another.
    """
    for box in (*boxes, *boxes):
        rows, columns = box.area
        across = _ramp(picture[rows], box.left, box.right)
        down = _ramp(picture[:, columns].swapaxes(0, 1), box.top, box.bottom).swapaxes(0, 1)
        picture[rows, columns] = ((across + down) / 2).astype(picture.dtype)


def _ramp(lines: Shown, start: int, stop: int) -> NDArray[np.float64]:
    """Return lines' second axis from start to stop, straight between its neighbours there."""
    last = lines.shape[1]
    before = lines[:, max(0, start - 1)] if start else lines[:, min(stop, last - 1)]
    after = lines[:, stop] if stop < last else before
    share = (np.arange(start, stop) - start + 1) / (stop - start + 1)
    share = share.reshape(1, -1, *(1,) * (lines.ndim - 2))
    ramp: NDArray[np.float64] = before[:, None] * (1 - share) + after[:, None] * share
    return ramp


def text_in_frames(
    detector: Detector,
    frame: Callable[[int], Shown],
    number_of_frames: int,
    known: Sequence[Box] = (),
) -> list[list[Box]]:
    """Return what is to be blanked in each frame.

    What several frames out of five show at the same place is blanked in all frames, since it may
    be too faint to be found in some; then each frame is looked at by itself.

    Parameters
    ----------
    detector
        Finds text.
    frame
        Gives the picture of a frame by its index, from 0.
    number_of_frames
        1 or more.
    known
        What is blanked in all frames anyway.

    Raises
    ------
    DeidentificationError
        If there is no end of text in a frame.
    """
    everywhere = list(known)
    if number_of_frames > 1:
        places = np.linspace(0, number_of_frames - 1, min(_SAMPLES, number_of_frames))
        seen = [detector.boxes(frame(int(place))) for place in places]
        everywhere += sorted(
            {
                box
                for at, boxes in enumerate(seen)
                for box in boxes
                if any(_same(box, other) for rest in seen[:at] + seen[at + 1 :] for other in rest)
            }
        )
    return [
        everywhere + text_in(detector, frame(index), everywhere)
        for index in range(number_of_frames)
    ]


def _same(one: Box, other: Box) -> bool:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    area = max(_area(one), _area(other))
    return width > 0 and height > 0 and width * height >= _SAME * area


def _area(box: Box) -> int:
    return (box.right - box.left) * (box.bottom - box.top)
