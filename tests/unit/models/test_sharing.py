"""Models that share a backbone say what they would say with a network of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from preread.imaging.preprocessing import Preprocessing
from preread.models.card import (
    CARD,
    NETWORK,
    ArchitectureName,
    JudgeFacts,
    card_text,
    read_card,
)
from preread.models.catalogue import Catalogue
from preread.models.choosing import make_engine
from preread.models.engine import LoadedBackbone
from preread.models.ensemble import Ensemble
from preread.models.head import Head
from preread.models.model import Model
from preread.models.novelty import Novelty
from preread.models.weights import sha256_of
from tests.unit.models.test_catalogue import with_threshold
from tests.unit.models.test_engines import EQUAL, images

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Counting:
    """An engine that notes what it loads, and what it is asked."""

    def __init__(self, name: str = "torch") -> None:
        self._engine = make_engine(name, 1)
        self.name, self.batch_hint = self._engine.name, self._engine.batch_hint
        self.key = self._engine.key
        self.loaded: list[str] = []
        self.passes: list[int] = []

    def load(self, model: Model) -> LoadedBackbone:
        self.loaded.append(model.name)
        return Listening(self._engine.load(model), self.passes)


class Listening:
    def __init__(self, backbone: LoadedBackbone, passes: list[int]) -> None:
        self._backbone, self._passes = backbone, passes
        self.engine = backbone.engine

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self._passes.append(len(batch))
        return self._backbone.features(batch)

    def maps(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._backbone.maps(batch)


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_a_shared_backbone_gives_what_a_whole_network_gives(
    architecture: ArchitectureName,
    engine: str,
    add_network: Any,
    add_sharing: Any,
    folder: Path,
) -> None:
    add_network("own", architecture)
    add_sharing("first", "second", architecture=architecture)
    catalogue, batch = Catalogue.load(folder), images(3, 96)
    reference = Ensemble(catalogue, "torch", 1).predict("own", batch).probabilities
    ensemble = Ensemble(catalogue, engine, 1)
    found = ensemble.predict_together(("second", "own", "first"), batch)
    # Outputs that are all alike would make any two engines equal.
    assert reference.std(axis=0).max() > 0.02
    assert np.allclose(found["own"].probabilities.sum(axis=1), 1, atol=1e-12)
    assert np.abs(found["own"].probabilities - reference).max() <= EQUAL
    assert np.abs(found["first"].probabilities - reference).max() <= EQUAL
    # The second has the same last layer, its rows one further.
    rolled = np.roll(reference, 1, axis=1)
    assert np.abs(found["second"].probabilities - rolled).max() <= EQUAL


def with_another_network(place: Path) -> None:
    """Give a model a network that is another file, whatever it computes."""
    network = onnx.load_from_string((place / NETWORK).read_bytes())
    network.doc_string = "another"
    data = network.SerializeToString()
    (place / NETWORK).write_bytes(data)
    card = read_card(place)
    facts = card.Backbone.model_copy(update={"SHA256": sha256_of(data)})
    (place / CARD).write_text(card_text(card.model_copy(update={"Backbone": facts})))


def test_a_backbone_is_loaded_and_passed_once(
    add_network: Any, add_sharing: Any, folder: Path
) -> None:
    add_sharing("a", "b", "c")
    with_another_network(add_network("own"))
    engine = Counting()
    ensemble = Ensemble(Catalogue.load(folder), engine)
    assert engine.loaded == ["a", "own"]
    ensemble.predict_together(("a", "b", "c"), images(5, 96))
    assert engine.passes == [5]
    ensemble.predict_together(("c", "own", "a"), images(2, 96))
    assert engine.passes == [5, 2, 2]
    ensemble.predict("b", images(1, 96))
    assert engine.passes == [5, 2, 2, 1]


def test_what_is_asked_anew_is_looked_at_anew(add_sharing: Any, folder: Path) -> None:
    add_sharing("a", "b")
    ensemble = Ensemble(Catalogue.load(folder), "torch", 1)
    batch = images(2, 96)
    before = ensemble.predict("a", batch).probabilities
    batch[:] = -batch
    after = ensemble.predict_together(("b", "a"), batch)["a"].probabilities
    assert np.abs(before - after).max() > EQUAL


def test_a_lazy_ensemble_loads_what_it_is_asked(add_sharing: Any, folder: Path) -> None:
    add_sharing("a", "b")
    engine = Counting()
    ensemble = Ensemble(Catalogue.load(folder), engine, eager=False)
    assert engine.loaded == []
    ensemble.predict("b", images(1, 96))
    ensemble.predict("a", images(1, 96))
    assert engine.loaded == ["b"]


def test_models_with_different_preprocessing_are_not_asked_together(
    add_sharing: Any, folder: Path
) -> None:
    add_sharing("a", "b")
    card = read_card(folder / "b")
    other = card.model_copy(
        update={"Preprocessing": Preprocessing(size=(96, 96), range=(0.0, 1.0))}
    )
    (folder / "b" / CARD).write_text(card_text(other))
    ensemble = Ensemble(Catalogue.load(folder), "torch", 1)
    with pytest.raises(ValueError, match="one preprocessing"):
        ensemble.predict_together(("a", "b"), images(1, 96))


def test_an_image_unlike_the_training_images_gets_no_class(add_sharing: Any, folder: Path) -> None:
    batch = images(24, 96)
    add_sharing("bare")
    backbone = make_engine("torch", 1).load(Catalogue.load(folder)["bare"])
    novelty = Novelty.fit(backbone.features(batch))
    threshold = float(novelty.score(backbone.features(batch)).max()) * 1.1
    add_sharing("judging", novelty=novelty, OutOfDistribution=with_threshold(threshold))
    ensemble = Ensemble(Catalogue.load(folder), "torch", 1)
    strange = np.concatenate([batch[:2], np.full((2, 3, 96, 96), -1, dtype=np.float32)])
    answers = ensemble.predict_together(("bare", "judging"), strange)
    bare, judging = answers["bare"], answers["judging"]
    assert bare.novelty is None
    assert judging.novelty is not None
    assert ((judging.novelty > threshold) == [False, False, True, True]).all()
    assert np.array_equal(bare.probabilities, judging.probabilities)

    def prediction(model: str, *frames: int) -> Any:
        answer, rows = answers[model], list(frames)
        scores = () if answer.novelty is None else answer.novelty[rows]
        return ensemble.prediction(model, answer.probabilities[rows], scores, NOW)

    assert prediction("bare", 2).unlikeness is None
    assert prediction("bare", 2).probabilities == tuple(bare.probabilities[2].tolist())
    near, far = prediction("judging", 0, 1), prediction("judging", 2, 3)
    assert not near.outside
    assert near.unlikeness.score == pytest.approx(float(judging.novelty[:2].mean()))
    assert near.unlikeness.threshold == threshold
    assert near.backbone_sha256 == Catalogue.load(folder)["judging"].backbone_sha256
    assert far.outside
    assert far.probabilities == ()
    assert far.frames == ((),) * 2
    with pytest.raises(ValueError, match="a score for each of 2 frames"):
        ensemble.prediction("judging", judging.probabilities[:2], (), NOW)


def test_another_network_judges_what_is_unlike(add_sharing: Any, folder: Path) -> None:
    batch = images(24, 96)
    file = add_sharing("judge")
    judge = make_engine("torch", 1).load(Catalogue.load(folder)["judge"])
    novelty = Novelty.fit(judge.features(batch))
    facts = JudgeFacts(
        Architecture=ArchitectureName.MOBILENET_V2,
        File=f"backbones/{file.name}",
        SHA256=sha256_of(file.read_bytes()),
        Precision="float32",
    )
    told = with_threshold(1.5).model_copy(update={"Judge": facts})
    add_sharing(
        "judged", architecture=ArchitectureName.RESNET50_V2, novelty=novelty, OutOfDistribution=told
    )
    add_sharing("bare", architecture=ArchitectureName.RESNET50_V2)
    catalogue, few = Catalogue.load(folder), batch[:3]
    assert catalogue["bare"].judge is catalogue["bare"]
    engine = Counting()
    ensemble = Ensemble(catalogue, engine)
    assert len(engine.loaded) == 2
    answers = ensemble.predict_together(("judged", "bare"), few)
    assert engine.passes == [3, 3]
    assert np.array_equal(answers["judged"].probabilities, answers["bare"].probabilities)
    assert answers["judged"].novelty is not None
    assert np.allclose(answers["judged"].novelty, novelty.score(judge.features(few)), rtol=1e-5)
    # Whoever runs the judge anyway runs it once.
    ensemble.predict_together(("judge", "judged"), few)
    assert engine.passes == [3, 3, 3, 3]
    converted = Ensemble(catalogue, "openvino", 1).predict("judged", few)
    assert converted.novelty is not None
    assert np.allclose(converted.novelty, answers["judged"].novelty, rtol=1e-3)


def test_a_head_is_the_same_alone(add_sharing: Any, folder: Path) -> None:
    add_sharing("a", "b")
    catalogue, batch = Catalogue.load(folder), images(2, 96)
    features = make_engine("torch", 1).load(catalogue["a"]).features(batch)
    together = Ensemble(catalogue, "torch", 1).predict_together(("a", "b"), batch)
    for name in ("a", "b"):
        alone = Head.of(catalogue[name]).answer(features).probabilities
        assert np.array_equal(alone, together[name].probabilities)
