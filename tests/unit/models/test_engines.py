from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preread.models.card import (
    CARD,
    WEIGHTS,
    InvalidModelError,
    card_text,
    read_card,
)
from preread.models.catalogue import Catalogue
from preread.models.conversion_cache import ConversionCache
from preread.models.engine import make_engine
from preread.models.ensemble import Ensemble

EQUAL = 1e-4


def images(count: int, size: int) -> Any:
    return np.random.default_rng(3).standard_normal((count, 3, size, size)).astype(np.float32)


def test_converted_network_runs_without_torch(
    add_network: Any, folder: Path, tmp_path: Path
) -> None:
    add_network("net")
    cache = tmp_path / "cache"
    ensemble = Ensemble(Catalogue.load(folder), "openvino", 1, cache)
    expected = ensemble.predict("net", images(1, 96)).probabilities
    program = f"""
import sys
from pathlib import Path
import numpy as np
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
batch = np.random.default_rng(3).standard_normal((1, 3, 96, 96)).astype(np.float32)
ensemble = Ensemble(Catalogue.load(Path({str(folder)!r})), "openvino", 1, Path({str(cache)!r}))
print(ensemble.predict("net", batch).probabilities.tolist())
assert "torch" not in sys.modules
assert not sys.modules.get("openvino_telemetry")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert np.allclose(json.loads(done.stdout), expected, atol=1e-6)


def test_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path / "cache")
    made: list[int] = []

    def make() -> tuple[bytes, bytes]:
        made.append(1)
        return b"graph" * 100, b"constants" * 100

    expected = cache.get("key", make)
    place = tmp_path / "cache" / "key"
    assert place.stat().st_mode & 0o077 == 0
    for file in sorted(place.iterdir()):
        good = file.read_bytes()
        for damaged in (good[:-1], b"\0" + good[1:], b"", None):
            if damaged is None:
                file.unlink()
            else:
                file.write_bytes(damaged)
            before = len(made)
            assert cache.get("key", make) == expected
            assert len(made) == before + 1
            assert cache.get("key", make) == expected
            assert len(made) == before + 1
            assert file.read_bytes() == good
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["key"]


def test_old_conversions_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preread.models.conversion_cache._MOST_ENTRIES", 2)
    cache = ConversionCache(tmp_path / "cache")
    for number, key in enumerate("abc"):
        assert cache.get(key, lambda: (b"graph", b"constants")) == (b"graph", b"constants")
        os.utime(tmp_path / "cache" / key, (number, number))
    assert sorted(entry.name for entry in (tmp_path / "cache").iterdir()) == ["b", "c"]

    def never() -> tuple[bytes, bytes]:
        raise AssertionError("it is there")

    assert cache.get("c", never) == (b"graph", b"constants")


def test_unwritable_cache_is_no_error(add_network: Any, folder: Path, tmp_path: Path) -> None:
    add_network("net")
    (tmp_path / "file").write_text("in the way")
    ensemble = Ensemble(Catalogue.load(folder), "openvino", 1, tmp_path / "file" / "cache")
    assert ensemble.predict("net", images(1, 96)).probabilities.shape == (1, 3)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_changed_weights_are_refused(
    engine: str, add_network: Any, folder: Path, tmp_path: Path
) -> None:
    place = add_network("net")
    data = bytearray((place / WEIGHTS).read_bytes())
    data[-5] ^= 1
    (place / WEIGHTS).write_bytes(data)
    with pytest.raises(InvalidModelError, match=r"net/weights\.safetensors: its SHA-256"):
        Ensemble(Catalogue.load(folder), engine, 1, tmp_path / "cache")


def test_weights_of_another_network_are_refused(add_network: Any, folder: Path) -> None:
    place = add_network("net")
    card = read_card(place)
    four = card.model_copy(update={"Classes": ("a", "b", "c", "d")})
    (place / CARD).write_text(card_text(four))
    with pytest.raises(InvalidModelError, match=r"classifier\.1\.\w+: shape \(3.*expected \(4"):
        Ensemble(Catalogue.load(folder), "torch", 1)


def test_wrong_batch_is_refused(add_network: Any, folder: Path) -> None:
    add_network("net")
    ensemble = Ensemble(Catalogue.load(folder), "torch", 1)
    for shape in ((1, 3, 95, 96), (0, 3, 96, 96), (3, 96, 96)):
        with pytest.raises(ValueError, match="expected a batch of"):
            ensemble.predict("net", np.zeros(shape, dtype=np.float32))
    with pytest.raises(InvalidModelError, match="not in the catalogue"):
        ensemble.predict("other", images(1, 96))


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(InvalidModelError, match="expected torch, openvino or openvino-int8"):
        make_engine("tensorflow")
