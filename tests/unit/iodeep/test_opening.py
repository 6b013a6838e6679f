from __future__ import annotations

import base64
import io
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray

from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.opening import WeightsFolder, contents, weights_data
from preread.iodeep.reading import decode
from preread.iodeep.torch_saved import torch_arrays, torch_document
from preread.iodeep.weights import (
    HashOfFile,
    PathOfFile,
    Safetensors,
    TorchSaved,
    arrays_of,
    sha256_of,
)
from tests.unit.iodeep.conftest import DOCUMENT, Build, Make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    return made


def _saved(value: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def _changed(data: bytes, old: bytes, new: bytes) -> bytes:
    """Change the description of what torch saved."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(file, "w") as made:
        for entry in given.infolist():
            content = given.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert old in content
                content = content.replace(old, new)
            made.writestr(entry.filename, content)
    return file.getvalue()


class _Harmful:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._path),)


def test_weights_are_found_by_hash_and_by_path(folder: Path, weights: bytes) -> None:
    place = WeightsFolder(folder)
    reference = HashOfFile(sha256_of(weights))
    with pytest.raises(InvalidIODeepError, match="no file of up to"):
        place.read(reference)
    (folder / "net").mkdir()
    (folder / "net" / "weights.safetensors").write_bytes(weights)
    assert place.read(reference) == weights
    assert place.read(PathOfFile("net/weights.safetensors")) == weights
    (folder / "net" / "weights.safetensors").write_bytes(weights + b" ")
    with pytest.raises(InvalidIODeepError, match="no file of up to"):
        place.read(reference)


def test_what_is_kept_is_found(folder: Path, weights: bytes) -> None:
    place = WeightsFolder(folder)
    assert place.keep(weights) == place.keep(weights) == HashOfFile(sha256_of(weights))
    assert place.read(HashOfFile(sha256_of(weights))) == weights
    assert [path.name for path in (folder / "iodeep").iterdir()] == [
        f"{sha256_of(weights)}.safetensors"
    ]
    with pytest.raises(InvalidIODeepError, match="not the bytes of a safetensors file"):
        place.keep(b"anything else")


def test_a_file_that_is_not_what_its_name_says_is_refused(folder: Path, weights: bytes) -> None:
    place = WeightsFolder(folder)
    reference = place.keep(weights)
    (folder / "iodeep" / f"{reference.sha256}.safetensors").write_bytes(weights + b" ")
    with pytest.raises(InvalidIODeepError, match="has the hash"):
        place.read(reference)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, folder: Path, weights: bytes) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "w.safetensors").write_bytes(weights)
    (folder / "link").symlink_to(outside)
    (folder / "net").mkdir()
    (folder / "net" / "w.safetensors").symlink_to(outside / "w.safetensors")
    place = WeightsFolder(folder)
    for path in ("link/w.safetensors", "net/w.safetensors"):
        with pytest.raises(InvalidIODeepError, match="lies within the models folder"):
            place.read(PathOfFile(path))
    with pytest.raises(InvalidIODeepError, match="has the hash"):
        place.read(HashOfFile(sha256_of(weights)))


def test_what_is_no_file_or_too_large_is_refused(folder: Path, weights: bytes) -> None:
    place = WeightsFolder(folder)
    reference = place.keep(weights)
    (folder / "a.safetensors").mkdir()
    for path in ("a.safetensors", "b.safetensors"):
        with pytest.raises(InvalidIODeepError, match=r"no such file|no file that"):
            place.read(PathOfFile(path))
    with pytest.raises(InvalidIODeepError, match="larger than 9 bytes"):
        place.read(PathOfFile(f"iodeep/{reference.sha256}.safetensors"), most=9)
    with pytest.raises(InvalidIODeepError, match=r"no file of up to 9 bytes|larger than 9"):
        place.read(reference, most=9)


def test_a_network_is_opened_whichever_way_it_has_its_weights(
    folder: Path, make: Make, weights: bytes, arrays: dict[str, NDArray[np.float32]]
) -> None:
    place = WeightsFolder(folder)
    for kind in (Safetensors(weights), place.keep(weights)):
        opened = contents(make(DnnWeights=kind), place)
        assert opened.document == DOCUMENT
        assert opened.sha256 == sha256_of(weights)
        assert opened.arrays.keys() == arrays.keys()
        np.testing.assert_array_equal(opened.arrays["1.weight"], arrays["1.weight"])


def test_the_prototypes_contents_are_opened(folder: Path, prototype: Build) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    state = network.state_dict()
    encoded = [base64.b64encode(_saved(value)).decode() for value in (DOCUMENT, state)]
    read = decode(prototype(*encoded))
    opened = contents(read, WeightsFolder(folder))
    assert opened.document == DOCUMENT
    assert opened.arrays.keys() == {name for name in state if "batches" not in name}
    for name, array in opened.arrays.items():
        np.testing.assert_array_equal(array, state[name].numpy())
    assert weights_data(read.DnnWeights, WeightsFolder(folder)) == _saved(state)


def test_a_pth_file_in_the_folder_is_opened(folder: Path) -> None:
    (folder / "net.pth").write_bytes(_saved({"a": torch.ones(2, 3).T}))
    data = weights_data(PathOfFile("net.pth"), WeightsFolder(folder))
    np.testing.assert_array_equal(arrays_of(data)["a"], np.ones((3, 2)))


def test_numbers_come_as_float32_or_float16() -> None:
    state = OrderedDict(a=torch.ones(2, dtype=torch.float64), b=torch.ones(2).half())
    state["c.num_batches_tracked"] = torch.tensor(3)
    arrays = torch_arrays(_saved(state))
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "a": "float32",
        "b": "float16",
    }
    file = safetensors.numpy.save(
        {"a": np.ones(2), "c.num_batches_tracked": np.array(3, dtype=np.int64)}
    )
    assert {name: str(array.dtype) for name, array in arrays_of(file).items()} == {"a": "float32"}
    with pytest.raises(InvalidIODeepError, match="expected float16"):
        torch_arrays(_saved({"a": torch.ones(2, dtype=torch.int64)}))


@pytest.mark.parametrize("new_zip", [True, False])
def test_code_is_never_run(tmp_path: Path, new_zip: bool) -> None:
    made = tmp_path / "made"
    harmful = _saved({"a": _Harmful(made)}, _use_new_zipfile_serialization=new_zip)
    for read in (torch_arrays, torch_document):
        with pytest.raises(InvalidIODeepError, match=r"it names code|a bare pickle"):
            read(harmful)
    assert not made.exists()


def test_what_is_allowed_by_torch_but_no_state_is_refused() -> None:
    with pytest.raises(InvalidIODeepError, match="it names code"):
        torch_arrays(_saved({"a": torch.ones(2).to_sparse()}))
    for value in ([torch.ones(2)], {}, {"a": "text"}, {1: torch.ones(2)}):
        with pytest.raises(InvalidIODeepError, match="expected a state dictionary"):
            torch_arrays(_saved(value))
    with pytest.raises(InvalidIODeepError, match="DnnArchitecture: expected"):
        torch_document(_saved([1, 2]))


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused() -> None:
    with pytest.raises(InvalidIODeepError, match="claim more numbers"):
        torch_arrays(_saved({"a": torch.ones(1).expand(100, 100)}))
    four, many = b"K\x04", b"J\xff\xff\xff\x7f"
    with pytest.raises(InvalidIODeepError, match="claims more numbers"):
        torch_arrays(_changed(_saved({"a": torch.ones(4)}), four, many))
    # Within the file's size, but beyond the tensor's own numbers.
    with pytest.raises(InvalidIODeepError, match=r"does not read it|claim more"):
        torch_arrays(_changed(_saved({"a": torch.ones(4)}), four, b"M\x00\x04"))


def test_zip_bombs_are_refused() -> None:
    plain = _saved({"a": torch.zeros(1000)})
    bombs = []
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(plain)) as given, zipfile.ZipFile(file, "w") as made:
            for name in given.namelist():
                made.writestr(name, given.read(name) + bytes(10**6), compression)
        bombs.append(file.getvalue())
    for bomb in bombs:
        with pytest.raises(InvalidIODeepError, match="compressed or encrypted"):
            torch_arrays(bomb)


def test_entries_that_overlap_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", b"N." + bytes(5000))
        for number in range(50):
            again = zipfile.ZipInfo(f"archive/data/{number}")
            again.file_size = again.compress_size = 5002
            again.CRC = made.filelist[0].CRC
            again.header_offset = 0
            made.filelist.append(again)
    with pytest.raises(InvalidIODeepError, match=r"larger than itself|cannot be read"):
        torch_arrays(file.getvalue())


@pytest.mark.parametrize("name", ["DATA.PKL", "Data.pkl"])
def test_another_spelling_hides_no_description(name: str) -> None:
    data = _saved({"a": torch.zeros(3)})
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(file, "w") as made:
        for entry in given.infolist():
            made.writestr(entry.filename.replace("data.pkl", name), given.read(entry))
    with pytest.raises(InvalidIODeepError, match="named"):
        torch_arrays(file.getvalue())


@pytest.mark.parametrize(
    "name",
    [
        *("data.pkl", "archive/../data.pkl", "archive/", "other/data.pkl"),
        *("archive/constants.pkl", "archive/code/__torch__.py", "archive/DATA.PKL"),
    ],
)
def test_names_that_torch_does_not_give_are_refused(name: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", b"N.")
        made.writestr(name, b"N.")
    with pytest.raises(InvalidIODeepError, match="not named as torch"):
        torch_arrays(file.getvalue())


def test_a_zip_that_is_cut_off_is_refused() -> None:
    data = _saved({"a": torch.ones(4)})
    with pytest.raises(InvalidIODeepError, match="a zip that cannot be read"):
        torch_arrays(data[: len(data) // 2])
    assert TorchSaved(data).data == data
