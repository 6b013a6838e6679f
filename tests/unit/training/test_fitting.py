from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from preread.imaging import Preprocessing
from preread.training.augmentation import augment
from preread.training.errors import TrainingError
from preread.training.fitting import Epoch, Fitting, Plan, batch_of
from preread.training.folder import DataSet, read_folder
from preread.training.normalisation import is_folded, remeasure, unfold
from preread.training.splits import Split, SplitKind, split

PLAN = Plan(
    epochs=4,
    patience=4,
    batch_size=8,
    learning_rate=5e-3,
    weight_decay=0.01,
    balanced=True,
    augmented=True,
    seed=3,
)


class Small(nn.Sequential):
    """A network with all that matters here: convolutions, batch normalisation, dropout."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(64, 3),
        )


@pytest.fixture
def data(pictures: Path) -> DataSet:
    return read_folder(pictures, Preprocessing(size=(32, 32)), {})


@pytest.fixture
def parts(data: DataSet) -> Split:
    return split(data.labels, data.thumbnails, SplitKind.GROUPED, test=0.25, validation=0.2, seed=1)


def fitting(
    data: DataSet, parts: Split, checkpoint: Path, plan: Plan = PLAN, origin: str = "one"
) -> tuple[nn.Module, Fitting]:
    torch.manual_seed(plan.seed)
    network = Small()
    return network, Fitting(
        network,
        data,
        parts,
        black=-1.0,
        white=1.0,
        plan=plan,
        checkpoint=checkpoint,
        origin=origin,
        device=torch.device("cpu"),
    )


def test_learns(data: DataSet, parts: Split, tmp_path: Path) -> None:
    _, fit = fitting(data, parts, tmp_path / "c.pt", replace(PLAN, epochs=12, patience=12))
    before = fit.measure(parts.test)
    fitted = fit.run()
    after = fit.measure(parts.test)
    assert after.log_loss < before.log_loss / 2
    assert after.micro_accuracy > 0.8
    best = min(fitted.history, key=lambda line: line.validation_loss)
    assert fitted.best_epoch == best.epoch


class Stopped(Exception):
    pass


def test_resumes_to_the_same_weights(data: DataSet, parts: Split, tmp_path: Path) -> None:
    straight, fit = fitting(data, parts, tmp_path / "a.pt")
    whole = fit.run()

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise Stopped

    _, fit = fitting(data, parts, tmp_path / "b.pt")
    with pytest.raises(Stopped):
        fit.run(stop)
    resumed, fit = fitting(data, parts, tmp_path / "b.pt")
    assert fit.done == 2
    seen: list[int] = []
    rest = fit.run(lambda epoch: seen.append(epoch.epoch))

    assert seen == [3, 4]
    assert rest.best_epoch == whole.best_epoch
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_refuses_checkpoints_of_others(data: DataSet, parts: Split, tmp_path: Path) -> None:
    _, fit = fitting(data, parts, tmp_path / "c.pt", replace(PLAN, epochs=1))
    fit.run()
    with pytest.raises(TrainingError, match=r"c\.pt: from other images, options or weights"):
        fitting(data, parts, tmp_path / "c.pt", origin="two")
    content = (tmp_path / "c.pt").read_bytes()
    for broken in (content[: len(content) // 2], b"", b"nonsense"):
        (tmp_path / "c.pt").write_bytes(broken)
        with pytest.raises(TrainingError, match=r"c\.pt: a broken checkpoint"):
            fitting(data, parts, tmp_path / "c.pt")


def test_stops_when_nothing_gets_better(data: DataSet, parts: Split, tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=50, patience=2, learning_rate=1e-8)
    _, fit = fitting(data, parts, tmp_path / "c.pt", plan)
    fitted = fit.run()
    assert len(fitted.history) < 50
    assert len(fitted.history) - fitted.best_epoch in (2, 3)


def test_a_loss_that_explodes_is_told(data: DataSet, parts: Split, tmp_path: Path) -> None:
    network, fit = fitting(data, parts, tmp_path / "c.pt")
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="epoch 1: the loss is not finite"):
        fit.run()


@pytest.mark.parametrize("change", [{"epochs": 0}, {"patience": 0}, {"learning_rate": 0.0}])
def test_refuses_an_impossible_plan(change: dict[str, float]) -> None:
    with pytest.raises(TrainingError, match="must be 1 or more"):
        replace(PLAN, **change)  # type: ignore[arg-type]  # the wrong values are the point


def test_unfolding_changes_no_output(data: DataSet, parts: Split) -> None:
    torch.manual_seed(0)
    network = Small().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.normal_()
    images = batch_of(data, parts.training)
    expected = network(images)
    assert is_folded(network)

    unfold(network, torch.chunk(images, 3))

    assert not is_folded(network)
    assert torch.allclose(network(images), expected, atol=1e-4)
    # And now the statistics of a batch are near the running ones, as training needs it.
    network.train()
    dropout = network[8]
    assert isinstance(dropout, nn.Dropout)
    dropout.p = 0.0
    assert torch.allclose(network(images), expected, atol=0.05)


def test_remeasured_statistics_are_those_of_the_images(data: DataSet, parts: Split) -> None:
    torch.manual_seed(0)
    network = Small().eval()
    images = batch_of(data, parts.training)
    remeasure(network, [images])
    first = network[0](images)
    layer = network[1]
    assert isinstance(layer, nn.BatchNorm2d)
    assert layer.running_mean is not None
    assert torch.allclose(layer.running_mean, first.mean(dim=(0, 2, 3)), atol=1e-4)
    assert layer.momentum == 0.1
    assert not network.training


def test_augmentation_is_light_seeded_and_within_range(data: DataSet) -> None:
    images = batch_of(data, np.arange(16))
    one, two = (augment(images, -1.0, 1.0, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == images.shape
    assert float(one.min()) >= -1
    assert float(one.max()) <= 1
    changed = (one - images).abs().mean()
    assert 0.02 < changed < 0.6
    assert not torch.equal(one[0], augment(images, -1.0, 1.0, torch.Generator())[0])
