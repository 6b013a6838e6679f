"""What was measured, in the text of the network's own object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from preread.iodeep.iod import LONGEST_DESCRIPTION

if TYPE_CHECKING:
    from preread.iodeep.iod import IODeep
    from preread.training.regions.document import Evaluation, PartFigures

BEGIN: Final = "Measured:"
"""What the part of a description begins with that is made here."""


def described(network: IODeep, evaluation: Evaluation) -> IODeep:
    """Give a network whose description says what was measured, in place of what it said before.

    DnnUID and SOPInstanceUID stay: it is the same network.
    """
    before = network.Description.partition(BEGIN)[0].strip()
    parts = "; ".join(_told(part) for part in evaluation.Parts)
    text = f"{before} {BEGIN} {parts}.".strip()
    return replace(network, Description=text[:LONGEST_DESCRIPTION].strip())


def _told(part: PartFigures) -> str:
    kind = "synthetic " if part.Synthetic else ""
    figures = []
    if part.Dice is not None and part.IoU is not None and part.DetectionRate is not None:
        found = round(part.DetectionRate * part.Lesions)
        figures = [
            f"{found} of {part.Lesions} lesions found",
            f"Dice {part.Dice:.3f}",
            f"IoU {part.IoU:.3f}",
        ]
    figures.append(f"{part.FalsePositivesPerScan:.2f} false positives per scan")
    count = f"{len(part.Scans)} {kind}scan{'' if len(part.Scans) == 1 else 's'}"
    return f"{part.Name} ({count}) {', '.join(figures)}"
