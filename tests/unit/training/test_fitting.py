from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from preread.training import checkpoint, fitting
from preread.training.data_set import DataSet
from preread.training.errors import TrainingError
from preread.training.fitting import Epoch, Fitting
from preread.training.loop import Places
from preread.training.measuring import Measured, batch_of, batches_of, features_of, measure
from preread.training.normalisation import remeasure
from preread.training.optimizing import set_rate
from preread.training.plan import PAPER, Optimizer, Plan, Precision, Transfer
from preread.training.splits import Split
from preread.training.teacher import VIEWS, Lessons
from tests.unit.training.conftest import Tiny, tiny

PLAN = Plan(
    epochs=4,
    patience=0,
    batch_size=8,
    learning_rate=5e-3,
    weight_decay=0.01,
    augmentation=1,
    seed=3,
)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Fits:
    """Makes fits of a tiny network, whose checkpoints are of one name each."""

    data: DataSet
    split: Split
    folder: Path

    def __call__(
        self,
        plan: Plan = PLAN,
        *,
        name: str = "c",
        network: Tiny | None = None,
        origin: str = "one",
        lessons: Lessons | None = None,
        split: Split | None = None,
    ) -> tuple[Tiny, Fitting]:
        network = network or tiny(seed=plan.seed)
        return network, Fitting(
            network,
            self.data,
            split or self.split,
            levels=(-1.0, 1.0),
            plan=plan,
            places=Places(self.folder / f"{name}.pt", origin, CPU),
            lessons=lessons,
        )


@pytest.fixture
def fits(two_set_data: DataSet, two_set_split: Split, tmp_path: Path) -> Fits:
    return Fits(two_set_data, two_set_split, tmp_path)


@pytest.fixture
def lessons(two_set_split: Split) -> Lessons:
    """Give what a teacher might have said of noise."""
    random = torch.Generator().manual_seed(5)
    count = len(two_set_split.training)
    return Lessons(
        torch.randint(0, 256, (count, VIEWS, 32, 32), generator=random, dtype=torch.uint8),
        torch.randn(count, VIEWS, 5, generator=random),
        torch.randn(count, VIEWS, 11, generator=random),
    )


def without_validation(split: Split) -> Split:
    return replace(split, validation=split.validation[:0])


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_learns_all_sets_at_once(fits: Fits) -> None:
    _, fit = fits(replace(PLAN, epochs=12, augmentation=0.3))
    before = fit.measure(fits.split.test)
    fitted = fit.run()
    after = fit.measure(fits.split.test)
    assert after.log_loss < before.log_loss / 2
    assert after.accuracy > 0.8
    assert [line.epoch for line in fitted.history] == list(range(1, 13))
    assert fitted.history[-1].training_loss < fitted.history[0].training_loss
    # The weights at the end are those of the best epoch, and measure as its line says.
    best = fitted.history[fitted.best_epoch - 1]
    assert best.validation_loss == min(line.validation_loss or 9 for line in fitted.history)
    found = fit.measure(fits.split.validation)
    assert (found.log_loss, found.accuracy) == (best.validation_loss, best.validation_accuracy)


def test_measures_each_set_on_the_images_that_it_has(two_set_data: DataSet) -> None:
    part = np.arange(len(two_set_data))
    logits = torch.zeros(len(part), 5)
    # Certain, and right for the second set alone.
    logits[torch.arange(len(part)), 3 + torch.from_numpy(two_set_data.sets[1].labels.clip(0))] = 50
    found = measure(logits, two_set_data, part)
    assert found.log_loss == pytest.approx(np.log(3) / 2, rel=1e-5)
    assert found.accuracy == pytest.approx((20 / 60 + 1) / 2)


def test_without_held_out_images_the_last_epoch_is_kept(fits: Fits) -> None:
    network, fit = fits(replace(PLAN, epochs=3), split=without_validation(fits.split))
    ends: list[dict[str, Tensor]] = []
    fitted = fit.run(lambda _line: ends.append(state_of(network)))
    assert fitted.best_epoch == 3
    assert fitted.history[0].validation_loss is None
    assert same(state_of(network), ends[-1])
    assert not same(ends[-1], ends[0])


