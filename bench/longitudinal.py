"""Whether patients, studies, references and intervals survive de-identification: eight checks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

Files = dict[str, Dataset]


def write_patients(folder: Path) -> None:
    """Write two images of a study, one of a later study that refers to them, and another patient's.

    The second patient has the first one's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, patient, study, date in (
        ("first", "HOSP-4711", "1.9.76543.11", dt.date(2019, 12, 27)),
        ("second", "HOSP-4711", "1.9.76543.11", dt.date(2019, 12, 27)),
        ("later", "HOSP-4711", "1.9.76543.12", dt.date(2020, 3, 2)),
        ("other", "HOSP-4712", "1.9.76543.13", dt.date(2020, 3, 2)),
    ):
        dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
        dataset.PatientID, dataset.PatientName = patient, "Doe^Jane"
        dataset.StudyInstanceUID = study
        dataset.SeriesInstanceUID = f"{study}.1"
        dataset.SOPInstanceUID = f"1.9.76543.5.{len(name)}.{ord(name[0])}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            setattr(dataset, keyword, date.strftime("%Y%m%d"))
        if name == "later":
            reference = Dataset()
            reference.ReferencedSOPClassUID = dataset.SOPClassUID
            reference.ReferencedSOPInstanceUID = f"1.9.76543.5.5.{ord('f')}"
            dataset.ReferencedImageSequence = [reference]
        dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)


def _day(dataset: Dataset) -> dt.date | None:
    text = str(dataset.get("StudyDate") or "")
    return dt.datetime.strptime(text, "%Y%m%d").date() if text else None  # noqa: DTZ007


def _days(one: Dataset, other: Dataset) -> int | None:
    before, after = _day(one), _day(other)
    return None if before is None or after is None else (after - before).days


def _is_pseudonym(text: object) -> bool:
    return bool(text) and str(text) not in {"HOSP-4711", "HOSP-4712"}


CHECKS: dict[str, Callable[[Files, Files], bool]] = {
    "one patient has one pseudonym": lambda run, _: (
        run["first"].PatientID == run["later"].PatientID and _is_pseudonym(run["first"].PatientID)
    ),
    "two patients have two": lambda run, _: run["first"].PatientID != run["other"].PatientID,
    "the same in another run": lambda run, again: (
        run["first"].PatientID == again["first"].PatientID and _is_pseudonym(run["first"].PatientID)
    ),
    "one study stays one": lambda run, _: (
        run["first"].StudyInstanceUID == run["second"].StudyInstanceUID
        and not run["first"].StudyInstanceUID.startswith("1.9.")
    ),
    "UIDs are the same in another run": lambda run, again: all(
        run[name][tag].value == again[name][tag].value and run[name][tag].value[:4] != "1.9."
        for name in run
        for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    ),
    "references lead to what they led to": lambda run, _: (
        run["later"].ReferencedImageSequence[0].ReferencedSOPInstanceUID
        == run["first"].SOPInstanceUID
    ),
    "intervals are kept": lambda run, _: (
        _days(run["first"], run["later"]) == 66 and _day(run["first"]) != dt.date(2019, 12, 27)
    ),
    "dates are the same in another run": lambda run, again: (
        _day(run["first"]) is not None and all(_day(run[name]) == _day(again[name]) for name in run)
    ),
}


def kept(folder: Path, again: Path) -> list[str]:
    """Return the checks that two runs over the same files pass."""
    runs: list[Files] = [
        {file.stem: dcmread(file) for file in sorted(each.glob("*.dcm"))}
        for each in (folder, again)
    ]
    found = []
    for name, check in CHECKS.items():
        try:
            if check(runs[0], runs[1]):
                found.append(name)
        except (KeyError, AttributeError, IndexError):
            continue
    return found
