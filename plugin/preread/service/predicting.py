"""A prediction as a service answers it: regions as JSON, or an RT Structure Set."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import uuid
from typing import TYPE_CHECKING, Any, Final

from pydicom import dcmwrite

from preread.imaging.volume import pixel_area
from preread.iodeep.files_prediction import RegionsOfFiles, regions_of_files
from preread.results.equipment import INTENDED_USE
from preread.results.structure_set import Described, propose
from preread.service.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.iodeep.iod import IODeep
    from preread.iodeep.prediction import Predictor, Region

_DECIMALS: Final = 4
"""Of a pixel."""


class Prediction:
    """What a network found in the files of one request.

    Parameters
    ----------
    predictor
        That runs it.
    network
        The network.
    files
        In the order in which they came.
    max_bytes
        The largest uncompressed size of one file's frames.

    Raises
    ------
    preread.errors.PrereadError
        If a file cannot be read or the network cannot run.
    """

    def __init__(
        self, predictor: Predictor, network: IODeep, files: Sequence[bytes], *, max_bytes: int
    ) -> None:
        self._network = network
        self._found: RegionsOfFiles = regions_of_files(
            predictor, network, files, max_bytes=max_bytes
        )
        self._weights_sha256 = predictor.running(network).weights_sha256

    def to_json(self) -> dict[str, Any]:
        """Give the regions; columns and rows are those of the image as it was sent."""
        return {
            "Notice": INTENDED_USE,
            "DnnUID": self._network.DnnUID,
            "DnnName": self._network.DnnName,
            "WeightsSHA256": self._weights_sha256,
            "Images": len(self._found.headers),
            "Frames": sum(self._found.frames),
            "Regions": [self._told(region) for region in self._found.regions],
        }

    def _told(self, region: Region) -> dict[str, Any]:
        header, frame = self._found.place(region)
        size = pixel_area(header, frame)
        return {
            "SOPInstanceUID": str(header.SOPInstanceUID),
            "FrameNumber": frame + 1,
            "Kind": region.kind,
            "Channel": region.channel,
            "Polygon": [
                [round(float(value), _DECIMALS) for value in point] for point in region.polygon
            ],
            "AreaPixels": region.area,
            "AreaSquareMillimetres": None if size is None else region.area * size,
            "Score": region.score,
        }

    def structure_set(self) -> bytes | None:
        """Give the regions as an RT Structure Set; None if there are none.

        The same request gives the same UIDs.

        Raises
        ------
        ServiceError
            400, if the images are not of one series.
        preread.results.structure_set.UnwritableStructureSetError
            If the images have no place in the patient.
        """
        headers = self._found.headers
        if len({str(header.get("SeriesInstanceUID", "")) for header in headers}) != 1:
            raise ServiceError(400, "a structure set is of one series; send one at a time")
        if not self._found.regions:
            return None
        name = hashlib.sha256(
            "/".join(
                [self._network.DnnUID, self._weights_sha256]
                + [str(header.SOPInstanceUID) for header in headers]
            ).encode()
        ).hexdigest()
        dataset = propose(
            headers,
            self._found.regions,
            Described(
                name=self._network.DnnName,
                uid=self._network.DnnUID,
                version="",
                weights_sha256=self._weights_sha256,
            ),
            moment=dt.datetime.now(dt.UTC),
            SeriesInstanceUID=_uid(f"{name}/series"),
            SOPInstanceUID=_uid(f"{name}/instance"),
        )
        written = io.BytesIO()
        dcmwrite(written, dataset, enforce_file_format=True)
        return written.getvalue()


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"
