"""What the models are asked, and whose answer goes where."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from preread.imaging import open_image
from preread.ledger.job import Level
from preread.models.card import BackboneFacts, InputKind, OutOfDistributionFacts
from preread.models.catalogue import Catalogue
from preread.models.head import Answer
from preread.models.model import Model
from preread.results import read_block
from preread.runner.reading import Decoder, Reader
from preread.runner.work import Work
from preread.sections import OutsideInput
from tests.unit.runner.bench import LARGE, SMALL, Bench, Networks, catalogue_of, ct


@pytest.fixture
def sharing() -> Catalogue:
    """Give models a and c with one backbone, and b with another."""

    def with_backbone(model: Model, digit: str) -> Model:
        shared = BackboneFacts(
            File=f"backbones/{digit}.onnx", SHA256=digit * 64, Precision="float32"
        )
        card = model.card.model_copy(
            update={
                "Backbone": shared,
                "OutOfDistribution": OutOfDistributionFacts(
                    Method="none", Threshold=1.0, HeldOutImages=1, HeldOutShare=1.0
                ),
            }
        )
        return Model(model.name, card, model.folder)

    catalogue = catalogue_of(a=SMALL, b=SMALL, c=SMALL)
    return Catalogue(
        with_backbone(model, digit) for model, digit in zip(catalogue, "121", strict=True)
    )


def works(bench: Bench, *wanted: tuple[int, tuple[str, ...]]) -> list[Work]:
    made = []
    for number, (level, models) in enumerate(wanted):
        data = ct(number, frames=3, level=level)
        bench.arrive(data, models)
        made.append(data)
    jobs = bench.ledger.reserve("runner", len(made), 60)
    return [Work(job, data) for job, data in zip(jobs, made, strict=True)]


def test_models_with_one_backbone_are_asked_together(bench: Bench, sharing: Catalogue) -> None:
    networks = Networks(sharing, batch_hint=4)
    networks.novelty = lambda bright: np.asarray(1 + bright)
    decoder = Decoder(sharing, partial(open_image, max_bytes=2**24))
    reader = Reader(sharing, networks)
    some = works(bench, (10, ("c",)), (40, ("a", "b", "c")), (70, ("b",)))
    reader.read([piece for work in some for piece in decoder.pieces(work)])
    # Six frames are for a or c, and six for b; four fit into a pass.
    assert networks.batches == [("c+a", 4), ("c+a", 2), ("b", 4), ("b", 2)]
    assert [sorted(work.rows) for work in some] == [["c"], ["a", "b", "c"], ["b"]]
    assert [sorted(work.novelty) for work in some] == [["c"], ["a", "b", "c"], ["b"]]
    for work, level in zip(some, (10, 40, 70), strict=True):
        assert work.is_read
        for model, rows in work.rows.items():
            assert [row[0] for row in rows] == pytest.approx(
                [(level + f + 0.5) / 100 for f in range(3)]
            )
            assert work.novelty[model] == pytest.approx([1 + row[0] for row in rows])


def test_an_answer_in_the_middle_of_a_failure_is_not_kept(bench: Bench, sharing: Catalogue) -> None:
    class Failing(Networks):
        def predict_together(self, models, batch, /) -> dict[str, Answer]:  # type: ignore[no-untyped-def]
            if "b" in models:
                raise RuntimeError
            return super().predict_together(models, batch)

    decoder = Decoder(sharing, partial(open_image, max_bytes=2**24))
    [work] = works(bench, (10, ("a", "b")))
    with pytest.raises(RuntimeError):
        Reader(sharing, Failing(sharing)).read(list(decoder.pieces(work)))
    assert not work.rows
    assert not work.is_read


@pytest.mark.parametrize(("score", "outside"), [(0.9, False), (2.0, True)])
def test_an_image_outside_is_withheld_all_the_way(
    score: float, outside: bool, bench: Bench
) -> None:
    bench.networks.novelty = lambda bright: np.full(len(bright), score)
    instance = bench.arrive(ct(1, frames=2, level=20))
    bench.run()
    [result] = bench.ledger.results(Level.INSTANCE, instance)
    shown = result.to_json()["Results"]
    assert [one["Withheld"] for one in shown] == [outside] * 2
    assert [one["OutOfDistribution"]["Score"] for one in shown] == [score] * 2
    for one in shown:
        if outside:
            assert (one["Class"], one["Probabilities"], one["Frames"]) == (None, None, None)
        else:
            assert one["Probabilities"]["Bright"] == pytest.approx(0.21, abs=1e-3)
            assert one["Class"] == max(one["Probabilities"], key=one["Probabilities"].get)
    text = bench.archive.files[instance].decode("latin-1")
    assert text.count("{ OutOfDistribution : 2.00 of 1.00 }") == (2 if outside else 0)


@pytest.fixture
def pictures() -> Catalogue:
    """Give heads a and c of one network for pictures, and h for Hounsfield units."""
    made = [*catalogue_of(InputKind.PICTURES, a=SMALL, c=SMALL), *catalogue_of(h=LARGE)]
    return Catalogue(made)


def told(bench: Bench, instance: str) -> list[dict[str, Any]]:
    [result] = bench.ledger.results(Level.INSTANCE, instance)
    shown: list[dict[str, Any]] = result.to_json()["Results"]
    return shown


def test_an_image_is_withheld_from_models_of_another_kind(
    bench: Bench, pictures: Catalogue
) -> None:
    bench.use(pictures)
    instance = bench.arrive(ct(1, frames=2, level=20), ("a", "h", "c"))
    alone = bench.arrive(ct(2, level=20), ("a", "c"))
    bench.run()
    reason = "made for pictures, not for Hounsfield units"
    assert [one["Reason"] for one in told(bench, instance)] == [reason, "", reason]
    assert [one["Withheld"] for one in told(bench, instance)] == [True, False, True]
    shares = [one["Probabilities"] for one in told(bench, instance)]
    assert [one is None for one in shares] == [True, False, True]
    assert {model for model, _ in bench.networks.batches} == {"h"}
    lines = [one.Withheld for one in read_block(bench.archive.files[instance])]
    assert lines == [reason, "", reason]
    results = read_block(bench.archive.files[alone])
    assert [(one.Withheld, one.classes) for one in results] == [(reason, ())] * 2
    assert bench.job(instance).reason == ""
    assert (bench.job(alone).state, bench.job(alone).reason) == ("done", f"no class: {reason}")


def test_what_cannot_be_decoded_is_told_before_it_is_withheld(
    bench: Bench, pictures: Catalogue
) -> None:
    bench.use(pictures)
    instance = bench.arrive(ct(1, frames=2, missing=100), ("a",))
    bench.run()
    assert bench.job(instance).state == "failed"


def test_an_image_is_marked_where_a_site_wants_it(bench: Bench, pictures: Catalogue) -> None:
    bench.use(pictures)
    bench.outside = OutsideInput.MARK
    instance = bench.arrive(ct(1, level=20), ("a", "h", "c"))
    bench.run()
    warning = "not measured on this kind of image"
    assert [one["Warning"] for one in told(bench, instance)] == [warning, "", warning]
    results = read_block(bench.archive.files[instance])
    assert [one.Warning for one in results] == [warning, "", warning]
    assert [len(one.classes) for one in results] == [2, 2, 2]
    assert list(told(bench, instance)[0]).index("Warning") < list(told(bench, instance)[0]).index(
        "Probabilities"
    )


@pytest.mark.parametrize("asked", [("a", "b", "c"), ("c",)])
def test_one_head_without_a_class_silences_the_others(
    asked: tuple[str, ...], bench: Bench, sharing: Catalogue
) -> None:
    """Also where the head that finds the image unlike its training data was not asked for."""

    class Doubting(Networks):
        def predict_together(self, models, batch, /) -> dict[str, Answer]:  # type: ignore[no-untyped-def]
            answers = super().predict_together(models, batch)
            far = {"a": 2.0, "b": 0.5, "c": 0.5}
            return {
                model: answer._replace(novelty=np.full(len(batch), far[model]))
                for model, answer in answers.items()
            }

    bench.use(sharing)
    bench.networks = Doubting(sharing)
    instance = bench.arrive(ct(1, level=20), asked)
    bench.run()
    expected = {
        "a": "unlike its training data",
        "b": "",
        "c": "another head of its network gave no class",
    }
    assert [one["Reason"] for one in told(bench, instance)] == [expected[name] for name in asked]
