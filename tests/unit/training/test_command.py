from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import typer
from typer.testing import CliRunner

from preread.imaging import open_picture, prepare
from preread.models.architectures import build
from preread.models.card import ArchitectureName, read_card
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
from preread.models.weights import weights_bytes
from preread.training.command import train

app = typer.Typer()
app.command()(train)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


SMALL = ("--size", 64, "--batch-size", 16, "--threads", 1, "--learning-rate", 0.002)


def test_trains_a_model_that_is_served_as_it_is(
    pictures: Path, description: Path, tmp_path: Path
) -> None:
    output = tmp_path / "models" / "Shapes"
    done = run(
        pictures, "--output", output, "--description", description, "--epochs", 2, "--compare",
        "--int8", *SMALL,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "test part of the grouped split: micro-accuracy" in done.output

    card = read_card(output)
    assert card.Classes == ("Disc", "Bar", "Check")
    assert [(m.Split, m.ShippedWeights) for m in card.Metrics] == [
        ("grouped", True),
        ("random", False),
    ]
    for metrics in card.Metrics:
        parts = (metrics.TrainingImages, metrics.ValidationImages, metrics.TestImages)
        assert sum(parts) == 72
        right = sum(metrics.ConfusionMatrix[i][i] for i in range(3))
        assert metrics.MicroAccuracy == round(right / metrics.TestImages, 4)
    assert card.Training.InitialWeights == "random"
    assert "pictures --architecture MobileNetV2" in card.Training.Command
    assert str(tmp_path) not in (output / "card.json").read_text()
    history = json.loads((output / "history.json").read_text())
    assert [line["epoch"] for line in history["grouped"]] == [1, 2]
    assert card.Quantization is not None
    assert card.Quantization.TestImages == card.Metrics[0].TestImages

    catalogue = Catalogue.load(output.parent)
    image = (pictures / "disc" / "000.png").read_bytes()
    frame = open_picture(image, max_bytes=10**6)
    batch = prepare(frame, card.Preprocessing)[np.newaxis]
    answers = {
        engine: Ensemble(catalogue, engine, 1, tmp_path / "cache").predict("Shapes", batch)
        for engine in ("torch", "openvino", "openvino-int8")
    }
    assert np.abs(answers["torch"] - answers["openvino"]).max() < 1e-3
    assert answers["openvino-int8"].shape == (1, 3)

    again = run(
        pictures, "--output", output, "--description", description, "--epochs", 2, "--compare",
        *SMALL,
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert "epoch 1" not in again.output  # resumed where it had ended
    assert read_card(output).WeightsSHA256 == card.WeightsSHA256
    assert read_card(output).Metrics == card.Metrics


def test_starts_from_weights_for_other_classes(
    pictures: Path, description: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "start.safetensors"
    weights.write_bytes(weights_bytes(build(ArchitectureName.MOBILENET_V2, 7), half=True))
    output = tmp_path / "Shapes"
    arguments = (pictures, "--output", output, "--description", description, "--epochs", 1, *SMALL)
    done = run(*arguments, "--pretrained", weights)
    assert done.exit_code == 0, done.output
    assert read_card(output).Training.InitialWeightsSHA256 is not None

    # A state that started from other weights is not gone on from.
    done = run(*arguments)
    assert done.exit_code == 1
    assert "Shapes-grouped.pt: from other images, options or weights" in done.output


def test_wrong_input_gets_one_line(pictures: Path, description: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ("--output", output, "--description", description, *SMALL)
    wrong = tmp_path / "wrong.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(3, dtype=np.float32)}, wrong)
    told = json.loads(description.read_text())
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({**told, "Colour": 1}))
    for arguments, message in (
        ((pictures, *options, "--pretrained", wrong), r"wrong\.safetensors: .* is missing"),
        ((pictures, *options, "--pretrained", description), "not a safetensors file"),
        ((pictures / "bar", *options), "two classes or more"),
        ((pictures, *options, "--device", "cuda:99"), "not usable on this machine"),
        ((pictures, *options, "--description", odd), r"odd\.json: Colour: is not a key"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1, done.output
        assert re.search(message, done.output.replace("\n", " ")), done.output
        assert "Traceback" not in done.output
    assert not output.exists()


def test_a_description_needs_its_keys(description: Path) -> None:
    from preread.training.description import read_description
    from preread.training.errors import TrainingError

    told = json.loads(description.read_text())
    for key in ("Name", "Limits", "License", "AppliesTo", "Dataset"):
        description.write_text(json.dumps({k: v for k, v in told.items() if k != key}))
        with pytest.raises(TrainingError, match=rf"^description\.json: {key}: Field required"):
            read_description(description)
    description.write_text("{")
    with pytest.raises(TrainingError, match=r"^description\.json: "):
        read_description(description)
