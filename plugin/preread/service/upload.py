"""The DICOM files in a request: application/dicom, or the parts of multipart/related."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Final

from preread.service.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_PARTS: Final = 2000
"""Instances of a request; a series has rarely more."""

_LARGEST_HEAD: Final = 8192
_DICOM: Final = "application/dicom"
_BOUNDARY: Final = re.compile(r"[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]", flags=re.ASCII)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one body may take.

    Attributes
    ----------
    bytes
        Of all of it.
    seconds
        For all of it. The default has time for the largest body at 7 Mbit/s; a body holds one of
        few places, and one that trickles would hold it for as long as it likes.
    idle_seconds
        Without `idle_bytes`. Networks that lose packets pause for some seconds; who has gone never
        ends, and who means to hold a place sends next to nothing.
    idle_bytes
        That come in that time at least, unless the body ends: 70 kbit/s.
    """

    bytes: int = 512 * 1024**2
    seconds: float = 600.0
    idle_seconds: float = 30.0
    idle_bytes: int = 256 * 1024


async def body_of(chunks: AsyncIterator[bytes], declared: str, limits: UploadLimits) -> bytes:
    """Read a body, and no more than it may have, for no longer than it may take.

    Parameters
    ----------
    chunks
        Of the body.
    declared
        Content-Length, if there is one.
    limits
        What it may take.

    Raises
    ------
    ServiceError
        413, if there is more; 408, if it takes longer.
    """
    most = limits.bytes
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    body, pace = bytearray(), _Pace(limits)
    try:
        async with asyncio.timeout(limits.seconds):
            while (chunk := await _next(chunks, limits.idle_seconds)) is not None:
                body += chunk
                if len(body) > most:
                    raise _too_large(most)
                pace.check(len(body))
    except TimeoutError:
        raise ServiceError(
            408,
            f"expected the body within {limits.seconds:g} s, and {limits.idle_bytes} bytes of it "
            f"every {limits.idle_seconds:g} s; send fewer instances at once",
        ) from None
    return bytes(body)


class _Pace:
    """Tells a body that comes from one that only seems to."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._clock = asyncio.get_running_loop().time
        self._expect(0)

    def _expect(self, there: int) -> None:
        self._until = self._clock() + self._limits.idle_seconds
        self._enough = there + self._limits.idle_bytes

    def check(self, there: int) -> None:
        if self._clock() < self._until:
            return
        if there < self._enough:
            raise TimeoutError
        self._expect(there)


async def _next(chunks: AsyncIterator[bytes], patience: float) -> bytes | None:
    async with asyncio.timeout(patience):
        return await anext(chunks, None)


def files_of(content_type: str, body: bytes) -> list[bytes]:
    """Give the DICOM files of a body, in their order.

    Parameters
    ----------
    content_type
        ``application/dicom``, or ``multipart/related`` with a boundary (PS3.18 8.6.1).
    body
        As it was sent.

    Raises
    ------
    ServiceError
        415 for another type, 400 where there is no file or the parts cannot be told apart.
    """
    stated = Message()
    stated["Content-Type"] = content_type or "none/none"
    kind = stated.get_content_type()
    if kind == _DICOM:
        files = [body]
    elif kind == "multipart/related":
        boundary = str(stated.get_param("boundary", ""))
        if not _BOUNDARY.fullmatch(boundary):
            raise ServiceError(400, "Content-Type: expected a boundary of multipart/related")
        files = _parts(body, boundary.encode("ascii"))
    else:
        raise ServiceError(
            415, f'expected Content-Type {_DICOM}, or multipart/related; type="{_DICOM}"'
        )
    if not files or not all(files):
        raise ServiceError(400, "expected one DICOM instance or more, none of them empty")
    return files


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, MOST_PARTS + 1)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        if len(pieces) > MOST_PARTS + 1:
            raise ServiceError(413, f"at most {MOST_PARTS} instances are taken at once")
        raise ServiceError(400, "multipart/related: the body does not end with its boundary")
    return [_content(piece) for piece in pieces[1:-1]]


def _content(part: bytes) -> bytes:
    head, found, _ = part[:_LARGEST_HEAD].partition(b"\r\n\r\n")
    if not found:
        raise ServiceError(400, "multipart/related: a part has no end of its header")
    named = re.search(rb"(?i)^content-type:\s*([^\s;]+)", head, flags=re.MULTILINE)
    if named and named[1].lower() != _DICOM.encode():
        raise ServiceError(415, f"multipart/related: expected parts of type {_DICOM}")
    return part[len(head) + 4 :]


def _too_large(most: int) -> ServiceError:
    return ServiceError(413, f"expected at most {most} bytes; send fewer instances at once")
