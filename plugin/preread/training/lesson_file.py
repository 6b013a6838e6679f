"""What a teacher said, kept beside the checkpoints.

A teacher's look at all views takes as long as several epochs of its student. Kept, it need not be
repeated when a fit is resumed, or by the next student of the same teacher on the same images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from preread.models.weights import write_atomically
from preread.training.teacher import Lessons

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST_LESSONS: Final = 16 * 1024**3
_NAMES: Final = ("views", "logits", "features")


def kept_lessons(folder: Path, origin: str, make: Callable[[], Lessons]) -> Lessons:
    """Give the lessons that lie in a folder, or make them and put them there.

    Parameters
    ----------
    folder
        Of the checkpoints.
    origin
        Hexadecimal digest of all that the lessons depend on.
    make
        Called where there are none of that origin, or their file is broken.
    """
    path = folder / f"lessons-{origin[:16]}.safetensors"
    found = _read(path, origin)
    if found is not None:
        return found
    made = make()
    tensors = {name: getattr(made, name).contiguous() for name in _NAMES}
    write_atomically(path, save(tensors, {"origin": origin}))
    return made


def _read(path: Path, origin: str) -> Lessons | None:
    if not path.is_file() or path.stat().st_size > LARGEST_LESSONS:
        return None
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("origin") != origin:
                return None
            return Lessons(*(file.get_tensor(name) for name in _NAMES))
    except SafetensorError:
        return None
