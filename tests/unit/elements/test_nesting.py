"""Nesting that would bring down who parses a file as a whole."""

import io
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from preread.elements import DEEPEST, MalformedFile, check_nesting, read_header


def nested(depth: int, keyword: str, *, implicit: bool, undefined: bool) -> bytes:
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    inner = Dataset()
    inner.SeriesNumber = 1
    for _ in range(depth):
        outer = Dataset()
        setattr(outer, keyword, [inner])
        if undefined:
            outer[keyword].is_undefined_length = True
        inner = outer
    dataset.update(inner)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=implicit, little_endian=True)
    return buffer.getvalue()


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("keyword", ["ReferencedSeriesSequence", "ReferencedStudySequence"])
def test_the_bound_holds_whatever_the_profile_does(keyword: str, implicit: bool) -> None:
    good = nested(DEEPEST, keyword, implicit=implicit, undefined=False)
    check_nesting(read_header(good))
    bad = nested(DEEPEST + 1, keyword, implicit=implicit, undefined=False)
    with pytest.raises(MalformedFile, match="nested deeper"):
        check_nesting(read_header(bad))


def test_undefined_lengths_are_bounded_too() -> None:
    bad = nested(DEEPEST + 9, "ReferencedStudySequence", implicit=False, undefined=True)
    with pytest.raises(MalformedFile, match="nested deeper"):
        check_nesting(read_header(bad))


def test_an_ordinary_file_passes() -> None:
    data = Path(str(get_testdata_file("rtplan.dcm"))).read_bytes()
    check_nesting(read_header(data))
