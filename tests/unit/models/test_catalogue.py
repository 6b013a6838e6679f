from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from preread.elements.header import read_header
from preread.imaging.preprocessing import Preprocessing
from preread.models.card import (
    CARD,
    WEIGHTS,
    Applicability,
    ArchitectureName,
    BackboneFacts,
    CalibrationFacts,
    InvalidModelError,
    JudgeFacts,
    OutOfDistributionFacts,
    card_text,
    read_card,
)
from preread.models.catalogue import Catalogue, ImageFacts, facts_of

CHEST, HEAD, LUNG = "816094009", "69536005", "39607008"


def facts(**changes: Any) -> ImageFacts:
    usual: dict[str, Any] = {
        "Modality": "CT",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "body_parts": (CHEST,),
    }
    return ImageFacts(**{**usual, **changes})


RULE = Applicability(
    Modality=("CT", "CR"),
    BodyPartExamined=("CHEST",),
    SamplesPerPixel=(1,),
    PhotometricInterpretation=("MONOCHROME1", "MONOCHROME2"),
    ExcludedImageTypes=("LOCALIZER",),
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"body_parts": (LUNG,)}, ""),
        ({"Modality": "CR"}, ""),
        ({"Modality": "MR"}, "no model applies: Modality is not CT or CR (a)"),
        ({"SamplesPerPixel": 3}, "no model applies: SamplesPerPixel is not 1 (a)"),
        ({"SamplesPerPixel": None}, "no model applies: SamplesPerPixel is not 1 (a)"),
        (
            {"PhotometricInterpretation": "PALETTE COLOR"},
            "no model applies: PhotometricInterpretation is not MONOCHROME1 or MONOCHROME2 (a)",
        ),
        (
            {"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")},
            "no model applies: ImageType is LOCALIZER (a)",
        ),
        ({"body_parts": (HEAD,)}, "no model applies: the body part is not Chest (a)"),
        ({"body_parts": ()}, "no model applies: no known body part is named (a)"),
        ({"has_pixel_data": False}, "it has no pixel data"),
    ],
)
def test_choice(changes: dict[str, Any], reason: str, add_card: Any, folder: Path) -> None:
    add_card("a", AppliesTo=RULE)
    choice = Catalogue.load(folder).choose_by(facts(**changes))
    assert choice.reason == reason
    assert choice.models == (("a",) if not reason else ())


def test_a_missing_body_part_may_be_accepted(add_card: Any, folder: Path) -> None:
    add_card("a", AppliesTo=RULE.model_copy(update={"AcceptsMissingBodyPart": True}))
    catalogue = Catalogue.load(folder)
    assert catalogue.choose_by(facts(body_parts=())).models == ("a",)
    assert catalogue.choose_by(facts(body_parts=(HEAD,))).models == ()


def test_order_and_choice_of_the_settings(add_card: Any, folder: Path) -> None:
    for name in ("b", "a", "c"):
        add_card(name)
    (folder / "notes").mkdir()
    (folder / ".hidden").mkdir()
    assert Catalogue.load(folder).names == ("a", "b", "c")
    assert Catalogue.load(folder, ["c", "a"]).choose_by(facts()).models == ("c", "a")
    assert len(Catalogue.load(folder, [])) == 0
    with pytest.raises(InvalidModelError, match=r"Run: no model 'd' .* there are: a, b, c"):
        Catalogue.load(folder, ["d"])
    with pytest.raises(InvalidModelError, match="Run: expected each name once"):
        Catalogue.load(folder, ["a", "a"])
    with pytest.raises(InvalidModelError, match="Run: no model"):
        Catalogue.load(folder, ["../models/a"])


def test_no_models_is_a_reason(tmp_path: Path) -> None:
    assert Catalogue.load(tmp_path / "nowhere").choose_by(facts()).reason == "no model is installed"


def test_paths_stay_inside_the_folder(add_card: Any, folder: Path, tmp_path: Path) -> None:
    place = add_card("a")
    place.rename(tmp_path / "elsewhere")
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidModelError, match="a: leads out of the folder"):
        Catalogue.load(folder)


