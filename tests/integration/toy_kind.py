"""A toy of another package: a reader, a writer of an object of its own, and a kind of work.

It finds how bright a series is, and where the brightest pixel of each frame lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, BasicTextSRStorage, ExplicitVRLittleEndian

from preread.findings.findings import Algorithm, Classification, Findings
from preread.findings.lesion import Lesion, Outline
from preread.results.belonging import copy_patient_and_study
from preread.runner.kinds.reading import reads_series

if TYPE_CHECKING:
    from preread.findings.reader import Facts, Placed
    from preread.results.writer import NewIdentity
    from preread.runner.parts import Parts

SQUARE = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


class Brightness:
    """Tells bright series from dark ones."""

    def obstacle(self, facts: Facts, /) -> str:
        return "" if facts.Modality == "CT" else "it is no CT"

    def read(self, frames: Iterable[Placed], /) -> Findings:
        lesions, means = [], []
        for number, (frame, _plane, _area) in enumerate(frames):
            row, column = np.unravel_index(frame.pixels.argmax(), frame.pixels.shape)
            line = SQUARE + np.array([column, row])
            lesions.append(Lesion((Outline(number, line, 1.0),), score=0.5))
            means.append(float(frame.pixels.mean()))
        bright = 1 / (1 + np.exp(-np.mean(means) / 1000)) if means else 0.5
        return Findings(
            Algorithm("toy", "1.0"),
            Classification(("bright", "dark"), (bright, 1 - bright)),
            tuple(lesions),
        )


class TextWriter:
    """Writes what was found as a Basic Text SR."""

    name = "text"

    def write(
        self, findings: Findings, sources: Sequence[Dataset], identity: NewIdentity, /
    ) -> Dataset | None:
        report = Dataset()
        report.file_meta = FileMetaDataset()
        report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
        report.file_meta.MediaStorageSOPInstanceUID = UID(identity.SOPInstanceUID)
        report.SOPClassUID = BasicTextSRStorage
        report.SOPInstanceUID = identity.SOPInstanceUID
        report.SeriesInstanceUID = identity.SeriesInstanceUID
        report.StudyInstanceUID = sources[0].StudyInstanceUID
        copy_patient_and_study(report, sources[0])
        report.Modality = "SR"
        report.SeriesDescription = "Toy, for research"
        report.InstanceNumber, report.SeriesNumber = 1, 1
        report.ContentDate = f"{identity.moment:%Y%m%d}"
        report.ContentTime = f"{identity.moment:%H%M%S}"
        report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
        assert findings.classification is not None
        words = Dataset()
        words.RelationshipType, words.ValueType = "CONTAINS", "TEXT"
        words.ConceptNameCodeSequence = [_code("121071", "Finding")]
        words.TextValue = (
            f"{findings.classification.likeliest}, {len(findings.lesions)} places on "
            f"{len(sources)} images"
        )
        report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
        report.ConceptNameCodeSequence = [_code("126000", "Imaging Measurement Report")]
        report.ContentSequence = [words]
        return report


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def made(_parts: Parts) -> tuple[Brightness, Sequence[TextWriter]]:
    return Brightness(), [TextWriter()]


KIND = reads_series("toy", made, status="Toy")
REVIEWED = reads_series("toy-reviewed", made, reviewed=True)
