"""Networks that have come: whether they can be run."""

from __future__ import annotations

import base64
import io
import json
import pickle
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from pydicom import dcmread

from preread.archive.pacs import PacsUnreachableError
from preread.elements import read_header, resource_ids
from preread.iodeep.architecture import parse_architecture
from preread.iodeep.iod import IODeep
from preread.iodeep.making import make
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.recognising import digest_of, recognise
from preread.iodeep.validation import validate
from preread.iodeep.weights import HashOfFile, Safetensors
from preread.iodeep.writing import encode
from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.network import Network, NetworkState
from preread.ledger.sql import SqlLedger
from preread.runner.meter import Meter
from preread.runner.network_checking import NetworkChecking
from preread.runner.network_objects import NetworkObjects
from tests.unit.ledger.conftest import Clock
from tests.unit.runner.archive import Archive

SMALL: dict[str, Any] = {
    "input_shape": {"input_shape0": 8, "input_shape1": 8, "input_shape2": 1},
    "architecture": {"1": "cnn2d", "2": "sigmoid"},
    "convolutional": {"cn1": 1},
    "kernel": {"kernel1": 3},
    "padding_conv": {"padding_conv": 1},
    "data_format": "channels_last",
}
FACTS: dict[str, Any] = {
    "DnnName": "small",
    "Modality": "CT",
    "BodyPartExamined": "CHEST",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "DnnUID": "1.2.3",
}
VALID, INVALID, UNTRUSTED = NetworkState.VALID, NetworkState.INVALID, NetworkState.UNTRUSTED
MEBIBYTE = 2**20


def weights_of(document: dict[str, Any]) -> bytes:
    shapes = parse_architecture(document).weight_shapes
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return bytes(safetensors.numpy.save(arrays))


def small(**changes: Any) -> IODeep:
    return make(SMALL, **{"weights": Safetensors(weights_of(SMALL))} | FACTS | changes)


def with_values(data: bytes, **values: str) -> bytes:
    """Write other values into a network's own elements, valid or not."""
    dataset = dcmread(io.BytesIO(data))
    for name, value in values.items():
        dataset[{"architecture": 0x00171010, "weights": 0x00171011}[name]].value = value
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


class Site:
    """A register, an archive, a models folder, and what looks at networks."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.models = folder / "models"
        self.iodeep = self.models / "iodeep"
        self.iodeep.mkdir(parents=True)
        self.ledger = SqlLedger(f"sqlite:///{folder}/ledger.sqlite", clock=clock)
        self.archive = Archive()
        self.clock, self.meter, self._seq = clock, Meter(), 0
        self.checking = self.another()

    def another(self) -> NetworkChecking:
        return NetworkChecking(
            self.ledger.network_checks,
            self.ledger.networks,
            NetworkObjects(self.archive, self.models),
            partial(validate, folder=WeightsFolder(self.models)),
            "runner",
            self.meter,
        )

    def arrive(self, data: bytes, *, digest: str = "", stored: bytes | None = None) -> str:
        """Take a network of a trusted sender; `stored` is what lies there in its place."""
        header = read_header(data)
        ids = resource_ids(
            header.PatientID,
            header.StudyInstanceUID,
            header.SeriesInstanceUID,
            header.SOPInstanceUID,
        )
        self.archive.files[ids.instance] = data if stored is None else stored
        arrival = Arrival(
            **ids._asdict(),
            SOPInstanceUID=header.SOPInstanceUID,
            StudyInstanceUID=header.StudyInstanceUID,
            SeriesInstanceUID=header.SeriesInstanceUID,
            SOPClassUID=header.SOPClassUID,
            Modality=header.Modality,
            models=(),
            fingerprint="",
            reason="sent by a trusted user",
            body_parts=(),
            work=False,
            network="received",
            network_digest=digest,
        )
        self._seq += 1
        event = Event(self._seq, EventKind.STORED, ids.instance, self._seq, self.clock.now, arrival)
        self.ledger.apply("journal", [event])
        return ids.instance

    @property
    def only(self) -> Network:
        (network,) = self.ledger.networks.all()
        return network


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, Clock())
    yield made
    made.ledger.close()


def test_a_network_that_fits_can_be_run(site: Site) -> None:
    network = small(Description="Dice 0.9")
    instance = site.arrive(encode(network))
    assert not site.checking.settled
    assert site.checking.step()
    assert not site.checking.step()
    found = site.only
    assert (found.state, found.instance, found.reason) == (VALID, instance, "")
    described = found.described
    assert described is not None
    assert (described.DnnUID, described.DnnName, described.Rows) == ("1.2.3", "small", 8)
    assert (described.Modality, described.body_parts) == ("CT", ("816094009",))
    assert (described.parameters, described.Description) == (10, "Dice 0.9")
    assert len(described.weights_sha256) == 64
    assert described.created


def test_weights_that_come_later_are_found_at_the_next_start(site: Site) -> None:
    data = weights_of(SMALL)
    kept = WeightsFolder(site.models).keep(data)
    path = site.iodeep / f"{kept.sha256}.safetensors"
    path.unlink()
    site.arrive(encode(small(weights=kept)))
    site.checking.step()
    assert site.only.state is INVALID
    assert "DnnWeights" in site.only.reason
    path.write_bytes(data)
    assert site.another().step()
    assert site.only.state is VALID


def test_files_of_the_models_folder_count_too(site: Site) -> None:
    path = site.iodeep / "small.dcm"
    path.write_bytes(encode(small()))
    (site.iodeep / "notes.txt").write_text("nothing")
    site.checking.look_into_folder()
    assert site.checking.step()
    assert (site.only.state, site.only.file, site.only.instance) == (VALID, "small.dcm", "")
    site.checking.look_into_folder()
    assert not site.checking.step()
    path.write_bytes(encode(small(DnnName="renamed")))
    site.checking.look_into_folder()
    path.write_bytes(encode(small(DnnName="changed meanwhile")))
    site.checking.step()
    assert site.only.state is UNTRUSTED
    site.checking.look_into_folder()
    site.checking.step()
    assert site.only.state is VALID
    path.unlink()
    site.checking.look_into_folder()
    assert site.ledger.networks.all() == []


def test_what_lies_there_must_be_what_was_trusted(site: Site) -> None:
    """An archive that does not overwrite keeps what a stranger sent first."""
    trusted, strangers = encode(small()), encode(small(DnnName="stranger's"))
    found = recognise(trusted)
    assert found is not None
    site.arrive(trusted, digest=digest_of(found), stored=strangers)
    site.checking.step()
    assert site.only.state is UNTRUSTED
    assert "another object" in site.only.reason
    site.arrive(trusted, digest=digest_of(found))
    site.checking.step()
    assert site.only.state is VALID


def test_what_is_gone_cannot_be_run(site: Site) -> None:
    instance = site.arrive(encode(small()))
    del site.archive.files[instance]
    site.checking.step()
    assert site.only.state is INVALID


def test_a_network_waits_for_orthanc(site: Site) -> None:
    site.arrive(encode(small()))
    site.archive.down = True
    for _ in range(10):
        with pytest.raises(PacsUnreachableError):
            site.checking.step()
        assert not site.checking.step()
        site.clock.advance(10)
    site.archive.down = False
    site.checking.step()
    assert site.only.state is VALID


def test_an_error_that_nobody_foresaw_is_the_networks_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: IODeep) -> None:
        raise ZeroDivisionError

    site.arrive(encode(small()))
    monkeypatch.setattr(site.checking, "_validate", fail)
    site.checking.step()
    assert site.only.state is INVALID
    assert "ZeroDivisionError" in site.only.reason


# What must be refused before anything is built, loaded or run.


def bomb() -> bytes:
    """Return a zip of some kilobytes that holds 64 MiB, as torch.save's files are zips."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", b"N.")
        made.writestr("archive/data/0", bytes(64 * MEBIBYTE))
    return file.getvalue()


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('unpickled')",)


