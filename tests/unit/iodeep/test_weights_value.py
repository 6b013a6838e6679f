from __future__ import annotations

import base64
import json
import pickle
import struct

import pytest

from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.weights import (
    LARGEST_INSIDE,
    LARGEST_WRITTEN,
    HashOfFile,
    PathOfFile,
    Safetensors,
    TorchSaved,
    arrays_of,
    parse_weights_value,
    sha256_of,
    weights_value,
)

HASH = "0123456789abcdef" * 4


def large(size: int) -> bytes:
    """Give a safetensors file of so many bytes and a few."""
    head = {"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size // 4 * 4]}}
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size // 4 * 4)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"sha256:{HASH}", HashOfFile(HASH)),
        ("net.safetensors", PathOfFile("net.safetensors")),
        ("iodeep/ct/net_1.2.safetensors", PathOfFile("iodeep/ct/net_1.2.safetensors")),
        ("iodeep/net.pth", PathOfFile("iodeep/net.pth")),
    ],
)
def test_references_are_read_and_written(value: str, expected: HashOfFile | PathOfFile) -> None:
    assert parse_weights_value(value.encode() + b" ") == expected
    assert weights_value(expected) == value.encode()


def test_weights_inside_are_read_and_written(weights: bytes) -> None:
    value = weights_value(Safetensors(weights))
    assert parse_weights_value(value) == Safetensors(weights)
    lines = b"\r\n".join(value[i : i + 76] for i in range(0, len(value), 76))
    assert parse_weights_value(lines) == Safetensors(weights)


def test_what_torch_saved_is_not_looked_into() -> None:
    data = b"PK\x03\x04" + bytes(90)
    assert parse_weights_value(base64.b64encode(data)) == TorchSaved(data)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("https://example.org/net.safetensors", "an address"),
        ("http:net.safetensors", "an address"),
        ("file:///net.safetensors", "an address"),
        ("data:application/octet-stream;base64,AAAA", "an address"),
        ("C:/net.safetensors", "an address"),
        ("//host/net.safetensors", "an address"),
        ("\\\\host\\net.safetensors", "an address"),
        ("../net.safetensors", "a path below the models folder"),
        ("iodeep/../../net.safetensors", "a path below the models folder"),
        ("/etc/passwd", "a path below the models folder"),
        ("/models/net.safetensors", "a path below the models folder"),
        ("~/net.safetensors", "a path below the models folder"),
        ("./net.safetensors", "a path below the models folder"),
        (".hidden/net.safetensors", "a path below the models folder"),
        ("a\\..\\net.safetensors", "a path below the models folder"),
        ("net\0.safetensors", "a path below the models folder"),
        ("a b/net.safetensors", "a path below the models folder"),
        ("a/" * 9 + "net.safetensors", "a path below the models folder"),
        ("sha256:" + HASH[1:], "64 lower-case"),
        ("sha256:" + HASH.upper(), "64 lower-case"),
        ("sha256:../../net.safetensors", "64 lower-case"),
        ("net.pkl", "expected sha256: and"),
        ("", "empty"),
        (base64.b64encode(pickle.dumps({"a": 1})).decode(), "a pickle, which is never read"),
        (base64.b64encode(bytes(100)).decode(), "base64 of something else"),
        (base64.b64encode(b"\x1f\x8b" + bytes(100)).decode(), "base64 of something else"),
        (base64.b64encode(struct.pack("<Q", 2**60) + b"{}").decode(), "base64 of something else"),
    ],
)
def test_everything_else_is_refused(value: str, reason: str) -> None:
    with pytest.raises(InvalidIODeepError, match=f"^IODeep: DnnWeights: .*{reason}"):
        parse_weights_value(value.encode())


def test_sizes_are_bounded() -> None:
    assert parse_weights_value(weights_value(Safetensors(large(LARGEST_WRITTEN - 100))))
    with pytest.raises(InvalidIODeepError, match="models folder and the object has their hash"):
        weights_value(Safetensors(large(LARGEST_WRITTEN)))
    with pytest.raises(InvalidIODeepError, match="more than the 100000000 bytes"):
        Safetensors(large(LARGEST_INSIDE))
    with pytest.raises(InvalidIODeepError, match="more than the 100000000 bytes"):
        parse_weights_value(b"A" * (LARGEST_INSIDE // 2 * 3))


@pytest.mark.slow
def test_a_large_object_is_read() -> None:
    data = large(LARGEST_INSIDE - 1000)
    read = parse_weights_value(base64.b64encode(data))
    assert isinstance(read, Safetensors)
    assert sha256_of(read.data) == sha256_of(data)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"a": {"dtype": "F32", "shape": [10**10], "data_offsets": [0, 16]}}, "not a safetensors"),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 99]}}, "not a safetensors"),
        ({"a": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}}, "safetensors|expected"),
        ({"a": {"dtype": "I32", "shape": [4], "data_offsets": [0, 16]}}, "expected float16"),
    ],
)
def test_safetensors_that_claim_what_they_do_not_hold_are_refused(
    head: dict[str, object], reason: str
) -> None:
    text = json.dumps(head).encode()
    with pytest.raises(InvalidIODeepError, match=reason):
        arrays_of(struct.pack("<Q", len(text)) + text + bytes(16))


def test_a_bare_pickle_has_no_arrays() -> None:
    with pytest.raises(InvalidIODeepError, match="a bare pickle is never read"):
        arrays_of(pickle.dumps({"a": [1.0] * 10}))
