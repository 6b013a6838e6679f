"""The computed chest as pictures."""

from pathlib import Path

import pydicom
from pydicom.uid import SecondaryCaptureImageStorage

from preread.demo.phantom import write_chest_series
from preread.demo.pictures import write_pictures
from preread.imaging import Units, open_image


def test_each_slice_has_a_picture_in_its_study(tmp_path: Path) -> None:
    slices = write_chest_series(tmp_path, seed=3, slices=2)
    pictures = [pydicom.dcmread(path) for path in write_pictures(slices)]
    sources = [pydicom.dcmread(path) for path in slices]
    assert len(list(tmp_path.iterdir())) == 4
    assert len({str(one.SeriesInstanceUID) for one in (*pictures, *sources)}) == 2
    assert len({str(one.SOPInstanceUID) for one in (*pictures, *sources)}) == 4
    for picture, source in zip(pictures, sources, strict=True):
        assert picture.SOPClassUID == SecondaryCaptureImageStorage
        assert picture.SyntheticData == "YES"
        for keyword in ("PatientID", "StudyInstanceUID", "Modality", "BodyPartExamined"):
            assert picture[keyword].value == source[keyword].value
        # Bone is white and air is black, as in the models' training pictures.
        assert (int(picture.pixel_array.min()), int(picture.pixel_array.max())) == (0, 255)
    data = slices[0].with_name(f"{slices[0].stem}-picture.dcm").read_bytes()
    assert open_image(data, max_bytes=2**24).units is Units.DISPLAY
    again = pydicom.dcmread(write_pictures(slices)[0])
    # Sent again it takes the place of the first.
    assert again.SOPInstanceUID == pictures[0].SOPInstanceUID
    assert again.PixelData == pictures[0].PixelData
