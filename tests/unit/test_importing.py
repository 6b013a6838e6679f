"""Which files are sent, and how."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import pytest

from preread.archive.pacs import OrthancPacs, PacsUnreachableError
from preread.importing import Kind, NotImportedError, Source, is_wanted, kind_of, send, sources

DICOM = b"\0" * 128 + b"DICM" + b"\0" * 100
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "b/2.dcm": b"no preamble",
        "b/1": DICOM,
        "a.png": PNG,
        "c.jpg": JPEG,
        "notes.txt": b"hello",
        "DICOMDIR": DICOM,
        ".hidden": DICOM,
        ".git/x": DICOM,
        "empty": b"",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_of_a_folder_the_images_are_sent(folder: Path) -> None:
    wanted = [source.path for source in sources([folder]) if is_wanted(source)]
    assert [str(path.relative_to(folder)) for path in wanted] == [
        "a.png",
        "c.jpg",
        "b/1",
        "b/2.dcm",
    ]


def test_what_is_named_is_sent_whatever_it_is(folder: Path) -> None:
    assert is_wanted(Source(folder / "notes.txt", named=True))
    assert not is_wanted(Source(folder / "notes.txt", named=False))


def test_a_file_is_known_by_its_first_bytes(folder: Path) -> None:
    assert kind_of(folder / "b/1") is Kind.DICOM
    assert kind_of(folder / "a.png") is Kind.PNG
    assert kind_of(folder / "c.jpg") is Kind.JPEG
    assert kind_of(folder / "empty") is Kind.OTHER
    with pytest.raises(NotImportedError, match="cannot be read"):
        kind_of(folder / "missing")


def orthanc(
    answer: httpx.Response | Exception, seen: list[httpx.Request] | None = None
) -> OrthancPacs:
    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return OrthancPacs("http://orthanc", transport=httpx.MockTransport(handle))


def test_dicom_is_sent_as_it_is(folder: Path) -> None:
    seen: list[httpx.Request] = []
    pacs = orthanc(httpx.Response(200, json={"ID": "i", "Status": "Success"}), seen)
    assert send(pacs, folder / "b/1", {"Modality": "CT"}) == "i"
    assert seen[0].url.path == "/instances"
    assert seen[0].content == DICOM


def test_a_picture_is_sent_with_its_attributes(folder: Path) -> None:
    seen: list[httpx.Request] = []
    pacs = orthanc(httpx.Response(200, json={"ID": "i", "Status": "Success"}), seen)
    assert send(pacs, folder / "a.png", {"Modality": "CT"}) == "i"
    assert seen[0].url.path == "/preread/images"
    body = json.loads(seen[0].content)
    assert body["Tags"] == {"Modality": "CT"}
    head, content = body["Content"].split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == PNG


def test_what_is_stored_already_is_no_failure(folder: Path) -> None:
    pacs = orthanc(httpx.Response(200, json={"ID": "i", "Status": "AlreadyStored"}))
    assert send(pacs, folder / "b/1", {}) == "i"


def test_what_is_held_for_a_look_at_its_pixels_is_no_failure(folder: Path) -> None:
    pacs = orthanc(httpx.Response(200, json={"ID": "", "Status": "FilteredOut"}))
    assert send(pacs, folder / "b/1", {}) == ""
    pacs = orthanc(httpx.Response(202, json={"Status": "Held"}))
    assert send(pacs, folder / "a.png", {}) == ""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(400, json={"Message": "Bad file format"}), "Bad file format"),
        (httpx.Response(500), "HTTP 500"),
        (httpx.Response(200, text="hello"), "is the URL that of"),
    ],
)
def test_what_is_refused_is_told_with_its_file(
    folder: Path, answer: httpx.Response, words: str
) -> None:
    with pytest.raises(NotImportedError, match=f"b/1: .*{words}"):
        send(orthanc(answer), folder / "b/1", {})


def test_nobody_to_take_it_ends_it_all(folder: Path) -> None:
    with pytest.raises(PacsUnreachableError):
        send(orthanc(httpx.ConnectError("refused")), folder / "b/1", {})