def test_stops_when_nothing_gets_better(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([5.0, 3.0, 4.0, 3.5, 1.0, 0.5])
    monkeypatch.setattr(
        fitting, "measure", lambda *_: Measured(log_loss=next(losses), accuracy=0.5)
    )
    _, fit = fits(replace(PLAN, epochs=50, patience=2))
    fitted = fit.run()
    assert fitted.best_epoch == 2
    assert len(fitted.history) == 4


class Stopped(Exception):
    pass


def stop_at(number: int) -> Callable[[Epoch], None]:
    def stop(epoch: Epoch) -> None:
        if epoch.epoch == number:
            raise Stopped

    return stop


VARIANTS: dict[str, dict[str, Any]] = {
    "augmented": {},
    "averaged": {"averaging": 0.8, "smoothing": 0.1},
    "fitted anew": {"refitting": True, "averaging": 0.8},
    "probed": {"probing": True, "averaging": 0.8},
    "taught": {"distillation": 0.7, "averaging": 0.8},
    "frozen": {"frozen": 1},
    "the paper's optimiser": {"optimizer": Optimizer.SGD},
    "features alone": {"transfer": Transfer.FEATURE_EXTRACTION, "augmentation": 0.0},
    "patient": {"patience": 2},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_resumes_to_the_same_weights(variant: str, fits: Fits, lessons: Lessons) -> None:
    plan = replace(PLAN, **VARIANTS[variant])
    given = lessons if plan.distillation else None
    straight, fit = fits(plan, name="a", lessons=given)
    whole = fit.run()

    _, fit = fits(plan, name="b", lessons=given)
    with pytest.raises(Stopped):
        fit.run(stop_at(2))
    resumed, fit = fits(plan, name="b", lessons=given)
    assert fit.done == 2
    seen: list[int] = []
    rest = fit.run(lambda epoch: seen.append(epoch.epoch))

    assert seen == [line.epoch for line in whole.history[2:]]
    assert rest.best_epoch == whole.best_epoch
    losses = [[line.training_loss for line in one.history] for one in (rest, whole)]
    assert losses[0] == losses[1]
    assert same(state_of(straight), state_of(resumed))


def test_a_fit_that_is_done_is_not_run_again(fits: Fits) -> None:
    first, fit = fits(replace(PLAN, epochs=2))
    done = fit.run()
    again, fit = fits(replace(PLAN, epochs=2))
    seen: list[int] = []
    assert fit.run(lambda epoch: seen.append(epoch.epoch)).history == done.history
    assert seen == []
    assert same(state_of(first), state_of(again))


def test_a_checkpoint_is_replaced_at_once_or_not_at_all(
    fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fit = fits(name="c")
    with pytest.raises(Stopped):
        fit.run(stop_at(1))
    kept = (fits.folder / "c.pt").read_bytes()

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    _, fit = fits(name="c")
    with pytest.raises(OSError, match="No space"):
        fit.run()
    assert (fits.folder / "c.pt").read_bytes() == kept
    assert [path.name for path in fits.folder.iterdir()] == ["c.pt"]


def test_refuses_checkpoints_of_others(fits: Fits) -> None:
    fits(replace(PLAN, epochs=1))[1].run()
    with pytest.raises(TrainingError, match=r"^c\.pt: from other images, options or weights"):
        fits(origin="two")


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def test_refuses_broken_checkpoints(
    fits: Fits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fits(replace(PLAN, epochs=1))[1].run()
    path = tmp_path / "c.pt"
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes(255 - byte for byte in content[middle:])
    for broken in (content[:middle], flipped, b"", b"nonsense", pickle.dumps(Trap(), 2)):
        path.write_bytes(broken)
        with pytest.raises(TrainingError, match=r"^c\.pt: a broken checkpoint"):
            fits()
    torch.save({"origin": "one", "network": {}, "trap": Trap()}, path)
    with pytest.raises(TrainingError, match=r"^c\.pt: a broken checkpoint"):
        fits()
    assert not (tmp_path / "sprung").exists()
    torch.save({"origin": "one", "network": {}}, path)
    with pytest.raises(TrainingError, match=r"^c\.pt: a broken checkpoint"):
        fits()


def test_refuses_a_checkpoint_that_is_too_large(
    fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LARGEST_CHECKPOINT", 99)
    (fits.folder / "c.pt").write_bytes(bytes(100))
    with pytest.raises(TrainingError, match=r"^c\.pt: too large for a checkpoint"):
        fits()


def test_a_loss_that_explodes_is_told(fits: Fits) -> None:
    plan = replace(PLAN, learning_rate=1e30, optimizer=Optimizer.SGD)
    with pytest.raises(TrainingError, match=r"^epoch 1: the loss is not finite; lower the"):
        fits(plan)[1].run()
    assert not (fits.folder / "c.pt").exists()


def test_weights_that_explode_in_the_last_step_are_told(fits: Fits) -> None:
    # One batch an epoch: the loss was finite, and the weights that it left are not.
    plan = replace(PLAN, learning_rate=1e38, optimizer=Optimizer.SGD, batch_size=64, epochs=1)
    with pytest.raises(TrainingError, match=r"^epoch 1: the loss on the validation part is not"):
        fits(plan)[1].run()


@pytest.mark.parametrize("augmentation", [0.0, 1.0])
def test_feature_extraction_fits_the_last_layer_alone(augmentation: float, fits: Fits) -> None:
    plan = replace(
        PLAN,
        transfer=Transfer.FEATURE_EXTRACTION,
        augmentation=augmentation,
        averaging=0.5,
        learning_rate=0.02,
        epochs=6,
    )
    network, fit = fits(plan)
    backbone, head = state_of(network.backbone), state_of(network.head)
    before = fit.measure(fits.split.test)
    fit.run()
    assert same(state_of(network.backbone), backbone)
    assert not same(state_of(network.head), head)
    assert fit.measure(fits.split.test).log_loss < before.log_loss


def test_features_that_stay_are_taken_once(fits: Fits) -> None:
    passed: list[int] = []
    network = tiny()
    network.backbone.register_forward_hook(lambda _m, images, _o: passed.append(len(images[0])))
    plan = replace(PLAN, transfer=Transfer.FEATURE_EXTRACTION, augmentation=0.0)
    fits(plan, network=network)[1].run()
    assert sum(passed) == len(fits.data)


def test_feature_extraction_by_the_papers_settings(fits: Fits) -> None:
    plan = replace(PAPER.plan, transfer=Transfer.FEATURE_EXTRACTION, epochs=5)
    _, fit = fits(plan, split=without_validation(fits.split))
    fitted = fit.run()
    losses = [line.training_loss for line in fitted.history]
    assert fitted.best_epoch == 5
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("averaging", [0.0, 0.8])
def test_frozen_blocks_stay_as_they_are(averaging: float, fits: Fits) -> None:
    network, fit = fits(replace(PLAN, frozen=1, averaging=averaging))
    frozen, other = network.block(0), network.block(1)
    before, after = state_of(frozen), state_of(other)
    fit.run()
    # Weights and the statistics of batch normalisation.
    assert same(state_of(frozen), before)
    assert not any(torch.equal(tensor, after[name]) for name, tensor in state_of(other).items())


def test_a_layer_fitted_anew_is_of_the_features_at_the_end(fits: Fits) -> None:
    plan = replace(PLAN, learning_rate=1e-3, epochs=3)
    lagging, fit = fits(plan, name="a", split=without_validation(fits.split))
    fit.run()
    before = fit.measure(fits.split.training)
    network, fit = fits(replace(plan, refitting=True), name="b")
    fitted = fit.run()
    assert fitted.best_epoch == 3
    assert same(state_of(network.backbone), state_of(lagging.backbone))
    assert fit.measure(fits.split.training).log_loss < before.log_loss / 2


def test_a_probed_layer_is_where_the_fit_begins(fits: Fits) -> None:
    losses = []
    for probing in (False, True):
        plan = replace(PLAN, probing=probing, epochs=1, augmentation=0.0, learning_rate=1e-4)
        network = tiny()
        remeasure(network.backbone, batches_of(fits.data, fits.split.training, 64))
        _, fit = fits(plan, name=f"{probing}", network=network)
        losses.append(fit.run().history[0].training_loss)
    assert losses[1] < losses[0] * 0.6


def test_the_average_of_the_weights_is_what_is_kept(fits: Fits) -> None:
    """One step an epoch, so that the average can be followed by hand."""
    plan = replace(
        PLAN, averaging=0.75, batch_size=64, epochs=3, augmentation=0.0, optimizer=Optimizer.SGD
    )
    network, fit = fits(plan, split=without_validation(fits.split))
    steps: list[Tensor] = []
    fit.run(lambda _line: steps.append(network.head.weight.detach().clone()))
    # The network itself moves on; the average begins at the first step.
    expected = 0.75 * (0.75 * steps[0] + 0.25 * steps[1]) + 0.25 * steps[2]
    assert torch.allclose(network.head.weight, expected, atol=1e-6)
    assert not torch.allclose(network.head.weight, steps[2], atol=1e-6)


def test_batch_normalisation_is_remeasured_on_images_as_they_are(fits: Fits) -> None:
    network, fit = fits(replace(PLAN, epochs=1, averaging=0.5))
    fit.run()
    convolution, layer, _ = network.block(0)
    images = torch.stack([torch.from_numpy(fits.data.images[n]) for n in fits.split.training])
    with torch.inference_mode():
        seen = convolution(images.expand(-1, 3, -1, -1))
    found = state_of(layer)
    assert torch.allclose(found["running_mean"], seen.mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.allclose(found["running_var"], seen.var(dim=(0, 2, 3)), rtol=0.1)


def test_a_teacher_is_learnt_from(fits: Fits, lessons: Lessons) -> None:
    plan = replace(PLAN, distillation=1.0, epochs=6, augmentation=0.0)
    network, fit = fits(plan, lessons=lessons)
    history = fit.run().history
    assert history[-1].training_loss < history[0].training_loss
    assert network.head.out_features == 5  # what brings features to the teacher's width is not kept
    assert network.state_dict().keys() == tiny().state_dict().keys()


def test_only_the_training_part_is_fitted_on(fits: Fits) -> None:
    """Images and labels of the test part are changed, and no weight is."""
    plain, fit = fits(name="a")
    fit.run()
    images, sets = list(fits.data.images), []
    for index in fits.split.test:
        images[index] = -images[index]
    for one in fits.data.sets:
        labels = one.labels.copy()
        labels[fits.split.test] = 0
        sets.append(replace(one, labels=labels))
    other = replace(fits, data=replace(fits.data, images=tuple(images), sets=tuple(sets)))
    changed, fit = other(name="b")
    fit.run()
    assert same(state_of(plain), state_of(changed))


def test_each_epoch_passes_the_training_part_in_an_order_of_its_own(
    fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []

    def watched(data: DataSet, part: NDArray[np.int64]) -> Tensor:
        passed.extend(part.tolist())
        return batch_of(data, part)

    monkeypatch.setattr(fitting, "batch_of", watched)
    fits(replace(PLAN, epochs=2))[1].run()
    part = fits.split.training.tolist()
    first, second = passed[: len(part)], passed[len(part) :]
    assert sorted(first) == sorted(second) == part
    assert first != second
    assert first != part


def test_the_rate_rises_and_falls(fits: Fits) -> None:
    _, fit = fits(replace(PLAN, epochs=20, learning_rate=1.0))
    rates = []
    for epochs in (0, 1, 2, 11, 20):
        set_rate(fit._optimizer, fit._plan, epochs)
        rates.append(fit._optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.02, 0.51, 1.0, 0.505, 0.01], abs=1e-6)
    _, fit = fits(replace(PLAN, epochs=20, learning_rate=1.0, optimizer=Optimizer.SGD), name="sgd")
    set_rate(fit._optimizer, fit._plan, 11)
    assert fit._optimizer.param_groups[0]["lr"] == 1.0


def test_weights_decay_and_biases_do_not(fits: Fits) -> None:
    network, fit = fits()
    decays = {
        id(one): group["weight_decay"]
        for group in fit._optimizer.param_groups
        for one in group["params"]
    }
    for name, one in network.named_parameters():
        assert decays[id(one)] == (0.01 if one.ndim > 1 else 0.0), name


def test_layers_may_compute_in_bfloat16(fits: Fits) -> None:
    network, fit = fits(replace(PLAN, precision=Precision.BFLOAT16, epochs=2))
    plain, other = fits(replace(PLAN, epochs=2), name="d")
    history = fit.run().history
    exact = other.run().history
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert not same(state_of(network), state_of(plain))
    assert history[-1].training_loss == pytest.approx(exact[-1].training_loss, rel=0.1)


def test_features_can_be_fitted_on(two_set_data: DataSet) -> None:
    network = tiny().train()
    features = features_of(network.backbone, two_set_data, np.arange(5), CPU)
    assert features.shape == (5, 64)
    assert not features.requires_grad
    nn.functional.linear(features, network.head.weight).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    # Without dropout, and one by one as together.
    one = features_of(network.backbone, two_set_data, np.arange(4, 5), CPU)
    assert torch.allclose(features[4:], one, atol=1e-6)
