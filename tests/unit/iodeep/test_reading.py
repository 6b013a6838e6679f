from __future__ import annotations

import base64
import datetime as dt
import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydicom import dcmread

from preread.elements import MalformedFile
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.iod import RAW_DATA_STORAGE
from preread.iodeep.layouts import Layout
from preread.iodeep.reading import LARGEST_FILE, decode
from preread.iodeep.weights import Safetensors, TorchSaved
from preread.iodeep.writing import encode
from tests.unit.iodeep.conftest import DOCUMENT, UID, Build, Make


def _torch_saved(value: object) -> str:
    file = io.BytesIO()
    torch.save(value, file)
    return base64.b64encode(file.getvalue()).decode()


def _with(data: bytes, **changes: Any) -> bytes:
    """Change attributes of a file of ours."""
    dataset = dcmread(io.BytesIO(data))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    if "PixelData" in changes:
        dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_what_is_written_is_read_the_same(make: Make) -> None:
    made = make(
        DnnName="Läsion",
        Description="Dice 0.91",
        WindowCenter=-300.0,
        WindowWidth=1400.5,
        created=dt.datetime.fromisoformat("2026-01-02T03:04:05.000600"),
    )
    assert decode(encode(made)) == made
    assert encode(decode(encode(made))) == encode(made)


@pytest.mark.parametrize(
    ("changes", "attribute"),
    [
        ({"WindowCenter": "-300"}, "WindowWidth"),
        ({"WindowWidth": "1400"}, "WindowCenter"),
        ({"WindowCenter": "0", "WindowWidth": "0.5"}, "WindowWidth"),
        ({"WindowCenter": "1e12", "WindowWidth": "1"}, "WindowCenter"),
    ],
)
def test_half_a_window_or_one_that_shows_nothing_is_refused(
    make: Make, changes: dict[str, str], attribute: str
) -> None:
    data = _with(encode(make()), **changes)
    with pytest.raises(InvalidIODeepError, match=f"^IODeep: {attribute}: expected"):
        decode(data)


@pytest.mark.parametrize("text", [b"wide", b"nan ", b"inf "])
def test_a_window_that_is_no_number_is_refused(make: Make, text: bytes) -> None:
    data = encode(make(WindowCenter=5555.0, WindowWidth=1.0))
    assert data.count(b"5555.0") == 1
    with pytest.raises(InvalidIODeepError, match=r"WindowCenter: expected a number"):
        decode(data.replace(b"5555.0", text + b"  "))


def test_the_file_is_raw_data_of_nobody_in_a_reserved_block(make: Make) -> None:
    dataset = dcmread(io.BytesIO(encode(make())))
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == RAW_DATA_STORAGE
    assert dataset.StudyInstanceUID == dataset.SeriesInstanceUID == UID
    assert dataset.SOPInstanceUID not in ("", UID)
    assert not dataset.PatientName
    assert not dataset.PatientID
    assert not dataset.PatientBirthDate
    assert not dataset.PatientSex
    assert dataset[0x0017, 0x0010].value == "IODEEP"
    block = dataset.private_block(0x0017, "IODEEP")
    assert [block[number].VR for number in (0x10, 0x11, 0x12, 0x13)] == ["UT", "UT", "LO", "UI"]
    assert json.loads(block[0x10].value) == DOCUMENT
    assert (block[0x12].value, block[0x13].value) == ("unet_mri", UID)
    assert (dataset.Modality, dataset.BodyPartExamined) == ("MR", "HEAD")
    assert (dataset.SamplesPerPixel, dataset.Rows, dataset.Columns) == (1, 64, 48)


