"""What the networks looked at: asked for, stored as pictures, shown over DICOMweb."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image as PillowImage
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from preread.imaging.secondary_capture import secondary_capture
from preread.models.architectures import build, without_head
from preread.models.card import (
    CARD,
    NETWORK,
    WEIGHTS,
    ArchitectureName,
    BackboneFacts,
    card_text,
)
from preread.models.weights import sha256_of, split_state, weights_bytes
from preread.results import read_block
from preread.training.onnx_making import onnx_of
from tests.integration.images import PLANTED, ct_series, real_ct
from tests.integration.pacs import Pacs, eventually
from tests.integration.test_conformance import errors_of
from tests.integration.test_main_way import MODELS, assert_nothing_of
from tests.unit.models.conftest import CLASSES, make_card

Maker = Callable[..., Pacs]
SHIPPED = MODELS[MODELS.names[0]]
NAME = "net"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one network of random weights, which knows every image."""
    torch.manual_seed(7)
    architecture = ArchitectureName.MOBILENET_V2
    network = build(architecture, len(CLASSES)).eval()
    data = weights_bytes(split_state(network, architecture)[1])
    made = onnx_of(without_head(network, architecture), architecture)
    folder = tmp_path_factory.mktemp("models")
    (folder / NAME).mkdir()
    (folder / NAME / WEIGHTS).write_bytes(data)
    (folder / NAME / NETWORK).write_bytes(made)
    facts = BackboneFacts(File=NETWORK, SHA256=sha256_of(made), Precision="float32")
    card = make_card(sha256_of(data), Backbone=facts)
    (folder / NAME / CARD).write_text(card_text(card))
    return folder


@pytest.fixture
def make_node(make_pacs: Maker, models: Path) -> Maker:
    """Return what makes an Orthanc with that network."""

    def make(mode: str = "incoming", *, configuration: Any = None, **sections: Any) -> Pacs:
        section = {"Deidentify": {"Mode": mode}, "Models": {"Folder": str(models)}} | sections
        return make_pacs(section, configuration=configuration)

    return make


@pytest.fixture(scope="module")
def shared_settings(models: Path) -> dict[str, Any]:
    """Return the settings of a dedicated node with that network."""
    return {"Deidentify": {"Mode": "incoming"}, "Models": {"Folder": str(models)}}


@pytest.fixture
def node(shared_pacs: Pacs) -> Pacs:
    return shared_pacs


def ask(pacs: Pacs, instance: str, **body: Any) -> httpx.Response:
    return pacs.http.post(f"/preread/instances/{instance}/explain", json=body, timeout=120)


def explained(pacs: Pacs, instance: str, **body: Any) -> list[dict[str, Any]]:
    """Ask, and wait for the end; the answer may be 202 where the machine is busy."""
    answer = ask(pacs, instance, **body)
    assert answer.status_code in (200, 202), (answer.text, pacs.runner_log()[-3000:])
    assert "diagnosis" in answer.json()["Notice"]
    asked = {which(one) for one in answer.json()["Explanations"]}

    def ended() -> list[dict[str, Any]]:
        known = pacs.get(f"/preread/instances/{instance}")["Explanations"]
        told = [one for one in known if which(one) in asked]
        is_open = any(one["State"] in ("pending", "running") for one in told)
        return [] if is_open else told

    told: list[dict[str, Any]] = eventually(ended, 240, pacs.runner_log()[-3000:])
    assert [one["State"] for one in told] == ["done"] * len(asked), told
    return told


