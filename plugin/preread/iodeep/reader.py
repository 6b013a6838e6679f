"""A network that is a DICOM object, as a reader: each region that it finds is a lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.findings.findings import Algorithm, Findings
from preread.findings.lesion import Lesion, Outline
from preread.iodeep.files_prediction import regions_of_frames
from preread.iodeep.selection import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from preread.findings.reader import Facts, Placed
    from preread.iodeep.iod import IODeep
    from preread.iodeep.prediction import Predictor


class IODeepReader:
    """Has one network look at the images of a series; `preread.findings.reader.Reader` is kept.

    Parameters
    ----------
    predictor
        Runs networks.
    network
        Of which it is known that it may run.
    """

    def __init__(self, predictor: Predictor, network: IODeep) -> None:
        self._predictor = predictor
        self._network = network

    @property
    def algorithm(self) -> Algorithm:
        """Which network it is, with the weights that it runs with now.

        Raises
        ------
        preread.errors.PrereadError
            If it cannot be run.
        """
        network, created = self._network, self._network.created
        return Algorithm(
            name=network.DnnName,
            # What the object says of its making is all the version that it has.
            version="" if created is None else created.isoformat()[:10],
            # Weights that lie in a file may have been replaced since it was looked at.
            sha256=self._predictor.running(network).weights_sha256,
            uid=network.DnnUID,
        )

    def obstacle(self, facts: Facts, /) -> str:
        """Say why a series is not for it: networks are matched on Modality first."""
        if plain(facts.Modality) == plain(self._network.Modality):
            return ""
        return f"the network is for {self._network.Modality}, not for {facts.Modality}"

    def read(self, frames: Iterable[Placed], /) -> Findings:
        """Find regions; none is linked to another.

        Raises
        ------
        preread.errors.PrereadError
            If the network cannot run on them.
        """
        pairs = ((frame, area) for frame, _, area in frames)
        found = regions_of_frames(self._predictor, self._network, pairs)
        lesions = (
            Lesion((Outline(one.frame, one.polygon, one.area),), float(one.score)) for one in found
        )
        return Findings(self.algorithm, lesions=tuple(lesions))
