"""Pixels: from the bytes of a DICOM file or a picture to what a network takes in.

Modality LUT, VOI, colour, resampling; and pictures made into DICOM objects. Nothing here knows
Orthanc or torch.
"""

from preread.imaging.display import Span, Table, Voi, VoiFunction, Window
from preread.imaging.errors import UnreadableImage
from preread.imaging.frame import Frame, Units, frame_from_array
from preread.imaging.image import Image, open_image
from preread.imaging.picture import open_picture
from preread.imaging.preprocessing import Fit, Preprocessing, Resampling, prepare

__all__ = [
    "Fit",
    "Frame",
    "Image",
    "Preprocessing",
    "Resampling",
    "Span",
    "Table",
    "Units",
    "UnreadableImage",
    "Voi",
    "VoiFunction",
    "Window",
    "frame_from_array",
    "open_image",
    "open_picture",
    "prepare",
]