def test_another_block_of_the_group_is_read(make: Make) -> None:
    dataset = dcmread(io.BytesIO(encode(make())))
    values = [dataset.pop((0x0017, number)) for number in (0x1010, 0x1011, 0x1012, 0x1013)]
    dataset[0x0017, 0x0010].value = "SOMEBODY ELSE"
    block = dataset.private_block(0x0017, "IODEEP", create=True)
    for number, element in zip((0x10, 0x11, 0x12, 0x13), values, strict=True):
        block.add_new(number, str(element.VR), element.value)
    file = io.BytesIO()
    dataset.save_as(file)
    assert (0x0017, 0x1110) in dataset
    assert decode(file.getvalue()).DnnUID == UID


def test_the_prototypes_layout_is_read(prototype: Build, weights: bytes) -> None:
    network = decode(prototype())
    assert network.layout is Layout.PROTOTYPE
    assert network.document == DOCUMENT
    assert network.DnnWeights == Safetensors(weights)
    assert (network.DnnName, network.DnnUID, network.SOPInstanceUID) == ("unet_mri", UID, UID)
    assert (network.Modality, network.BodyPartExamined) == ("MR", "HEAD")
    assert (network.SamplesPerPixel, network.Rows, network.Columns) == (1, 64, 48)
    assert network.created is None


@pytest.mark.parametrize("x", [1, 2, 0xF])
def test_the_articles_layout_is_read(prototype: Build, x: int) -> None:
    tags = (x << 4, x << 4 | 1, x << 4 | 2, x << 4 | 3)
    network = decode(prototype(json.dumps(DOCUMENT), tags=tags))
    assert network.layout is Layout.ARTICLE
    assert network.document == DOCUMENT
    assert (network.DnnName, network.DnnUID) == ("unet_mri", UID)


def test_a_published_layout_becomes_ours(prototype: Build) -> None:
    network = decode(prototype())
    ours = decode(encode(network.with_contents(network.document, network.DnnWeights)))
    assert ours.layout is Layout.IODEEP
    assert ours.document == network.document
    assert ours.DnnUID == network.DnnUID
    assert ours.SOPInstanceUID != network.SOPInstanceUID


def test_what_torch_saved_stays_bytes(
    prototype: Build, arrays: dict[str, NDArray[np.float32]]
) -> None:
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network = decode(prototype(_torch_saved(DOCUMENT), _torch_saved(state)))
    assert isinstance(network.DnnArchitecture, TorchSaved)
    assert isinstance(network.DnnWeights, TorchSaved)
    assert (network.Rows, network.Columns) == (64, 48)
    with pytest.raises(InvalidIODeepError, match="DnnArchitecture: written by"):
        encode(network)
    with pytest.raises(InvalidIODeepError, match="DnnWeights: written by"):
        encode(network.with_contents(DOCUMENT, network.DnnWeights))


@pytest.mark.parametrize(
    ("data_format", "expected"), [("channels_first", (200, 3)), ("channels_last", (100, 200))]
)
def test_the_architecture_says_how_large_the_input_is(
    prototype: Build, data_format: str, expected: tuple[int, int]
) -> None:
    shape = {"input_shape0": 100, "input_shape1": 200, "input_shape2": 3}
    document = DOCUMENT | {"input_shape": shape, "data_format": data_format}
    network = decode(prototype(str(document), Rows=None, Columns=None))
    assert (network.Rows, network.Columns) == expected


def test_binary_numbers_are_read_from_a_published_layout(prototype: Build) -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != "input_shape"}
    network = decode(prototype(str(document), SamplesPerPixel=1, Rows=512, Columns=300))
    assert (network.SamplesPerPixel, network.Rows, network.Columns) == (1, 512, 300)


def test_the_modality_that_the_prototype_lists_is_understood(prototype: Build) -> None:
    assert decode(prototype(Modality="MRI")).Modality == "MR"


