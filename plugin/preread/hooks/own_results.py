"""Results of ours are taken only when they were announced, whoever sends them.

Their UIDs are recognised by the site's key. Whoever could store a changed copy under one would
replace what a physician has approved; whoever could add an object to their series would be shown in
its place, since viewers show the last instance of such a series.
"""

from __future__ import annotations

from collections.abc import Callable

from preread.elements import Header
from preread.errors import PrereadError


class UnannouncedResultError(PrereadError):
    """An object that bears the UID of a result of ours, and is none that we are storing."""


class OwnResults:
    """Tells what bears the UID of a result.

    Parameters
    ----------
    is_result
        Tells whether this site's key issued a UID for a result, or for its series.
    """

    def __init__(self, is_result: Callable[[str], bool]) -> None:
        self._is_result = is_result

    def check(self, header: Header) -> None:
        """Refuse an object that was not announced and bears the UID of a result.

        Raises
        ------
        UnannouncedResultError
            Naming the attribute.
        """
        for keyword, tag, uid in (
            ("SOPInstanceUID", "(0008,0018)", header.SOPInstanceUID),
            ("SeriesInstanceUID", "(0020,000E)", header.SeriesInstanceUID),
        ):
            if self._is_result(uid):
                raise UnannouncedResultError(
                    f"{keyword} {tag} is that of a result of this node, which nobody else may "
                    "store; expected a new UID"
                )
