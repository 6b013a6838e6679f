"""The state of an unfinished fit, as a file that is replaced as a whole."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import torch

from preread.models.weights import write_atomically
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LARGEST_CHECKPOINT: Final = 4 * 1024**3


class _ForeignCheckpoint(Exception):
    """The checkpoint is of another fit."""


def keep(path: Path, origin: str, state: Mapping[str, Any]) -> None:
    """Write a state, tensors and plain containers alone.

    Parameters
    ----------
    path
        Of the file.
    origin
        What tells this fit from another.
    state
        What `resume` gives back.
    """
    buffer = io.BytesIO()
    torch.save({"origin": origin, **state}, buffer)
    write_atomically(path, buffer.getvalue())


def resume(
    path: Path, origin: str, device: torch.device, load: Callable[[dict[str, Any]], None]
) -> None:
    """Read a state and load it; without a file nothing happens.

    Parameters
    ----------
    path, origin
        As for `keep`.
    device
        Where its tensors go.
    load
        Takes the state; what it raises counts as a broken file.

    Raises
    ------
    TrainingError
        If the state is of another fit, or broken.
    """
    if not path.exists():
        return
    if path.stat().st_size > LARGEST_CHECKPOINT:
        raise TrainingError(f"{path.name}: too large for a checkpoint; remove it to start anew")
    try:
        # weights_only: tensors and plain containers, nothing that is run.
        kept: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        if kept["origin"] != origin:
            raise _ForeignCheckpoint  # noqa: TRY301 - told from a broken one below
        load(kept)
    except _ForeignCheckpoint:
        raise TrainingError(
            f"{path.name}: from other images, options or weights; remove it to start anew"
        ) from None
    except Exception as error:  # noqa: BLE001 - torch.load raises what it likes on a broken file
        raise TrainingError(
            f"{path.name}: a broken checkpoint ({type(error).__name__}); remove it to start anew"
        ) from None