def test_missing_and_oversized_weights(
    add_card: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = add_card("a")
    monkeypatch.setattr("preread.models.catalogue.LARGEST_WEIGHTS", 3)
    with pytest.raises(InvalidModelError, match=r"a/weights\.safetensors: 4 bytes; expected"):
        Catalogue.load(folder)
    (place / WEIGHTS).unlink()
    with pytest.raises(InvalidModelError, match=r"a/weights\.safetensors: cannot be read"):
        Catalogue.load(folder)


BACKBONE = BackboneFacts(File="backbones/b.onnx", SHA256="1" * 64, Precision="float32")


JUDGE = JudgeFacts(**BACKBONE.model_dump(), Architecture=ArchitectureName.INCEPTION_V3)


def with_threshold(threshold: float) -> OutOfDistributionFacts:
    return OutOfDistributionFacts(
        Method="none", Threshold=threshold, HeldOutImages=1, HeldOutShare=1
    )


def judged_by(judge: JudgeFacts) -> OutOfDistributionFacts:
    return with_threshold(1.5).model_copy(update={"Judge": judge})


SHARING: list[tuple[str, dict[str, Any]]] = [
    ("Backbone", {"Backbone": BACKBONE}),
    ("OutOfDistribution.Judge", {"OutOfDistribution": judged_by(JUDGE)}),
]


def put_backbone(folder: Path, content: bytes = b"none") -> Path:
    file = folder / BACKBONE.File
    file.parent.mkdir()
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(("key", "sharing"), SHARING)
def test_a_backbone_is_looked_for(
    key: str,
    sharing: dict[str, Any],
    add_card: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_card("a", **sharing)
    where = rf"^a/card\.json: {re.escape(key)}\.File: backbones/b\.onnx: "
    with pytest.raises(InvalidModelError, match=where + "cannot be read"):
        Catalogue.load(folder)
    file = put_backbone(folder)
    [model] = Catalogue.load(folder)
    owner = model if key == "Backbone" else model.judge
    assert (owner.backbone, owner.backbone_sha256) == (file, "1" * 64)
    file.write_bytes(b"larger than the four bytes of the weights")
    monkeypatch.setattr("preread.models.catalogue.LARGEST_WEIGHTS", 4)
    with pytest.raises(InvalidModelError, match=where + "41 bytes; expected at most 4"):
        Catalogue.load(folder)


@pytest.mark.parametrize(("key", "sharing"), SHARING)
@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_backbone_stays_inside_the_folder(
    linked: str, key: str, sharing: dict[str, Any], add_card: Any, folder: Path, tmp_path: Path
) -> None:
    add_card("a", **sharing)
    file = put_backbone(folder)
    place = file if linked == "file" else file.parent
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    where = rf"a/card\.json: {re.escape(key)}\.File: .* leads out of"
    with pytest.raises(InvalidModelError, match=where):
        Catalogue.load(folder)


def test_a_judge_must_see_what_the_model_sees(add_card: Any, folder: Path) -> None:
    add_card("a", Preprocessing=Preprocessing(size=(64, 64)))
    path = folder / "a" / CARD
    card = read_card(folder / "a").model_copy(update={"OutOfDistribution": judged_by(JUDGE)})
    path.write_text(card_text(card))
    with pytest.raises(InvalidModelError, match=r"Size: InceptionV3 needs 75 pixels or more"):
        read_card(folder / "a")


def test_a_folder_of_backbones_is_no_model(add_card: Any, folder: Path) -> None:
    add_card("a", Backbone=BACKBONE)
    put_backbone(folder)
    assert Catalogue.load(folder).names == ("a",)


def test_two_models_may_share_a_name(add_card: Any, folder: Path) -> None:
    add_card("one", Name="MobileNetV2")
    add_card("two", Name="MobileNetV2")
    assert Catalogue.load(folder).choose_by(facts()).models == ("one", "two")


def test_fingerprints_tell_models_apart(add_card: Any, folder: Path) -> None:
    add_card("a")
    place = add_card("b")
    catalogue = Catalogue.load(folder)
    found = {
        catalogue.fingerprint(("a",)),
        catalogue.fingerprint(("b",)),
        catalogue.fingerprint(("a", "b")),
        catalogue.fingerprint(("b", "a")),
        catalogue.fingerprint(()),
    }
    assert len(found) == 5
    assert catalogue.fingerprint() == catalogue.fingerprint(("a", "b"))
    text = (place / CARD).read_text()
    (place / CARD).write_text(text.replace('"1.2.3"', '"1.2.4"'))
    assert Catalogue.load(folder).fingerprint(("b",)) not in found
    with pytest.raises(InvalidModelError, match="not in the catalogue"):
        catalogue.fingerprint(("c",))


def calibrated(temperature: float) -> CalibrationFacts:
    return CalibrationFacts(
        Temperature=temperature,
        Images=1,
        LogLossBefore=0,
        LogLossAfter=0,
        ECEBefore=0,
        ECEAfter=0,
    )


def test_fingerprints_change_with_what_changes_an_answer(add_card: Any, folder: Path) -> None:
    put_backbone(folder)
    changes: list[dict[str, Any]] = [
        {},
        {"Backbone": BACKBONE},
        {"Backbone": BACKBONE.model_copy(update={"SHA256": "2" * 64})},
        {"Calibration": calibrated(1.5)},
        {"Calibration": calibrated(1.6)},
        {"OutOfDistribution": with_threshold(1.5)},
        {"OutOfDistribution": with_threshold(1.6)},
        {"OutOfDistribution": judged_by(JUDGE)},
        {"OutOfDistribution": judged_by(JUDGE.model_copy(update={"SHA256": "2" * 64}))},
    ]
    found = []
    for change in changes:
        place = add_card("a", **change)
        found.append(Catalogue.load(folder).fingerprint())
        assert Catalogue.load(folder).fingerprint() == found[-1]
        shutil.rmtree(place)
    assert len(set(found)) == len(changes)


def test_reads_real_headers(add_card: Any, folder: Path) -> None:
    add_card("a", AppliesTo=Applicability(Modality=("CT",), AcceptsMissingBodyPart=True))
    catalogue = Catalogue.load(folder)
    for name, models in (("CT_small.dcm", ("a",)), ("MR_small.dcm", ()), ("rtplan.dcm", ())):
        path = get_testdata_file(name)
        assert isinstance(path, str)
        header = read_header(Path(path).read_bytes())
        assert catalogue.choose(header).models == models
        original = dcmread(path)
        assert facts_of(header).Modality == original.Modality


def test_what_was_found_at_arrival_counts_later(add_card: Any, folder: Path) -> None:
    add_card("a", AppliesTo=Applicability(Modality=("CT",), BodyPartExamined=("CHEST",)))
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    header = read_header(Path(path).read_bytes())
    catalogue = Catalogue.load(folder)
    assert catalogue.choose(header).models == ()
    choice = catalogue.choose(header, (LUNG,))
    assert (choice.models, choice.body_parts) == (("a",), (LUNG,))
