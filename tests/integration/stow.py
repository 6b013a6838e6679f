"""STOW-RS requests with parts that are refused, and what is answered."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import generate_uid

from tests.integration.images import plant, real_ct
from tests.integration.pacs import Pacs

FAILED, REFERENCED, REASON = "00081198", "00081199", "00081197"
SOP_INSTANCE = "00081155"


@dataclass(frozen=True)
class Part:
    """A file, and the SOPInstanceUID that it has."""

    data: bytes
    uid: str


def part(change: Callable[[Dataset], None] = lambda _: None, *, planted: bool = True) -> Part:
    """Return a CT of its own, after a change."""
    dataset = real_ct()
    if planted:
        plant(dataset)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    change(dataset)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=False)
    return Part(file.getvalue(), str(dataset.get("SOPInstanceUID", "")))


def repeating() -> Part:
    """Return a part whose SOPInstanceUID is its SOPClassUID: never stored, but well formed."""
    return part(lambda dataset: setattr(dataset, "SOPInstanceUID", dataset.SOPClassUID))


def of_no_known_class() -> Part:
    """Return a part whose SOPClassUID is no UID."""
    return part(lambda dataset: setattr(dataset, "SOPClassUID", "1.2.x"))


def nested(depth: int = 35) -> Part:
    """Return a part whose sequences are nested deeper than we take, and Orthanc bears."""

    def change(dataset: Dataset) -> None:
        inner = dataset
        for _ in range(depth):
            outer = Dataset()
            outer.CodeValue = "1"
            inner.AnatomicRegionSequence = [outer]
            inner = outer

    return part(change)


def of_a_long_patient() -> Part:
    """Return a part whose PatientID is longer than what Orthanc reads."""

    def change(dataset: Dataset) -> None:
        dataset["PatientID"].validation_mode = 0
        dataset["PatientID"].value = "7" * 300

    return part(change)


def cut() -> Part:
    """Return a part that ends within its pixel data."""
    whole = part()
    return Part(whole.data[:-3000], whole.uid)


@dataclass(frozen=True)
class Told:
    """What a request was answered."""

    status: int
    stored: list[str]
    failed: dict[str, int]


def stow(pacs: Pacs, parts: Sequence[Part]) -> Told:
    """Store parts in one request."""
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + each.data + b"\r\n" for each in parts) + f"--{boundary}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    answer = pacs.http.post(
        "/dicom-web/studies",
        content=body,
        headers={"Content-Type": kind, "Accept": "application/dicom+json"},
    )
    told = answer.json()

    def items(tag: str) -> list[dict[str, dict[str, list[str]]]]:
        return list(told.get(tag, {}).get("Value", []))

    return Told(
        answer.status_code,
        [item[SOP_INSTANCE]["Value"][0] for item in items(REFERENCED)],
        {item[SOP_INSTANCE]["Value"][0]: int(item[REASON]["Value"][0]) for item in items(FAILED)},
    )


def arrangements(make: Callable[[], Part]) -> list[list[Part | None]]:
    """Return lists with a refused part alone, first, in the middle, last; None is a good one."""
    return [[make()], [make(), None], [None, make(), None], [None, make()]]
