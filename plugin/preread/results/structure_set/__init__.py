"""Regions as RT Structure Set Storage (PS3.3 A.19): proposed, reviewed, and read back to pixels.

What is here turns polylines on images into data sets and back; it knows no network, no Orthanc
and no ledger. Images that have no place in the patient are refused with the reason.
"""

from preread.imaging.errors import NoImagePlaneError
from preread.imaging.plane import ImagePlane
from preread.results.structure_set.errors import UnwritableStructureSetError
from preread.results.structure_set.proposal import propose
from preread.results.structure_set.reading import DrawnRegion, regions_of
from preread.results.structure_set.region import (
    Decision,
    Described,
    Region,
    ReviewedBy,
    Verdict,
    check_polygon,
)
from preread.results.structure_set.review import review

__all__ = [
    "Decision",
    "Described",
    "DrawnRegion",
    "ImagePlane",
    "NoImagePlaneError",
    "Region",
    "ReviewedBy",
    "UnwritableStructureSetError",
    "Verdict",
    "check_polygon",
    "propose",
    "regions_of",
    "review",
]
