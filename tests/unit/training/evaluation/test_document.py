from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preread.training.evaluation.document import (
    Evaluation,
    evaluation_text,
    read_evaluation,
    write_evaluation,
)
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.measuring import measure
from tests.unit.training.evaluation.measured import evaluation, figures, run


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = evaluation(run(1), run(2, name="other"))
    path = write_evaluation(tmp_path, made)
    assert path.name == "evaluation.json"
    assert read_evaluation(path) == made
    assert evaluation_text(read_evaluation(path)) == path.read_text()
    # Points and rows are on one line each, so that a change of one figure is one line.
    assert "  [0.0, 0.0]" not in path.read_text()
    assert json.loads(path.read_text())["Runs"][0]["Models"][0]["Figures"]["Mistakes"][0]["True"]


def broken(text: str) -> list[tuple[str, str]]:
    told: dict[str, Any] = json.loads(text)

    def changed(**changes: Any) -> str:
        return json.dumps(told | changes)

    return [
        ("{", "evaluation.json: Invalid JSON"),
        (changed(Format=2), "evaluation.json: Format: Input should be 1"),
        (changed(Colour=1), "evaluation.json: Colour: Extra inputs are not permitted"),
        (changed(Runs=[]), "evaluation.json: Runs: Tuple should have at least 1 item"),
    ]


def test_what_is_none_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    with pytest.raises(EvaluationError, match=r"^evaluation.json: cannot be read \(No such file"):
        read_evaluation(path)
    for text, message in broken(evaluation_text(evaluation(run(1)))):
        path.write_text(text)
        with pytest.raises(EvaluationError) as raised:
            read_evaluation(path)
        assert str(raised.value).startswith(message)
        assert "\n" not in str(raised.value)


def test_curves_begin_and_end_where_they_must() -> None:
    for found in figures(3, count=400).Classes.values():
        assert (found.ROC[0], found.ROC[-1]) == ((0.0, 0.0), (1.0, 1.0))
        assert len(found.ROC) <= 100
        points = np.array(found.ROC)
        assert (np.diff(points, axis=0) >= 0).all()
        # The corners that are kept have the area that was measured.
        assert abs(np.trapezoid(points[:, 1], points[:, 0]) - (found.ROCAUC or 0)) < 0.005


def test_averages_and_mistakes_by_hand() -> None:
    rows = np.array([[0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    digests = [f"{number:064x}" for number in range(4)]
    found = measure(
        rows,
        np.array([0, 0, 1, 1]),
        np.array([0, 0, 1, 2]),
        classes=("A", "B", "C"),
        digests=digests,
        draws=0,
        seed=0,
        novel=np.array([True, False, False, False]),
    )
    assert (found.Images, found.Groups, found.OutOfDistribution) == (4, 3, 0.25)
    assert (found.Macro.Recall, found.Weighted.Recall) == (0.5, 0.5)
    assert (found.Macro.Precision, found.Macro.F1) == (0.5, 0.5)
    assert found.Classes["C"].Recall is None
    told = [(wrong.SHA256, wrong.True_, wrong.Answered) for wrong in found.Mistakes]
    assert told == [(digests[1], "A", "B"), (digests[3], "B", "A")]
    assert Evaluation.model_fields["Runs"].is_required()
