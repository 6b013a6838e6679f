"""Networks (IODeep) in a real Orthanc: whose are run, which one an image is for."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from preread.iodeep.reading import decode
from preread.iodeep.recognising import recognise
from preread.iodeep.weights import Safetensors
from preread.iodeep.writing import encode
from tests.integration.images import ct_series
from tests.integration.pacs import Pacs, eventually
from tests.unit.iodeep.conftest import arrays as arrays  # noqa: PLC0414 - fixtures
from tests.unit.iodeep.conftest import prototype as prototype  # noqa: PLC0414
from tests.unit.iodeep.conftest import weights as weights  # noqa: PLC0414
from tests.unit.runner.test_network_checking import SMALL, in_base64, small, weights_of

TRUST = {"TrustedUsers": ["alice"], "TrustedAets": ["TRAINER"]}
USERS = {
    "AuthenticationEnabled": True,
    "RegisteredUsers": {"alice": "secret", "bob": "secret"},
}
ALICE, BOB = ("alice", "secret"), ("bob", "secret")

Start = Callable[..., Pacs]


@pytest.fixture
def start(make_pacs: Callable[..., Pacs], tmp_path: Path) -> Start:
    models = tmp_path / "models"
    models.mkdir()

    def started(mode: str = "incoming", **trust: Any) -> Pacs:
        section: dict[str, Any] = {
            "Deidentify": {"Mode": mode},
            "Models": {"Folder": str(models)},
            "IODeep": TRUST | trust,
        }
        if mode == "off":
            section["Predictions"] = {"Placement": "derived"}
        pacs = make_pacs(section, configuration=USERS)
        pacs.http.auth = ALICE
        return pacs.start()

    return started


def preread(pacs: Pacs, *arguments: object, user: tuple[str, str] = ALICE) -> str:
    """Run ``preread iodeep``, as somebody at a terminal does."""
    done = subprocess.run(
        [sys.executable, "-m", "preread", "iodeep", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PREREAD_USERNAME": user[0],
            "PREREAD_PASSWORD": user[1],
            "COLUMNS": "300",
            "PYTHONPATH": ":".join(sys.path),
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(pacs: Pacs, count: int) -> list[dict[str, Any]]:
    """Return the networks, once so many are there and none waits."""

    def settled() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = pacs.get("/preread/iodeep")
        waits = any(each["State"] == "received" for each in found)
        return found if len(found) >= count and not waits else None

    found: list[dict[str, Any]] = eventually(settled, 90, f"networks; {pacs.runner_log()[-1500:]}")
    assert len(found) == count
    return found


def test_networks_by_stow_and_by_c_store_are_listed_and_chosen(
    start: Start, tmp_path: Path
) -> None:
    pacs = start()
    chest, head = tmp_path / "chest.dcm", tmp_path / "head.dcm"
    chest.write_bytes(encode(small(DnnUID="1.2.1", DnnName="chest")))
    head.write_bytes(
        encode(small(DnnUID="1.2.2", DnnName="head", Modality="MR", BodyPartExamined="HEAD"))
    )
    assert "sent" in preread(pacs, "push", chest, "--url", pacs.url)
    peer = f"ORTHANC@127.0.0.1:{pacs.dicom_port}"
    assert "does not trust" not in preread(pacs, "push", head, "--peer", peer, "--aet", "TRAINER")
    networks = listed(pacs, 2)
    assert [each["State"] for each in networks] == ["valid", "valid"], networks
    found = {each["DnnUID"]: each for each in networks}
    assert "user" in found["1.2.1"]["Trusted"]
    assert "AE title" in found["1.2.2"]["Trusted"]
    for network, file in ((found["1.2.1"], chest), (found["1.2.2"], head)):
        assert decode(pacs.file(network["ID"])) == decode(file.read_bytes())
    table = preread(pacs, "list", "--url", pacs.url)
    assert all(word in table for word in ("chest", "head", "valid", "1.2.1"))
    image = ("--modality", "CT", "--study-description", "CT Thorax")
    assert "chosen" in preread(pacs, "list", "--url", pacs.url, *image)
    told = pacs.get("/preread/iodeep", Modality="MR", SamplesPerPixel=1, BodyPartExamined="HEAD")
    assert told["DnnUID"] == "1.2.2"
    assert {each["FailedOn"] for each in told["Candidates"]} == {None, "Modality"}
    assert pacs.get("/preread/iodeep/1.2.1")["DnnName"] == "chest"
    assert pacs.get("/preread/status")["Networks"]["valid"] == 2
    # What is deleted is not chosen any more.
    assert pacs.http.delete(f"/instances/{found['1.2.1']['ID']}").status_code == 200
    assert [each["DnnUID"] for each in eventually(lambda: one_less(pacs), 30)] == ["1.2.2"]


def one_less(pacs: Pacs) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = pacs.get("/preread/iodeep")
    return found if len(found) == 1 else None


def test_an_image_is_matched_by_what_was_kept_of_its_description(
    start: Start, tmp_path: Path
) -> None:
    """Its description is gone, and its network comes later."""
    pacs = start()
    series = ct_series(tmp_path / "ct", 1)
    image = pydicom.dcmread(series.files[0])
    del image.BodyPartExamined
    image.StudyDescription = "CT Thorax PLANTEDNOTE"
    image.save_as(series.files[0])
    pacs.send(series.files)
    (instance,) = pacs.instances()
    kept = pydicom.dcmread(io.BytesIO(pacs.file(instance)))
    assert "BodyPartExamined" not in kept
    assert "Thorax" not in str(kept.get("StudyDescription", ""))
    eventually(lambda: pacs.http.get(f"/preread/instances/{instance}").status_code == 200, 60)
    assert pacs.get("/preread/iodeep", instance=instance)["Warning"]
    assert pacs.upload(encode(small())).status_code == 200
    listed(pacs, 1)
    assert pacs.get("/preread/iodeep", instance=instance)["DnnUID"] == "1.2.3"
    assert pacs.get("/preread/iodeep", instance=kept.SOPInstanceUID)["DnnUID"] == "1.2.3"


@pytest.mark.parametrize("way", ["STOW-RS", "C-STORE"])
def test_a_strangers_network_is_not_run_and_that_is_said(
    start: Start, tmp_path: Path, way: str
) -> None:
    pacs = start()
    file = tmp_path / "network.dcm"
    file.write_bytes(encode(small(DnnName="PLANTEDNAME", Description="PLANTEDNOTE")))
    if way == "STOW-RS":
        preread(pacs, "push", file, "--url", pacs.url, user=BOB)
    else:
        peer = f"ORTHANC@127.0.0.1:{pacs.dicom_port}"
        told = preread(pacs, "push", file, "--peer", peer, "--aet", "STRANGER")
        assert "does not trust" in told
    (network,) = listed(pacs, 1)
    assert (network["State"], network["Trusted"]) == ("untrusted", None)
    assert "never run" in network["Reason"]
    # It is what becomes of anybody's object: de-identified, and no network any more.
    (instance,) = pacs.instances()
    assert network["ID"] == instance
    stored = pacs.file(instance)
    assert recognise(stored) is None
    assert b"PLANTED" not in stored
    assert "DeidentificationMethod" in pydicom.dcmread(io.BytesIO(stored))
    assert "never run" in pacs.get(f"/preread/instances/{instance}")["Reason"]
    told = pacs.get("/preread/iodeep", Modality="CT", SamplesPerPixel=1, BodyPartExamined="CHEST")
    assert (told["DnnUID"], told["Candidates"]) == (None, [])
    assert told["NotConsidered"][0]["State"] == "untrusted"


def test_the_prototypes_layout_is_taken_from_who_is_trusted(
    start: Start,
    prototype: Callable[..., bytes],
) -> None:
    pacs = start()
    data = prototype(
        str(SMALL),
        in_base64(weights_of(SMALL)),
        BodyPartExamined="Chest",
        Modality="CT",
        PatientName="PLANTEDNAME",
    )
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert dataset.SOPClassUID == dataset.SOPInstanceUID
    assert pacs.upload(data).status_code == 200
    (network,) = listed(pacs, 1)
    assert (network["State"], network["Layout"], network["Rows"]) == ("valid", "prototype", 8)
    stored = pacs.file(network["ID"])
    assert b"PLANTEDNAME" not in stored
    assert decode(stored).DnnWeights == Safetensors(weights_of(SMALL))
    # Of anybody else it is refused, as every object of no kind is.
    pacs.http.auth = BOB
    assert pacs.upload(data).status_code == 400
    (failure,) = pacs.get("/preread/failures")
    assert "repeats the SOPInstanceUID" in failure["Reason"]
    assert "not trusted" in failure["Reason"]
    assert len(pacs.get("/preread/iodeep")) == 1


def test_a_network_that_cannot_be_built_says_why(start: Start) -> None:
    pacs = start(mode="off", Limits={"Parameters": 5})
    assert pacs.upload(encode(small())).status_code == 200
    (network,) = listed(pacs, 1)
    assert network["State"] == "invalid"
    assert "limit of 5 parameters" in network["Reason"]


def test_copy_mode_makes_no_copy_of_a_network(start: Start) -> None:
    pacs = start(mode="copy")
    data = encode(small())
    assert pacs.upload(data).status_code == 200
    (network,) = listed(pacs, 1)
    assert network["State"] == "valid"
    pacs.wait_until_read()
    assert pacs.instances() == [network["ID"]]
    assert pacs.file(network["ID"]) == data


def test_users_count_only_where_they_are_checked(make_pacs: Callable[..., Pacs]) -> None:
    pacs = make_pacs({"IODeep": {"TrustedUsers": ["alice"]}, "Models": {"Run": []}})
    process = pacs.launch()
    assert process.wait(60) != 0
    assert "Preread.IODeep.TrustedUsers" in pacs.log.read_text()


def test_nobody_is_who_he_claims_to_be_without_a_password(start: Start) -> None:
    pacs = start()
    with httpx.Client(base_url=pacs.url) as client:
        for auth in (("alice", "wrong"), ("alice", "")):
            assert client.post("/instances", content=encode(small()), auth=auth).status_code == 401
    assert pacs.get("/preread/iodeep") == []
