"""What became of the images that were sent, as the API and a DICOMweb client tell it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from dicomweb_client.api import DICOMwebClient

from preread.demo.errors import DemoError
from preread.results.reading import ModelResult, read_block

_POLL_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 300.0
_RUNNER_STARTS: Final = 4
_MOST_JOBS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the ledger says that an image ended.

    Attributes
    ----------
    number
        The job's; later jobs have higher ones.
    state
        ``done``, ``unread``, ``failed`` or ``superseded``.
    reason
        Why it is not done.
    """

    number: int
    state: str
    reason: str
    StudyInstanceUID: str
    SOPInstanceUID: str


@dataclass(frozen=True, slots=True)
class Image:
    """One image as WADO-RS describes it.

    Attributes
    ----------
    results
        From its private block, in the order of the models; empty if nothing was read.
    """

    PatientID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    Modality: str
    InstanceNumber: int
    results: tuple[ModelResult, ...]


def status(orthanc: httpx.Client) -> dict[str, Any]:
    """Return ``GET /preread/status``.

    Raises
    ------
    DemoError
        If it cannot be had.
    """
    return dict(_get(orthanc, "/preread/status"))


def outcomes(orthanc: httpx.Client, after: int = 0) -> list[Outcome]:
    """Return how images ended, the latest changed first, from ``GET /preread/jobs``.

    Parameters
    ----------
    orthanc
        Its base URL is the root of the REST API.
    after
        Only jobs whose number is above this one.

    Raises
    ------
    DemoError
        If it cannot be had.
    """
    return [
        Outcome(
            job["ID"], job["State"], job["Reason"], job["StudyInstanceUID"], job["SOPInstanceUID"]
        )
        for job in _get(orthanc, f"/preread/jobs?limit={_MOST_JOBS}")
        if job["ID"] > after
    ]


def wait_until_read(orthanc: httpx.Client, left: Callable[[int], None] = lambda _: None) -> None:
    """Wait until nothing is on its way any more.

    Parameters
    ----------
    orthanc
        Its base URL is the root of the REST API.
    left
        Called a few times a second with the number of images still to be read.

    Raises
    ------
    DemoError
        If the runner does not stay alive, or nothing moves for five minutes.
    """
    last, moved = -1, time.monotonic()
    while True:
        now = status(orthanc)
        journal, jobs = now["Journal"], now["Jobs"]
        open_jobs = journal["Arriving"] + journal["Waiting"] + jobs["pending"] + jobs["running"]
        left(open_jobs)
        if open_jobs == 0:
            return
        if open_jobs != last:
            last, moved = open_jobs, time.monotonic()
        runner = now["Runner"]
        if (runner["Starts"] or 0) >= _RUNNER_STARTS:
            raise DemoError(
                f"the runner ended {runner['Starts'] - 1} times (exit code "
                f"{runner['LastExitCode']}): see runner.err and runner.log in the storage folder"
            )
        if time.monotonic() - moved > _PATIENCE_SECONDS:
            raise DemoError(
                f"{open_jobs} images are still not read and nothing moved for "
                f"{_PATIENCE_SECONDS:.0f} s: see runner.log in the storage folder"
            )
        time.sleep(_POLL_SECONDS)


def images(dicomweb: DICOMwebClient, studies: Iterable[str]) -> Iterator[Image]:
    """Find studies by QIDO-RS and read all their images' metadata by WADO-RS.

    Parameters
    ----------
    dicomweb
        Any server that has them.
    studies
        Their StudyInstanceUIDs.

    Yields
    ------
    Image
        In the order in which the server gives them.

    Raises
    ------
    DemoError
        If the server does not answer.
    """
    for uid in studies:
        try:
            found = dicomweb.search_for_studies(search_filters={"StudyInstanceUID": uid})
            described = dicomweb.retrieve_study_metadata(uid) if found else []
        except OSError as error:  # what the requests that it builds on raises
            raise DemoError(
                f"{dicomweb.base_url} does not answer as DICOMweb does ({type(error).__name__})"
            ) from None
        yield from map(_image, described)


def _image(metadata: Mapping[str, Any]) -> Image:
    def text(tag: str) -> str:
        values = metadata.get(tag, {}).get("Value") or [""]
        return str(values[0])

    number = text("00200013")
    return Image(
        PatientID=text("00100020"),
        StudyInstanceUID=text("0020000D"),
        SeriesInstanceUID=text("0020000E"),
        SOPInstanceUID=text("00080018"),
        Modality=text("00080060"),
        InstanceNumber=int(number) if number.isdecimal() else 0,
        results=read_block(metadata, skip=lambda _: None),
    )


def _get(orthanc: httpx.Client, path: str) -> Any:
    try:
        answer = orthanc.get(path)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise DemoError(f"GET {path} failed ({type(error).__name__})") from None