def zipped_pickle() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", pickle.dumps(Harmful(), protocol=2))
    return file.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def with_skip(source: str, target: str) -> str:
    return json.dumps(SMALL | {"skip_connection": {source: target}})


def enormous() -> str:
    """Return a network of ten thousand million parameters."""
    return json.dumps(
        {
            "input_shape": SMALL["input_shape"],
            "architecture": {"1": "Flatten", "2": "dense", "3": "dense"},
            "convolutional": {"cn1": 100_000, "cn2": 100_000},
            "data_format": "channels_last",
        }
    )


REFUSED = {
    "zip bomb": ("weights", in_base64(bomb()), "compressed"),
    "pickle": ("weights", in_base64(pickle.dumps(Harmful())), "pickle"),
    "pickle in a zip": ("weights", in_base64(zipped_pickle()), "names code"),
    "path outside": ("weights", "../../outside.safetensors", "models folder"),
    "absolute path": ("weights", "/outside.safetensors", "models folder"),
    "URL": ("weights", "https://example.org/weights.safetensors", "never fetched"),
    "file URL": ("weights", "file:///outside.safetensors", "never fetched"),
    "ten thousand million parameters": ("architecture", enormous(), "parameters"),
    "skip back": ("architecture", with_skip("2", "1"), "skip"),
    "skip to itself": ("architecture", with_skip("1", "1"), "skip"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_do_harm_is_refused_at_its_first_look(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    name, value, reason = REFUSED[what]
    (tmp_path / "outside.safetensors").write_bytes(weights_of(SMALL))
    data = with_values(encode(small()), **{name: value})
    site.arrive(data)
    # Nothing is built, loaded or fetched: importing torch, or opening a socket, fails.
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("socket.socket.connect", None)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert site.checking.step()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert site.only.state is INVALID
    assert reason in site.only.reason
    assert "unexpected" not in site.only.reason
    assert peak < 4 * MEBIBYTE + 8 * len(data)


def test_what_is_refused_above_would_do_without_its_fault(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    site.arrive(encode(small()))
    site.checking.step()
    assert site.only.state is VALID


def test_weights_of_another_network_are_refused(site: Site) -> None:
    other = SMALL | {"convolutional": {"cn1": 2}}
    site.arrive(encode(small(weights=Safetensors(weights_of(other)))))
    site.checking.step()
    assert site.only.state is INVALID
    assert "DnnWeights" in site.only.reason


def test_a_hash_that_no_file_has_is_refused(site: Site) -> None:
    site.arrive(encode(small(weights=HashOfFile("a" * 64))))
    site.checking.step()
    assert site.only.state is INVALID
