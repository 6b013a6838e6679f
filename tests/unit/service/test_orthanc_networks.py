"""Networks of an Orthanc that runs Preread."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from preread.errors import PrereadError
from preread.iodeep.recognising import digest_of, recognise
from preread.iodeep.writing import encode
from preread.service.networks import OrthancNetworks
from tests.unit.iodeep.toy_networks import pointwise
from tests.unit.service.conftest import image


class Orthanc:
    """Answers two paths, and counts how often files are fetched."""

    def __init__(self, listed: Any, files: dict[str, bytes]) -> None:
        self.listed = listed
        self.files = files
        self.fetched: list[str] = []

    def json(self, path: str) -> Any:
        assert path == "/preread/iodeep"
        return self.listed

    def file(self, instance: str) -> bytes | None:
        self.fetched.append(instance)
        return self.files.get(instance)


def network(uid: str, **facts: Any) -> bytes:
    return encode(pointwise(8, 8, DnnUID=uid, **facts))


def digest(data: bytes) -> str:
    found = recognise(data)
    assert found is not None
    return digest_of(found)


def entry(
    instance: str | None, data: bytes, state: str = "valid", **changes: str
) -> dict[str, Any]:
    told = {"ID": instance, "State": state, "DnnUID": "1.2", "Digest": digest(data), "File": None}
    return told | changes


def networks_of(orthanc: Orthanc, models: Path = Path("none")) -> OrthancNetworks:
    return OrthancNetworks(orthanc, models)  # type: ignore[arg-type]


def test_only_those_that_it_holds_for_valid() -> None:
    files = {name: network(f"1.2.{number}") for number, name in enumerate("abcd")}
    states = {"a": "valid", "b": "untrusted", "c": "invalid", "d": "valid"}
    listed = [entry(name, files[name], state) for name, state in states.items()]
    listed.append(entry(None, files["a"]))
    networks = networks_of(Orthanc(listed, files))
    assert {network.DnnUID for network in networks.all()} == {"1.2.0", "1.2.3"}


def test_of_one_uid_that_counts_which_arrived_last() -> None:
    later, earlier = network("1.2.1", DnnName="later"), network("1.2.1", DnnName="earlier")
    listed = [entry("a", later), entry("b", earlier)]  # in the order of GET /preread/iodeep
    networks = networks_of(Orthanc(listed, {"a": later, "b": earlier}))
    assert [network.DnnName for network in networks.all()] == ["later"]


def test_a_file_is_fetched_again_only_when_something_changed() -> None:
    older, newer = network("1.2.1"), network("1.2.1", DnnName="newer")
    orthanc = Orthanc([entry("a", older)], {"a": older})
    networks = networks_of(orthanc)
    assert networks.all() == networks.all()
    assert orthanc.fetched == ["a"]
    orthanc.files["a"] = newer
    orthanc.listed = [entry("a", newer)]
    assert [network.DnnName for network in networks.all()] == ["newer"]
    orthanc.listed = []
    assert networks.all() == []


def test_what_somebody_else_stored_under_the_uids_of_a_trusted_network_is_not_run() -> None:
    trusted, other = network("1.2.1"), network("1.2.1", bias=-100.0)
    assert networks_of(Orthanc([entry("a", trusted)], {"a": other})).all() == []
    any_network = entry("a", trusted, Digest="")
    assert len(networks_of(Orthanc([any_network], {"a": other})).all()) == 1
    assert networks_of(Orthanc([any_network], {"a": image()})).all() == []


def test_files_of_its_own_are_taken_from_the_models_folder_here(tmp_path: Path) -> None:
    (tmp_path / "iodeep").mkdir()
    data = network("1.2.1")
    for name in ("iodeep/shipped.dcm", "outside.dcm"):
        (tmp_path / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    mine = entry(None, data, File="shipped.dcm", Digest=sha256)
    (found,) = networks_of(Orthanc([mine], {}), tmp_path).all()
    assert found.DnnUID == "1.2.1"
    for changes in (
        {"File": "../outside.dcm"},
        {"File": str(tmp_path / "outside.dcm")},
        {"File": "gone.dcm"},
        {"Digest": "0" * 64},
    ):
        assert networks_of(Orthanc([mine | changes], {}), tmp_path).all() == []


def test_what_is_gone_meanwhile_or_no_network_is_left_out() -> None:
    listed = [entry("a", network("1.2.1")), entry("b", network("1.2.2"))]
    assert networks_of(Orthanc(listed, {"b": b"broken"})).all() == []


def test_an_orthanc_without_preread_is_told_as_such() -> None:
    with pytest.raises(PrereadError, match="expected a list"):
        networks_of(Orthanc({"HttpStatus": 404}, {})).all()
