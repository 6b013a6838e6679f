"""De-identify a folder of files with one tool, and say what CPU time that took.

Run by the Python that has the tool: ``python run.py TOOL JOB``, where JOB is a JSON file with the
folders ``source`` and ``target``, and what the tool needs. Prints one line of JSON: the CPU seconds
of this process from the first file to the last, read and written, and which files failed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Work = Callable[[Path, Path], None]
WARM = 5


def pydicom(_: dict[str, Any]) -> Work:
    """Read and write, no more."""
    from pydicom import dcmread

    return lambda source, target: dcmread(source).save_as(target)


def preread(job: dict[str, Any]) -> Work:
    from preread.deidentify import Deidentifier, DeidentifyOptions, Option, Secret

    options = frozenset(Option(name) for name in job["options"])
    engine = Deidentifier(Secret(bytes(range(32))), DeidentifyOptions(options=options))

    def work(source: Path, target: Path) -> None:
        done = engine.deidentify(source.read_bytes())
        with target.open("wb") as file:
            file.writelines(done.parts)

    return work


def dicom_anonymizer(_: dict[str, Any]) -> Work:
    from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file

    return lambda source, target: anonymize_dicom_file(str(source), str(target))


def dicognito(_: dict[str, Any]) -> Work:
    from dicognito.anonymizer import Anonymizer
    from pydicom import dcmread

    anonymizer = Anonymizer(seed="the same in each run")

    def work(source: Path, target: Path) -> None:
        dataset = dcmread(source)
        anonymizer.anonymize(dataset)
        dataset.save_as(target)

    return work


def deid(job: dict[str, Any]) -> Work:
    """With functions as its manual shows them: hashes, the same in each run, and without a key."""
    from deid.config import DeidRecipe
    from deid.dicom import replace_identifiers

    def uid(item: Any, value: Any, field: Any, dicom: Any) -> str:  # noqa: ARG001
        digest = hashlib.sha256(str(field.element.value).encode()).digest()
        return f"2.25.{int.from_bytes(digest[:15], 'big')}"

    def pseudonym(item: Any, value: Any, field: Any, dicom: Any) -> str:  # noqa: ARG001
        return hashlib.sha256(str(field.element.value).encode()).hexdigest()[:16]

    recipe = DeidRecipe(job["recipe"])

    def work(source: Path, target: Path) -> None:
        (done,) = replace_identifiers(
            [str(source)],
            deid=recipe,
            ids={str(source): {"uid": uid, "pseudonym": pseudonym}},
            save=False,
            remove_private=True,
        )
        done.preamble = bytes(128)
        done.save_as(target)

    return work


TOOLS = {
    "pydicom": pydicom,
    "preread": preread,
    "dicom-anonymizer": dicom_anonymizer,
    "dicognito": dicognito,
    "deid": deid,
}


def main() -> None:
    job = json.loads(Path(sys.argv[2]).read_text())
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    work = TOOLS[sys.argv[1]](job)
    target = Path(job["target"])
    target.mkdir(parents=True, exist_ok=True)
    files = sorted(Path(job["source"]).glob("*.dcm"))
    failed = {}
    for file in files[:WARM] if job.get("warm") else ():
        work(file, target / file.name)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for file in files:
        try:
            work(file, target / file.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a tool's fault is a result
            failed[file.name] = f"{type(error).__name__}: {error}"[:120]
            (target / file.name).unlink(missing_ok=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    sys.stdout.write("\n" + json.dumps({"cpu": cpu, "failed": failed}) + "\n")


if __name__ == "__main__":
    main()
