"""A pipeline on a table: real ledger and real stages, stand-ins for Orthanc and networks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from preread.archive.announcing import Announcer
from preread.elements import Header, read_header, resource_ids
from preread.findings.prediction import Prediction, Unlikeness
from preread.imaging import Preprocessing, open_image
from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.job import Job
from preread.ledger.sql import SqlLedger
from preread.models.card import Applicability, BackboneFacts, InputKind, ModelCard
from preread.models.catalogue import Catalogue
from preread.models.head import Answer
from preread.models.model import Model
from preread.runner.answers import Wishes, no_wishes
from preread.runner.meter import Meter
from preread.runner.pipeline import Pace, Pipeline, Stations
from preread.runner.reading import Decoder, Reader
from preread.runner.writing import Writer
from preread.sections import OutsideInput
from preread.settings import Mode, Placement
from tests.unit.runner.archive import KEY, Archive

SMALL = Preprocessing(size=(32, 32))
LARGE = Preprocessing(size=(48, 48))


def ct(
    number: int, *, frames: int = 1, level: int = 0, study: str = "2.25.3", missing: int = 0
) -> bytes:
    """Make a small CT file; frame f shows `level` + f everywhere, `missing` bytes are not there."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(f"2.25.1{number}")
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"2.25.1{number}"
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = "2.25.2"
    dataset.PatientID = "pseudonym"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.WindowCenter = 50
    dataset.WindowWidth = 101
    if frames > 1:
        dataset.NumberOfFrames = frames
    planes = [np.full((16, 16), level + frame, dtype="<i2") for frame in range(frames)]
    dataset.PixelData = np.stack(planes).tobytes()[: frames * 512 - missing]
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def arrival_of(data: bytes, models: Sequence[str], **changes: Any) -> Arrival:
    header = read_header(data)
    ids = resource_ids(
        header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
    )
    fields: dict[str, Any] = {
        **ids._asdict(),
        "SOPInstanceUID": header.SOPInstanceUID,
        "SeriesInstanceUID": header.SeriesInstanceUID,
        "StudyInstanceUID": header.StudyInstanceUID,
        "SOPClassUID": header.SOPClassUID,
        "Modality": "CT",
        "models": tuple(models),
        "fingerprint": "f" * 64,
        "reason": "",
        "body_parts": (),
        "work": True,
    }
    return Arrival(**(fields | changes))


class Networks:
    """Stands in for the ensemble: tells how bright a frame is, so that rows can be told apart."""

    def __init__(self, catalogue: Catalogue, batch_hint: int = 1) -> None:
        self._catalogue = catalogue
        self.batch_hint = batch_hint
        self.batches: list[tuple[str, int]] = []
        self.on_predict: Callable[[NDArray[np.float32]], None] = lambda _batch: None
        self.novelty: Callable[[NDArray[np.float64]], Any] = lambda _bright: None

    engine = "stand-in"

    def predict_together(
        self, models: Sequence[str], batch: NDArray[np.float32], /
    ) -> dict[str, Answer]:
        for model in models:
            assert batch.shape[1:] == self._catalogue[model].card.Preprocessing.shape
        self.on_predict(batch)
        self.batches.append(("+".join(models), len(batch)))
        bright = ((batch.mean(axis=(1, 2, 3)) + 1) / 2).astype(np.float64)
        answer = Answer(np.stack([bright, 1 - bright], axis=1), self.novelty(bright))
        return dict.fromkeys(models, answer)

    def prediction(
        self,
        model: str,
        frames: Sequence[Sequence[float]],
        novelty: Sequence[float],
        date: datetime,
        /,
    ) -> Prediction:
        card = self._catalogue[model].card
        mean = np.asarray(frames).mean(axis=0)
        return Prediction(
            model=card.Name,
            version="1.0.0",
            dataset="Generated",
            weights_sha256="0" * 64,
            classes=card.Classes,
            probabilities=tuple(mean.tolist()),
            frames=tuple(tuple(row) for row in frames),
            date=date,
            engine=self.engine,
            unlikeness=Unlikeness(float(np.mean(novelty)), 1.0) if len(novelty) else None,
        )

    def withheld(self, model: str, reason: str, date: datetime, /) -> Prediction:
        return replace(self.prediction(model, [(0.5, 0.5)], (), date), withheld=reason)


