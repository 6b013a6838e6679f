"""What the models are asked, and whose answer goes where."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from preread.imaging import open_image
from preread.ledger.job import Level
from preread.models.card import BackboneFacts
from preread.models.catalogue import Catalogue
from preread.models.head import Answer
from preread.models.model import Model
from preread.runner.reading import Decoder, Reader
from preread.runner.work import Work
from tests.unit.runner.bench import SMALL, Bench, Networks, catalogue_of, ct


@pytest.fixture
def sharing() -> Catalogue:
    """Give models a and c with one backbone, and b with another."""

    def with_backbone(model: Model, digit: str) -> Model:
        shared = BackboneFacts(
            File=f"backbones/{digit}.safetensors", SHA256=digit * 64, Precision="float32"
        )
        card = model.card.model_copy(update={"Backbone": shared})
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
        expected = 0.5 if outside else 0.21
        assert one["Probabilities"]["Bright"] == pytest.approx(expected, abs=1e-3)
    text = bench.archive.files[instance].decode("latin-1")
    assert text.count("{ OutOfDistribution : 2.00 of 1.00 }") == (2 if outside else 0)