@pytest.mark.parametrize(
    ("attribute", "changes"),
    [
        ("SOPClassUID", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}),
        ("SOPClassUID", {"SOPClassUID": "2.25.5", "SOPInstanceUID": "2.25.5"}),
        ("PatientName", {"PatientName": "Somebody"}),
        ("PatientID", {"PatientID": "1"}),
        ("StudyInstanceUID", {"StudyInstanceUID": "1.2.3"}),
        ("SeriesInstanceUID", {"SeriesInstanceUID": "1.2.3"}),
        ("Modality", {"Modality": ""}),
        ("BodyPartExamined", {"BodyPartExamined": ""}),
        ("SamplesPerPixel", {"SamplesPerPixel": 2}),
        ("SamplesPerPixel", {"SamplesPerPixel": 3}),
        ("PhotometricInterpretation", {"PhotometricInterpretation": "CMYK"}),
        ("Rows", {"Rows": 63}),
        ("Columns", {"Columns": None}),
        ("Columns", {"Columns": 0}),
        ("PixelData", {"PixelData": b"\0\0"}),
    ],
)
def test_what_is_invalid_is_named(make: Make, attribute: str, changes: dict[str, Any]) -> None:
    data = _with(encode(make()), **changes)
    with pytest.raises(InvalidIODeepError, match=f"^IODeep: {attribute}: ") as caught:
        decode(data)
    assert caught.value.attribute == attribute
    assert "Somebody" not in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "changes"),
    [
        ("DnnUID", {"DnnUID": "1.02"}),
        ("DnnUID", {"DnnUID": "2.25." + "1" * 64}),
        ("SOPInstanceUID", {"SOPInstanceUID": "abc"}),
        ("DnnName", {"DnnName": ""}),
        ("DnnName", {"DnnName": "a\\b"}),
        ("DnnName", {"DnnName": "a" * 65}),
        ("Description", {"Description": "a" * 1025}),
        ("DnnArchitecture", {"DnnArchitecture": "__import__('os')"}),
        ("Modality", {"Modality": "mr"}),
        ("BodyPartExamined", {"BodyPartExamined": "HEAD" * 5}),
        ("Rows", {"Rows": 65536}),
        ("DnnWeights", {"DnnWeights": b"bytes"}),
    ],
)
def test_an_invalid_network_is_never_made(
    make: Make, attribute: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidIODeepError, match=f"^IODeep: {attribute}: "):
        make(**changes)


@pytest.mark.parametrize(
    "architecture", ["", "bm90IGEgemlw", "cnn2d", base64.b64encode(b"\x80\x04N.").decode()]
)
def test_an_architecture_that_is_none_is_refused(prototype: Build, architecture: str) -> None:
    with pytest.raises(InvalidIODeepError, match=r"^IODeep: DnnArchitecture: "):
        decode(prototype(architecture))


def test_a_file_without_a_network_is_refused(prototype: Build) -> None:
    with pytest.raises(InvalidIODeepError, match="DnnArchitecture: the file holds no network"):
        decode(prototype(tags=(0x50, 0x52, 0x54, 0x56)))
    with pytest.raises(MalformedFile):
        decode(b"no DICOM")


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidIODeepError, match="DnnWeights: the file is larger"):
        decode(memoryview(bytearray(LARGEST_FILE + 1)))


def test_a_deflated_file_that_grows_without_end_is_refused(make: Make) -> None:
    data = encode(make())
    meta_end = 132 + 12 + struct.unpack_from("<I", data, 140)[0]
    syntax = b"1.2.840.10008.1.2.1\0"
    deflated = b"1.2.840.10008.1.2.1.99"
    assert syntax in data[:meta_end]
    meta = data[:meta_end].replace(
        struct.pack("<H", len(syntax)) + syntax, struct.pack("<H", len(deflated)) + deflated
    )
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    whole = engine.compress(data[meta_end:]) + engine.flush()
    assert decode(meta + whole).DnnUID == UID
    engine = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(engine.compress(bytes(2**20)) for _ in range(LARGEST_FILE // 2**20 + 2))
    with pytest.raises(MalformedFile, match="inflates to more than"):
        decode(meta + bomb + engine.flush())
