"""The kinds of work of this installation: Preread's own, and those of other packages.

Another package has an entry point of the group ``preread.kinds`` that names a `Kind`. Cheap to
import, as `kind` is.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Final

from preread.errors import SettingsError
from preread.runner.kinds import explanations, images, networks, regions, reviews
from preread.runner.kinds.kind import Kind

GROUP: Final = "preread.kinds"

OWN: Final = (images.KIND, explanations.KIND, reviews.KIND, networks.KIND, regions.KIND)
"""Preread's own, in the order in which they start."""


@cache
def kinds() -> tuple[Kind, ...]:
    """Return all kinds; looked up once.

    Raises
    ------
    SettingsError
        If an entry point cannot be loaded, is no `Kind`, or has the name of another.
    """
    found = [*OWN]
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            kind = point.load()
        except Exception as error:
            raise SettingsError(
                f"the entry point {point.name} of {GROUP} ({point.value}) cannot be loaded: "
                f"{type(error).__name__}; mend or remove the package that has it"
            ) from error
        if not isinstance(kind, Kind):
            raise SettingsError(
                f"the entry point {point.name} of {GROUP} ({point.value}) is no "
                "preread.runner.kinds.kind.Kind"
            )
        if kind.name in {each.name for each in found}:
            raise SettingsError(f"there are two kinds of work named {kind.name} ({GROUP})")
        found.append(kind)
    return tuple(found)


def series_kinds() -> tuple[str, ...]:
    """Return the names of those that a series becomes a task of when it changes."""
    return tuple(kind.name for kind in kinds() if kind.begins_with_series)