class Doubling:
    """A de-identification that is easy to recognise."""

    class Done:
        def __init__(self, data: bytes) -> None:
            dataset = pydicom.dcmread(BytesIO(data))
            self.SOPInstanceUID = str(dataset.SOPInstanceUID)
            if not self.SOPInstanceUID.startswith("2.25.9"):
                self.SOPInstanceUID = "2.25.9" + self.SOPInstanceUID.removeprefix("2.25.")
                dataset.SOPInstanceUID = self.SOPInstanceUID
                dataset.file_meta.MediaStorageSOPInstanceUID = UID(self.SOPInstanceUID)
                dataset.StudyInstanceUID = "2.25.93"
                dataset.SeriesInstanceUID = "2.25.92"
            buffer = BytesIO()
            pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
            self.data = buffer.getvalue()

    def __init__(self) -> None:
        self.made_elsewhere: set[str] = set()

    def deidentify(self, data: bytes, /) -> Done:
        return self.Done(data)

    def has_made(self, header: Header, /) -> bool:
        return header.SOPInstanceUID not in self.made_elsewhere


class Derived:
    def derived_uid(self, uid: str, purpose: str, /) -> str:
        return f"{uid}.7"


def catalogue_of(
    kind: InputKind = InputKind.HOUNSFIELD, /, **preprocessings: Preprocessing
) -> Catalogue:
    def card(name: str, preprocessing: Preprocessing) -> ModelCard:
        # What the runner does not ask of a card is left out.
        facts: dict[str, Any] = {
            "Name": name,
            "Version": "1.0.0",
            "Input": kind,
            "Preprocessing": preprocessing,
            "AppliesTo": Applicability(Modality=("CT",)),
            "Classes": ("Bright", "Dark"),
            "WeightsSHA256": "0" * 64,
            "Backbone": BackboneFacts(
                File="backbones/one.onnx", SHA256="0" * 64, Precision="float32"
            ),
        }
        return ModelCard.model_construct(**facts)

    return Catalogue(Model(name, card(name, how), Path()) for name, how in preprocessings.items())


class Bench:
    """A pipeline with everything it needs, on a real ledger and an archive in memory."""

    def __init__(self, folder: Path, **ledger: Any) -> None:
        self.archive = Archive()
        self.folder = folder
        self._ledger_options: dict[str, Any] = {"max_attempts": 3, "backoff_seconds": 0.05} | ledger
        self.ledger = SqlLedger(f"sqlite:///{folder / 'ledger.sqlite'}", **self._ledger_options)
        self.catalogue = catalogue_of(small=SMALL, large=LARGE)
        self.networks = Networks(self.catalogue)
        self.meter = Meter(folder / "runner.json")
        self.doubling = Doubling()
        self.mode, self.placement = Mode.INCOMING, Placement.IN_PLACE
        self.outside = OutsideInput.WITHHOLD
        self.wishes: Wishes = no_wishes
        self.pipelines: list[Pipeline] = []
        self._seq = 0

    def use(self, catalogue: Catalogue) -> None:
        """Read with other models."""
        self.catalogue = catalogue
        self.networks = Networks(catalogue)

    def arrive(
        self, data: bytes, models: Sequence[str] = ("small", "large"), **changes: Any
    ) -> str:
        instance, generation = self.archive.arrive(data)
        self._event(EventKind.STORED, instance, generation, arrival_of(data, models, **changes))
        return instance

    def delete(self, instance: str) -> None:
        generation = (self.archive.generations[instance] or 0) + 1
        self.archive.remove(instance)
        self._event(EventKind.DELETED, instance, generation, None)

    def _event(
        self, kind: EventKind, instance: str, generation: int, arrival: Arrival | None
    ) -> None:
        self._seq += 1
        now = datetime.now(UTC)
        self.ledger.apply("journal", [Event(self._seq, kind, instance, generation, now, arrival)])

    def pipeline(self, owner: str = "runner", *, once: bool = True, **pace: Any) -> Pipeline:
        stations = Stations(
            ledger=self.ledger,
            pacs=self.archive,
            decoder=Decoder(self.catalogue, partial(open_image, max_bytes=2**24), self.outside),
            reader=Reader(self.catalogue, self.networks),
            writer=Writer(
                self.archive,
                Announcer(KEY),
                mode=self.mode,
                placement=self.placement,
                deidentifier=self.doubling,
                uids=Derived(),
            ),
            meter=self.meter,
            wishes=self.wishes,
        )
        drained = (lambda: True) if once else None
        made = Pipeline(owner, stations, Pace(drained=drained, **pace), threading.Event())
        self.pipelines.append(made)
        return made

    def run(self, **pace: Any) -> Pipeline:
        """Read all there is, then end."""
        pipeline = self.pipeline(**pace)
        pipeline.start()
        assert pipeline.wait(30), self.ledger.jobs()
        assert pipeline.join(10)
        return pipeline

    def job(self, instance: str) -> Job:
        return next(job for job in self.ledger.jobs() if job.instance == instance)

    def states(self) -> dict[str, int]:
        return {str(state): count for state, count in self.ledger.counts().items() if count}

    def close(self) -> None:
        for pipeline in self.pipelines:
            pipeline.stop()
            pipeline.join(5)
        self.ledger.close()


def eventually(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
    return value
