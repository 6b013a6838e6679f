"""What the DICOMweb plugin beside us makes of a part of a STOW-RS request that is refused."""

from __future__ import annotations

import json
import re

import orthanc

from preread.hooks import log

_PLUGIN = "dicom-web"
_GOES_ON_SINCE = (1, 20)  # the oldest version that was seen to; 1.7 was seen not to


class DicomWeb:
    """Whether the parts that follow a refused one are stored.

    DICOMweb 1.7 hands the parts of a request to Orthanc one by one, leaves out all that follow the
    first that is refused, and answers 200. Newer versions go on, and list the refused one as failed
    (PS3.18 section 10.5.3). Until it is known, an old one is assumed: nothing is lost by that.
    """

    def __init__(self) -> None:
        self.goes_on = False

    def ask(self) -> None:
        """Ask Orthanc which version is loaded, once Orthanc has started; this never raises."""
        try:
            version = self._version()
        except Exception as error:  # noqa: BLE001 - Orthanc must start all the same
            log.warning(f"the version of DICOMweb is not known: {type(error).__name__}")
            return
        self.goes_on = version is None or _goes_on(version)
        if not self.goes_on:
            log.warning(
                f"DICOMweb {version} leaves out what follows a refused part of a STOW-RS request: "
                "such a part is kept in the quarantine, and its sender is answered success"
            )

    def _version(self) -> str | None:
        """Return the version; None where the plugin is not loaded."""
        if _PLUGIN not in json.loads(orthanc.RestApiGet("/plugins")):
            return None
        return str(json.loads(orthanc.RestApiGet(f"/plugins/{_PLUGIN}"))["Version"])


def _goes_on(version: str) -> bool:
    """Tell it of a version.

    >>> [_goes_on(version) for version in ("1.7", "1.20", "1.21.3", "mainline", "?")]
    [False, True, True, True, False]
    """
    if version == "mainline":
        return True
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return found is not None and (int(found[1]), int(found[2])) >= _GOES_ON_SINCE
