"""What DICOMweb 1.15 and newer keep of a series does not follow what is overwritten.

They are an attachment of the series, and what they are compared with is the list of its instances
alone. A result that is stored in place leaves that list as it is, so that QIDO-RS and WADO-RS would
answer without it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from preread.errors import PrereadError

_log = structlog.get_logger(__name__)

_ATTACHMENT = "4301"
_FIRST_WITH_CACHE = (1, 15)
_AGAIN = 15.0
"""Seconds after the last result of a series: metadata that were being made meanwhile are old."""


class Asks(Protocol):
    """Orthanc, as far as it is needed here."""

    def plugin_version(self, name: str) -> str | None:
        """Return the version of a plugin; None if it is not loaded."""
        ...

    def delete_path(self, path: str) -> bool:
        """Delete what lies at a path; False if there was nothing."""
        ...


class MetadataCache:
    """Has DICOMweb make the metadata of a series anew.

    Parameters
    ----------
    orthanc
        Asked when something is stored for the first time.
    enabled
        Whether the site's configuration leaves the cache on.
    timer
        Calls a function after some seconds, as `threading.Timer` does.
    """

    def __init__(
        self,
        orthanc: Asks,
        *,
        enabled: bool,
        timer: Callable[..., threading.Timer] = threading.Timer,
    ) -> None:
        self._orthanc = orthanc
        self._is_on: bool | None = None if enabled else False
        self._timer = timer
        self._lock = threading.Lock()
        self._again: dict[str, threading.Timer] = {}

    def forget(self, series: str) -> None:
        """Forget what is kept of a series, now and once more a little later.

        Parameters
        ----------
        series
            Orthanc's id.

        Raises
        ------
        preread.archive.pacs.PacsError
            If Orthanc does not do it.
        """
        if self._is_on is None:
            self._is_on = has_cache(self._orthanc.plugin_version("dicom-web"))
        if not self._is_on or not series:
            return
        self._delete(series)
        timer = self._timer(_AGAIN, self._forget_again, [series])
        timer.daemon = True
        with self._lock:
            former = self._again.pop(series, None)
            self._again[series] = timer
        if former is not None:
            former.cancel()
        timer.start()

    def close(self) -> None:
        """Let nothing more happen."""
        with self._lock:
            waiting, self._again = self._again, {}
        for timer in waiting.values():
            timer.cancel()

    def _forget_again(self, series: str) -> None:
        with self._lock:
            self._again.pop(series, None)
        try:
            self._delete(series)
        except PrereadError as error:
            _log.warning("the metadata of a series may be old", reason=str(error))

    def _delete(self, series: str) -> None:
        self._orthanc.delete_path(f"/series/{series}/attachments/{_ATTACHMENT}")


def has_cache(version: str | None) -> bool:
    """Tell whether a version of DICOMweb keeps metadata; of one that has no number it is assumed.

    >>> [has_cache(version) for version in (None, "1.7", "1.15", "1.20", "mainline")]
    [False, False, True, True, True]
    """
    if version is None:
        return False
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= _FIRST_WITH_CACHE
