"""What models said of images, as rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from sqlalchemy import delete
from sqlalchemy.orm import Session

from preread.findings.prediction import Prediction, Unlikeness
from preread.ledger.schema import JobRow, OutcomeRow


def replace(session: Session, job: JobRow, predictions: Sequence[Prediction]) -> None:
    """Write down what the models said of a job's image, in place of what they said before.

    Runs inside a transaction of the caller, who has locked the instance's row.
    """
    session.execute(delete(OutcomeRow).where(OutcomeRow.instance_id == job.instance_id))
    session.add_all(
        OutcomeRow(
            instance_id=job.instance_id,
            position=position,
            job_id=job.id,
            generation=job.generation,
            model=prediction.model,
            version=prediction.version,
            dataset=prediction.dataset,
            weights_sha256=prediction.weights_sha256,
            engine=prediction.engine,
            date=prediction.date.astimezone(UTC),
            classes=list(prediction.classes),
            probabilities=list(prediction.probabilities),
            frames=[list(frame) for frame in prediction.frames],
            novelty_score=prediction.unlikeness and prediction.unlikeness.score,
            novelty_threshold=prediction.unlikeness and prediction.unlikeness.threshold,
            backbone_sha256=prediction.backbone_sha256,
            withheld=prediction.withheld,
            warning=prediction.warning,
        )
        for position, prediction in enumerate(predictions)
    )


def reason_of(predictions: Sequence[Prediction]) -> str:
    """Say why no model gave an image a class; empty where one did."""
    if not predictions or not all(one.withheld for one in predictions):
        return ""
    return f"no class: {'; '.join(dict.fromkeys(one.withheld for one in predictions))}"


def shown(row: OutcomeRow) -> Prediction:
    """Return a row as it is handed out."""
    score, threshold = row.novelty_score, row.novelty_threshold
    return Prediction(
        model=row.model,
        version=row.version,
        dataset=row.dataset,
        weights_sha256=row.weights_sha256,
        classes=tuple(row.classes),
        probabilities=tuple(row.probabilities),
        frames=tuple(tuple(frame) for frame in row.frames),
        date=row.date,
        engine=row.engine,
        unlikeness=None if score is None or threshold is None else Unlikeness(score, threshold),
        backbone_sha256=row.backbone_sha256,
        withheld=row.withheld,
        warning=row.warning,
    )
