"""Pictures with masks, made of small patches of which only the class is known.

    python -m preread.training.regions.patches FOLDER OUT --part train --seed 0

FOLDER has `split.csv` with the columns `file`, `nodule` (0 or 1) and `split`, and grey patches of
one size, such as those cut around the candidates of LUNA16, with what is in question in the middle.
A network that draws regions takes whole slices, so that patches are laid out side by side: 100 in
a picture of 512 x 512 pixels, each at its own size, so that after the same reduction as a slice's a
nodule is as large as in a slice. A patch of something else has an empty mask. No reader drew the
nodules: their masks are what is brighter than the middle between nodule and lung, connected, and
not much wider than the widest disc within it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import numpy as np
import typer
from PIL import Image
from scipy import ndimage

from preread.errors import PrereadError
from preread.training.errors import TrainingError
from preread.training.image_files import ImageFile
from preread.training.regions.series import MASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIDE: Final = 512
"""Of a picture, in pixels."""

_NEAR: Final = 6  # pixels from the middle within which the nodule has its own
_FAINTEST: Final = 12.0  # levels of 255 by which a nodule is brighter than what surrounds it
_WIDER: Final = 2.0  # how much wider than the widest disc within it a nodule may be


class Patch(NamedTuple):
    """A patch and the mask of what is in its middle.

    Attributes
    ----------
    pixels
        (side, side) uint8.
    mask
        (side, side) bool.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def nodule_mask(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the pixels of the nodule in the middle of a patch.

    Returns
    -------
    numpy.ndarray
        Of the same shape; nothing where the middle is no brighter than what surrounds it.
    """
    level = ndimage.gaussian_filter(pixels.astype(np.float32), 0.7)
    rows, columns = np.indices(level.shape)
    middle = (np.array(level.shape) - 1) / 2
    near = np.hypot(rows - middle[0], columns - middle[1]) <= _NEAR
    brightest, lung = np.percentile(level[near], 90), np.percentile(level, 20)
    if brightest - lung < _FAINTEST:
        return np.zeros(level.shape, dtype=bool)
    bright = level > (brightest + lung) / 2
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(bright, 1)))[1:-1, 1:-1]
    row, column = np.unravel_index(np.where(near, depth, 0).argmax(), depth.shape)
    if not depth[row, column]:
        return np.zeros(level.shape, dtype=bool)
    reach = _WIDER * depth[row, column] + 1
    bright &= np.hypot(rows - row, columns - column) <= reach
    labels, _ = ndimage.label(bright)
    return np.asarray(labels == labels[row, column])


def read_patches(folder: Path, part: str) -> tuple[list[Patch], list[Patch]]:
    """Read the patches of one part of `split.csv`: with a nodule, and with something else.

    Raises
    ------
    TrainingError
        If the list or a patch cannot be read.
    """
    nodules: list[Patch] = []
    others: list[Patch] = []
    for number, row in enumerate(_rows(folder), start=2):
        try:
            name, nodule, split = row["file"], int(row["nodule"]), row["split"]
        except (KeyError, ValueError, TypeError):
            raise TrainingError(
                f"split.csv, line {number}: expected the columns file, nodule (0 or 1) and split"
            ) from None
        if split != part:
            continue
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise TrainingError(f"split.csv, line {number}: the file is not below the folder")
        pixels = _pixels(path, name)
        if not nodule:
            others.append(Patch(pixels, np.zeros(pixels.shape, dtype=bool)))
        elif (mask := nodule_mask(pixels)).any():
            nodules.append(Patch(pixels, mask))
    if not nodules or not others:
        raise TrainingError(f"split.csv: nothing of both kinds is in the part {part}")
    return nodules, others


def lay_out(patches: Sequence[Patch]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Lay patches side by side, in rows; return the picture and its mask, 0 and 255."""
    picture = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    across = _across(patches[0])
    step = SIDE // across
    for number, patch in enumerate(patches):
        row, column = divmod(number, across)
        height, width = patch.pixels.shape
        where = np.s_[row * step : row * step + height, column * step : column * step + width]
        picture[where] = patch.pixels
        mask[where] = patch.mask * np.uint8(255)
    return picture, mask


def _across(patch: Patch) -> int:
    return int(SIDE // max(patch.pixels.shape))


def _rows(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / "split.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise TrainingError(f"{folder.name}: split.csv cannot be read") from None


def _pixels(path: Path, name: str) -> NDArray[np.uint8]:
    frame = ImageFile(path, name).frame(0)
    if frame.is_colour or max(frame.pixels.shape) > SIDE // 2:
        raise TrainingError(f"{name}: expected a grey patch of at most {SIDE // 2} pixels a side")
    return np.asarray(frame.display() * 255, dtype=np.uint8)


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    *,
    part: Annotated[str, typer.Option(help="Of the column split.")] = "train",
    others: Annotated[float, typer.Option(help="Patches of something else for each nodule.")] = 5.0,
    rounds: Annotated[
        int, typer.Option(help="How often all nodules are laid out, in new orders.", min=1, max=99)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the order.", min=0)] = 0,
) -> None:
    """Lay labelled patches out as pictures with masks."""
    try:
        nodules, rest = read_patches(folder, part)
        output.mkdir(parents=True)
        for turn in range(rounds):
            random = np.random.default_rng((seed, turn))
            kept = random.permutation(len(rest))[: round(others * len(nodules))]
            patches = [*nodules, *(rest[number] for number in kept)]
            order = [patches[number] for number in random.permutation(len(patches))]
            _write(order, output, f"{part}-{turn}")
    except FileExistsError:
        typer.echo(f"{output.name}: there already; name another folder", err=True)
        raise typer.Exit(1) from None
    except (PrereadError, OSError) as error:
        typer.echo(f"patches: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{len(nodules)} nodules and {len(kept)} others laid out, {rounds} times")


def _write(patches: Sequence[Patch], output: Path, name: str) -> None:
    each = _across(patches[0]) ** 2
    for number, start in enumerate(range(0, len(patches), each)):
        picture, mask = lay_out(patches[start : start + each])
        Image.fromarray(picture).save(output / f"{name}-{number:03}.png")
        Image.fromarray(mask).save(output / f"{name}-{number:03}{MASK}")


if __name__ == "__main__":
    typer.run(main)