def which(explanation: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(explanation[key] for key in ("Model", "Class", "Frame"))


def dataset(pacs: Pacs, instance: str) -> Dataset:
    return pydicom.dcmread(BytesIO(pacs.file(instance)))


def maps(pacs: Pacs) -> list[str]:
    """Return Orthanc's ids of all pictures of attention."""
    return [one for one in pacs.instances() if "ATTENTION_MAP" in dataset(pacs, one).ImageType]


def one_read(pacs: Pacs, folder: Path) -> str:
    """Send one image, wait until it is read and return Orthanc's id of it."""
    pacs.send(ct_series(folder, 1).files)
    assert pacs.wait_until_read()["done"] == 1
    found: str = pacs.get("/preread/jobs")[0]["Instance"]
    return found


def one_picture_read(pacs: Pacs) -> str:
    """Send one picture, which the shipped models are made for, and return Orthanc's id of it."""
    stored = real_ct().pixel_array.astype(np.float64)
    shades = 255 * (stored - stored.min()) / np.ptp(stored)
    buffer = BytesIO()
    PillowImage.fromarray(shades.astype(np.uint8)).save(buffer, "PNG")
    tags = {"Modality": "CT", "BodyPartExamined": "CHEST", "PatientID": "PLANTEDID77"}
    made = secondary_capture(buffer.getvalue(), max_bytes=2**24, tags=tags)
    assert pacs.upload(made).status_code == 200
    assert pacs.wait_until_read()["done"] == 1
    found: str = pacs.get("/preread/jobs")[0]["Instance"]
    return found


@pytest.mark.slow
def test_a_picture_is_made_shown_and_replaced(pacs: Pacs, tmp_path: Path) -> None:
    instance = one_picture_read(pacs)
    before = pacs.file(instance)
    # By name: these images may be outside a model's training data, which is then given no class.
    what = {"Models": [SHIPPED.name], "Class": SHIPPED.card.Classes[0]}
    made = explained(pacs, instance, **what)
    assert len(made) == 1
    image = dataset(pacs, instance)
    result = pacs.get(f"/preread/instances/{instance}")
    said = result["Results"][0]
    # A class that is not given has no share that anybody could show.
    share = None if said["Withheld"] else said["Probabilities"][SHIPPED.card.Classes[0]]
    assert made[0]["Probability"] == (share and pytest.approx(share))
    assert made[0]["Withheld"] == said["Reason"]
    assert result["Explanations"] == made

    client = pacs.dicomweb()
    shown = client.retrieve_instance(
        image.StudyInstanceUID, made[0]["SeriesInstanceUID"], made[0]["SOPInstanceUID"]
    )
    assert shown.SOPClassUID == SecondaryCaptureImageStorage
    assert (shown.PatientID, shown.StudyInstanceUID) == (image.PatientID, image.StudyInstanceUID)
    assert shown.SeriesInstanceUID != image.SeriesInstanceUID
    assert shown.BurnedInAnnotation == "YES"
    assert shown.SourceImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert "not a diagnosis" in shown.DerivationDescription
    assert shown.ContributingEquipmentSequence[0].ManufacturerModelName == SHIPPED.card.Name
    colour = shown.pixel_array
    assert colour.shape == (shown.Rows, shown.Columns, 3)
    assert np.ptp(colour.astype(int), axis=2).max() > 100  # it has colours
    rendered = client.retrieve_instance_rendered(
        image.StudyInstanceUID, made[0]["SeriesInstanceUID"], made[0]["SOPInstanceUID"]
    )
    assert rendered.startswith((b"\xff\xd8", b"\x89PNG"))
    if shutil.which("dciodvfy") is not None:
        assert errors_of(pacs.file(made[0]["ID"]), tmp_path) == set()

    again = explained(pacs, instance, **what)
    assert [one["ID"] for one in again] == [made[0]["ID"]]
    assert maps(pacs) == [made[0]["ID"]]
    # The image itself is as it was, and nobody has read the picture.
    assert pacs.file(instance) == before
    assert pacs.wait_until_read() == {**pacs.jobs(), "done": 1, "pending": 0}
    assert not read_block(pacs.file(made[0]["ID"]))
    assert_nothing_of([*PLANTED], pacs)


def test_each_class_has_a_picture_of_its_own(node: Pacs, tmp_path: Path) -> None:
    instance = one_read(node, tmp_path / "ct")
    image = dataset(node, instance)
    made = [explained(node, str(image.SOPInstanceUID), Class=one)[0] for one in CLASSES]
    assert sorted(maps(node)) == sorted(one["ID"] for one in made)
    assert len({one["SeriesInstanceUID"] for one in made}) == len(CLASSES)
    assert sum(one["Probability"] for one in made) == pytest.approx(1, abs=1e-3)
    descriptions = {dataset(node, one["ID"]).SeriesDescription for one in made}
    assert descriptions == {f"Preread attention: MobileNetV2 {one}" for one in CLASSES}
    (likeliest,) = explained(node, instance)
    assert likeliest["Probability"] == max(one["Probability"] for one in made)
    assert len(maps(node)) == len(CLASSES)


def test_what_cannot_be_asked_is_refused_in_one_line(node: Pacs, tmp_path: Path) -> None:
    instance = one_read(node, tmp_path / "ct")
    for status, words, body in (
        (400, "Models", {"Models": ["nothing"]}),
        (400, "Models", {"Models": []}),
        (400, "Class", {"Class": "Tuberculosis"}),
        (400, "Frame", {"Frame": 1}),
        (400, "Frame", {"Frame": "0"}),
        (400, "Frame", {"Frame": True}),
        (400, "Timeout", {"Timeout": "long"}),
        (400, "Colour", {"Colour": "red"}),
    ):
        answer = ask(node, instance, **body)
        assert (answer.status_code, words in answer.json()["Details"]) == (status, True), body
    assert ask(node, "1.2.3").status_code == 404
    assert node.http.post(f"/preread/series/{instance}/explain").status_code == 404
    assert node.http.get(f"/preread/instances/{instance}/explain").status_code == 405
    other = pydicom.dcmread(ct_series(tmp_path / "mr", 1).files[0])
    other.Modality = "MR"
    other.save_as(tmp_path / "mr.dcm")
    unread = node.upload((tmp_path / "mr.dcm").read_bytes()).json()["ID"]
    node.wait_until_read()
    answer = ask(node, unread)
    assert answer.status_code == 409
    assert "Modality" in answer.json()["Details"]
    assert maps(node) == []


@pytest.mark.parametrize("mode", ["copy", "off"])
def test_the_picture_lies_beside_what_may_be_seen(
    make_node: Maker, tmp_path: Path, mode: str
) -> None:
    placed = {"Predictions": {"Placement": "derived"}} if mode == "off" else {}
    pacs = make_node(mode, configuration={"OverwriteInstances": False}, **placed).start()
    instance = one_read(pacs, tmp_path / "ct")
    original = pydicom.dcmread(next((tmp_path / "ct").iterdir()))
    made = [explained(pacs, instance)[0] for _ in range(2)]
    assert made[0]["ID"] == made[1]["ID"]
    (only,) = maps(pacs)
    picture = dataset(pacs, only)
    is_copied = mode == "copy"
    assert (picture.StudyInstanceUID != original.StudyInstanceUID) == is_copied
    assert len(pacs.get("/studies")) == (2 if is_copied else 1)
    planted = [one for one in PLANTED if one.encode() in pacs.file(only)]
    assert (planted == []) == is_copied
    assert pydicom.dcmread(BytesIO(pacs.file(instance))) == original


def test_a_threshold_makes_pictures_by_itself(make_node: Maker, tmp_path: Path) -> None:
    pacs = make_node(Explain={"Threshold": 0.0, "Classes": [CLASSES[0]]}).start()
    pacs.send(ct_series(tmp_path / "ct", 2).files)
    pacs.wait_until_read()
    eventually(lambda: pacs.get("/preread/status")["Explanations"]["done"] == 2, 120)
    assert len(maps(pacs)) == 2
    told = [pacs.get(f"/preread/instances/{job['Instance']}") for job in pacs.get("/preread/jobs")]
    assert [[one["Asked"] for one in each["Explanations"]] for each in told] == [[False]] * 2


def test_a_killed_runner_loses_no_wish(make_node: Maker, tmp_path: Path) -> None:
    node = make_node().start()
    instance = one_read(node, tmp_path / "ct")
    answer = ask(node, instance, Asynchronous=True)
    assert answer.status_code == 202
    assert answer.json()["Explanations"][0]["State"] in ("pending", "running")
    os.kill(node.runner_pid(), signal.SIGKILL)

    def done() -> bool:
        found = node.get(f"/preread/instances/{instance}")["Explanations"]
        return all(one["State"] == "done" for one in found)

    eventually(done, 120, node.runner_log()[-2000:])
    assert len(maps(node)) == len(answer.json()["Explanations"])


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_the_other_engines_read_and_explain(
    engine: str, make_pacs: Maker, models: Path, tmp_path: Path
) -> None:
    node = make_pacs(
        {"Deidentify": {"Mode": "incoming"}, "Models": {"Folder": str(models), "Engine": engine}}
    ).start()
    instance = one_read(node, tmp_path / "ct")
    [result] = node.get(f"/preread/instances/{instance}")["Results"]
    assert result["Engine"] == engine
    assert len(explained(node, instance)) == 1
    assert len(maps(node)) == 1


def test_pictures_go_with_their_image(node: Pacs, tmp_path: Path) -> None:
    instance = one_read(node, tmp_path / "ct")
    explained(node, instance)
    assert node.http.delete(f"/instances/{instance}").status_code == 200
    eventually(lambda: node.instances() == [], 60, "the picture's deletion")


def test_a_picture_that_comes_back_is_not_read(node: Pacs, tmp_path: Path) -> None:
    instance = one_read(node, tmp_path / "ct")
    made = explained(node, instance)
    picture = dataset(node, made[0]["ID"])
    picture.Modality = "CT"
    picture.BodyPartExamined = "CHEST"
    file = tmp_path / "back.dcm"
    picture.save_as(file)
    # Under its own UID only this node may store it.
    assert node.send([file], check=False) == 0
    assert "SOPInstanceUID" in node.get("/preread/failures")[0]["Reason"]
    # Under others, as another node has it, it is an image like any other, and still no patient's.
    picture.SOPInstanceUID, picture.SeriesInstanceUID = generate_uid(), generate_uid()
    picture.file_meta.MediaStorageSOPInstanceUID = picture.SOPInstanceUID
    picture.save_as(file)
    node.send([file])
    node.wait_until_read()
    assert node.jobs()["unread"] == 1
    assert "looked at" in node.get("/preread/jobs", status="unread")[0]["Reason"]


def test_a_wrong_setting_keeps_orthanc_from_starting(make_node: Maker) -> None:
    pacs = make_node(Explain={"Classes": ["Cat"]})
    assert pacs.launch().wait(60) != 0
    assert "Preread.Explain.Classes: there is no 'Cat'" in pacs.log.read_text()
