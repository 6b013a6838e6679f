"""What was found in a series in one line of a Basic Text SR (PS3.3 A.35.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, BasicTextSRStorage, ExplicitVRLittleEndian

from preread.results.belonging import copy_patient_and_study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.findings.findings import Findings
    from preread.results.writer import NewIdentity


class BriefReport:
    """Writes the likeliest class."""

    name = "brief"

    def write(
        self, findings: Findings, sources: Sequence[Dataset], identity: NewIdentity, /
    ) -> Dataset | None:
        """Make the report; None where no class is given."""
        if findings.classification is None:
            return None
        report = Dataset()
        report.file_meta = FileMetaDataset()
        report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
        report.file_meta.MediaStorageSOPInstanceUID = UID(identity.SOPInstanceUID)
        report.SOPClassUID, report.SOPInstanceUID = BasicTextSRStorage, identity.SOPInstanceUID
        report.SeriesInstanceUID = identity.SeriesInstanceUID
        report.StudyInstanceUID = sources[0].StudyInstanceUID
        copy_patient_and_study(report, sources[0])
        report.Modality, report.ValueType = "SR", "CONTAINER"
        words = Dataset()
        words.RelationshipType, words.ValueType = "CONTAINS", "TEXT"
        words.TextValue = str(findings.classification.likeliest)
        report.ContentSequence = [words]
        return report
