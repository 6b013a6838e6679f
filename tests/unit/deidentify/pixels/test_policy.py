"""What must be looked at, row by row of the table."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from preread.deidentify.pixels.policy import Look, looks
from preread.elements import Header, read_header

AXIAL = ["ORIGINAL", "PRIMARY", "AXIAL"]


def header(*, pixels: bool = True, overlay: bool = False, **attributes: Any) -> Header:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = attributes.pop("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")
    dataset.SOPInstanceUID = "1.2.3"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if overlay:
        dataset.add_new(0x60023000, "OW", bytes(8))
    if pixels:
        dataset.SamplesPerPixel, dataset.Rows, dataset.Columns = 1, 2, 2
        dataset.BitsAllocated = 16
        dataset.PixelData = bytes(8)
        dataset["PixelData"].VR = "OW"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return read_header(buffer.getvalue())


def look(of: Header, *, modalities: frozenset[str] = frozenset(), **options: bool) -> Look:
    chosen = {"clean_pixels": False, "clean_graphics": False, "clean_faces": False} | options
    return looks(of, modalities=modalities, **chosen)


@pytest.mark.parametrize(
    ("attributes", "looked_at"),
    [
        ({"Modality": "CT", "ImageType": AXIAL}, False),
        ({"Modality": "CT", "ImageType": AXIAL, "BurnedInAnnotation": "NO"}, False),
        ({"Modality": "CT", "ImageType": AXIAL, "BurnedInAnnotation": "YES"}, True),
        ({"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"]}, False),
        ({"Modality": "MR", "ImageType": ["DERIVED", "PRIMARY", "MPR"]}, True),
        (
            {
                "Modality": "MR",
                "ImageType": ["DERIVED", "PRIMARY", "ADC"],
                "BurnedInAnnotation": "NO",
            },
            False,
        ),
        ({"Modality": "PT", "ImageType": ["ORIGINAL", "PRIMARY"]}, False),
        ({"Modality": "NM", "ImageType": ["ORIGINAL", "PRIMARY", "WHOLE BODY"]}, False),
        ({"Modality": "CT"}, True),
        (
            {
                "Modality": "CT",
                "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
                "BurnedInAnnotation": "NO",
            },
            True,
        ),
        ({"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, True),
        ({"Modality": "CT", "ImageType": AXIAL, "SeriesDescription": "Dose Report"}, True),
        ({"Modality": "CT", "ImageType": AXIAL, "SeriesDescription": "Low dose chest"}, False),
        ({"Modality": "US", "ImageType": AXIAL, "BurnedInAnnotation": "NO"}, True),
        ({"Modality": "DX", "ImageType": ["ORIGINAL", "PRIMARY"]}, True),
        ({"Modality": "", "ImageType": AXIAL}, True),
        ({"Modality": "SM", "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]}, False),
        ({"Modality": "SM", "ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, True),
        ({"Modality": "SM", "ImageType": ["DERIVED", "PRIMARY", "OVERVIEW", "NONE"]}, True),
        ({"Modality": "SEG", "BurnedInAnnotation": "YES"}, False),
        (
            {
                "Modality": "MR",
                "ImageType": AXIAL,
                "BurnedInAnnotation": "NO",
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2",
            },
            True,
        ),
        ({"Modality": "MR", "ImageType": AXIAL, "ConversionType": "WSD"}, True),
    ],
)
def test_text_is_looked_for_where_the_table_says(
    attributes: dict[str, Any], looked_at: bool
) -> None:
    assert (look(header(**attributes), clean_pixels=True) is Look.TEXT) is looked_at
    assert look(header(**attributes)) is Look.NONE
    assert look(header(pixels=False, **attributes), clean_pixels=True) is Look.NONE


def test_further_modalities_can_be_named() -> None:
    of = header(Modality="PT", ImageType=AXIAL)
    assert look(of, clean_pixels=True, modalities=frozenset({"PT"})) is Look.TEXT


def test_overlays_are_looked_at_with_and_without_pixels() -> None:
    for pixels in (True, False):
        of = header(pixels=pixels, overlay=True, Modality="CT", ImageType=AXIAL)
        assert look(of, clean_graphics=True) is Look.OVERLAYS
        assert look(of) is Look.NONE
    assert look(header(Modality="CT"), clean_graphics=True) is Look.NONE


@pytest.mark.parametrize(
    ("attributes", "looked_at"),
    [
        ({"Modality": "CT", "BodyPartExamined": "HEAD"}, True),
        ({"Modality": "MR", "StudyDescription": "MRT_Schädel mit KM"}, True),
        ({"Modality": "MR", "SeriesDescription": "t1_mprage_BRAIN2"}, True),
        ({"Modality": "CT", "ProtocolName": "Paranasal sinuses"}, True),
        ({"Modality": "PT", "StudyDescription": "FDG whole body"}, True),
        ({"Modality": "CT", "StudyDescription": "CT Orbits"}, True),
        ({"Modality": "CT", "BodyPartExamined": "CHEST"}, False),
        ({"Modality": "CT", "StudyDescription": "Overhead arms, lung"}, False),
        ({"Modality": "US", "BodyPartExamined": "HEAD"}, False),
        ({"Modality": "CT", "BodyPartExamined": "HEAD", "ConversionType": "WSD"}, False),
        ({"Modality": "CT"}, False),
    ],
)
def test_faces_are_looked_for_in_slices_of_heads(
    attributes: dict[str, Any], looked_at: bool
) -> None:
    of = header(ImageType=AXIAL, **attributes)
    assert (look(of, clean_faces=True) is Look.FACE) is looked_at


@pytest.mark.parametrize(("code", "looked_at"), [("69536005", True), ("51185008", False)])
def test_a_head_is_known_by_its_code(code: str, looked_at: bool) -> None:
    item = Dataset()
    item.CodeValue = code
    of = header(Modality="CT", ImageType=AXIAL, AnatomicRegionSequence=[item])
    assert bool(look(of, clean_faces=True)) is looked_at


def test_what_is_asked_for_adds_up() -> None:
    of = header(
        overlay=True,
        Modality="CT",
        ImageType=AXIAL,
        BurnedInAnnotation="YES",
        BodyPartExamined="HEAD",
    )
    every = look(of, clean_pixels=True, clean_graphics=True, clean_faces=True)
    assert every == Look.TEXT | Look.OVERLAYS | Look.FACE
