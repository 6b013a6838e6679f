"""Orthanc as the runner needs it: fetch a file, ask whether it is there, store, delete.

`Pacs` is the contract; `OrthancPacs` keeps it over HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from preread.archive.metadata_cache import MetadataCache
from preread.errors import PrereadError

_PATIENCE = httpx.Timeout(60.0, connect=5.0)
_PER_MEBIBYTE = 10.0  # seconds more for what is stored: Orthanc parses it, and may be busy
_KEPT_ALIVE = 0.8  # seconds; Orthanc closes a connection that was idle for one
_TRIES = 4
_FIRST_PAUSE = 0.1  # seconds
_LONGEST_PAUSE = 2.0
_JITTER = 0.1
_LARGEST_MESSAGE = 300


# Orthanc would compress each image on its own time: some 40 ms for a CT, on the same machine.
_NOT_PACKED = {"Accept-Encoding": "identity"}


class PacsError(PrereadError):
    """Orthanc did not do what was asked."""


class PacsUnreachableError(PacsError):
    """Orthanc did not answer, or denied access: this says nothing about the image in hand."""


class PacsFailedError(PacsError):
    """Orthanc answered 5xx, more than once where the call may be repeated."""


class PacsRefusedError(PacsError):
    """Orthanc answered that it will not do this, or something that it never answers."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The file is stored.

    Attributes
    ----------
    instance
        Orthanc's id.
    """

    instance: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An instance of the same UIDs was stored before, and Orthanc kept that one as it is.

    Attributes
    ----------
    instance
        Orthanc's id.
    """

    instance: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """The receive hook discarded the file: a newer arrival or a deletion overtook it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The file was not taken.

    Attributes
    ----------
    reason
        Why, free of identifiers.
    """

    reason: str


StoreOutcome = Stored | Kept | Superseded | Refused


class Pacs(Protocol):
    """What the runner asks of the image archive.

    Every method raises a `PacsError`: `PacsUnreachableError` when there is no answer or access is
    denied, `PacsFailedError` for a 5xx and `PacsRefusedError` for any other answer that is no
    success.
    """

    def answers(self) -> bool:
        """Tell whether the archive can be reached and lets us in; never raises."""
        ...

    def file(self, instance: str) -> bytes | None:
        """Return the whole file of an instance by Orthanc's id; None if it is not there."""
        ...

    def exists(self, instance: str) -> bool:
        """Tell whether an instance is stored."""
        ...

    def announce(self, announcement: Mapping[str, object]) -> None:
        """Tell the receive hook what will be stored next."""
        ...

    def store(self, data: bytes) -> StoreOutcome:
        """Store a DICOM file."""
        ...

    def delete(self, instance: str) -> bool:
        """Delete an instance; False if it was not there."""
        ...

    def json(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON that a path answers to GET."""
        ...


class OrthancPacs:
    """Orthanc (1.10.1 and later) over HTTP, on kept-alive connections. Safe to use by threads.

    Calls that change nothing, and those that may be repeated, are tried again when the connection
    fails or Orthanc answers 5xx; storing is not, because only the caller can tell what a second
    store means.

    Parameters
    ----------
    url
        Such as ``http://127.0.0.1:8042``.
    token
        An ``Authorization`` header, as Orthanc gives it to its plugins. It goes before `username`.
    username, password
        Of an Orthanc user.
    verify
        Whether the certificate must be one that this machine trusts; on the loopback Orthanc's own
        will do.
    transport
        In place of the network.
    tries
        How often a call that may be repeated is tried.
    caches_metadata
        Whether DICOMweb may keep the metadata of series; see `MetadataCache`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        username: str = "",
        password: str = "",
        verify: bool = True,
        transport: httpx.BaseTransport | None = None,
        tries: int = _TRIES,
        caches_metadata: bool = False,
    ) -> None:
        # One line per request is no news, and would fill the log.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        basic = httpx.BasicAuth(username, password) if username and not token else None
        self._client = httpx.Client(
            base_url=url,
            headers=_NOT_PACKED | ({"Authorization": token} if token else {}),
            auth=basic,
            timeout=_PATIENCE,
            limits=httpx.Limits(max_keepalive_connections=8, keepalive_expiry=_KEPT_ALIVE),
            verify=verify,
            transport=transport,
            # A proxy from the environment has no place between the runner and its Orthanc.
            trust_env=False,
        )
        self._metadata = MetadataCache(self, enabled=caches_metadata)
        self._retrying = Retrying(
            retry=retry_if_exception_type((PacsUnreachableError, PacsFailedError)),
            stop=stop_after_attempt(tries),
            wait=wait_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE)
            + wait_random(0, _JITTER),
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._metadata.close()
        self._client.close()

    def answers(self) -> bool:
        """Tell whether Orthanc can be reached and lets us in."""
        try:
            _accepted(self._send("GET", "/system"))
        except PacsError:
            return False
        return True

    def file(self, instance: str) -> bytes | None:
        """Return the whole file of an instance by Orthanc's id; None if it is not there."""
        answer = self._repeatable("GET", f"/instances/{instance}/file", missing=True)
        return None if answer.status_code == httpx.codes.NOT_FOUND else answer.content

    def exists(self, instance: str) -> bool:
        """Tell whether an instance is stored."""
        answer = self._repeatable("GET", f"/instances/{instance}", missing=True)
        return answer.status_code != httpx.codes.NOT_FOUND

    def announce(self, announcement: Mapping[str, object]) -> None:
        """Tell the receive hook what will be stored next."""
        self._repeatable("POST", "/preread/announcements", json=dict(announcement))

    def delete(self, instance: str) -> bool:
        """Delete an instance; False if it was not there."""
        return self.delete_path(f"/instances/{instance}")

    def delete_path(self, path: str) -> bool:
        """Delete what lies at a path; False if there was nothing."""
        answer = self._repeatable("DELETE", path, missing=True)
        return answer.status_code != httpx.codes.NOT_FOUND

    def plugin_version(self, name: str) -> str | None:
        """Return the version of one of Orthanc's plugins; None if it is not loaded."""
        answer = self._repeatable("GET", f"/plugins/{name}", missing=True)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return str(self._body(answer).get("Version", ""))

    def store(self, data: bytes) -> StoreOutcome:
        """Store a DICOM file; Orthanc is asked once."""
        return self.upload("/instances", data, "application/dicom")

    def upload(
        self, path: str, data: bytes, content_type: str, query: Mapping[str, str] | None = None
    ) -> StoreOutcome:
        """Post a file to a path that answers as ``/instances`` does.

        Parameters
        ----------
        path
            ``/instances``, or ``/preread/images`` for pictures.
        data
            The file.
        content_type
            Its media type.
        query
            Parameters behind the path.

        Returns
        -------
        StoreOutcome
            `Refused` for every 4xx but a denied access.
        """
        patience = 60.0 + _PER_MEBIBYTE * len(data) / 2**20
        answer = self._send(
            "POST",
            path,
            content=data,
            headers={"Content-Type": content_type},
            params=query,
            timeout=httpx.Timeout(patience, connect=5.0),
        )
        if not answer.is_success:
            return Refused(_told(answer))
        try:
            body = answer.json()
            instance, status = str(body.get("ID", "")), str(body.get("Status", ""))
            series = str(body.get("ParentSeries", ""))
        except (ValueError, AttributeError):
            raise PacsRefusedError(
                f"POST {path}: expected Orthanc's JSON; is the URL that of Orthanc?"
            ) from None
        if status == "AlreadyStored":
            return Kept(instance)
        if not instance:
            return Superseded()
        # Before anybody is told: whoever asks over DICOMweb from now on gets what is stored.
        self._metadata.forget(series)
        return Stored(instance)

    def json(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON that a path answers to GET.

        Raises
        ------
        PacsError
            If there is no such answer.
        """
        return self._body(self._repeatable("GET", path, params=query))

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """POST a JSON object or nothing, once, and return the JSON of the answer.

        Raises
        ------
        PacsError
            If there is no such answer.
        """
        request = {} if body is None else {"json": dict(body)}
        return self._body(_accepted(self._send("POST", path, **request)))

    @staticmethod
    def _body(answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise PacsRefusedError(
                f"{answer.request.method} {answer.request.url.path}: expected JSON; "
                "is the URL that of an Orthanc with Preread?"
            ) from None

    def _repeatable(
        self, method: str, path: str, *, missing: bool = False, **request: Any
    ) -> httpx.Response:
        answer = self._retrying(self._send, method, path, **request)
        if missing and answer.status_code == httpx.codes.NOT_FOUND:
            return answer
        return _accepted(answer)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise PacsUnreachableError(
                f"{method} {_route(path)}: Orthanc does not answer at "
                f"{self._client.base_url.netloc.decode()} ({type(error).__name__})"
            ) from None
        if answer.is_server_error:
            raise PacsFailedError(f"{method} {_route(path)}: {_told(answer)}")
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise PacsUnreachableError(
                f"Orthanc denies access (HTTP {answer.status_code}); check Preread.Runner.Username "
                "and Password, RegisteredUsers and RemoteAccessAllowed"
            )
        return answer


def _accepted(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        request = answer.request
        raise PacsRefusedError(f"{request.method} {_route(request.url.path)}: {_told(answer)}")
    return answer


def _route(path: str) -> str:
    """Name a path without the ids in it: a reason is kept and shown."""
    return "/".join("{id}" if part.count("-") == 4 else part for part in path.split("/"))


def _told(answer: httpx.Response) -> str:
    """Quote the message of Orthanc's error JSON, bounded; it speaks of Orthanc, not of data."""
    words = ""
    try:
        body = answer.json()
        if isinstance(body, dict):
            parts = [str(body.get(key) or "") for key in ("Message", "Details")]
            words = ": ".join(part for part in parts if part)
    except ValueError:
        words = ""
    quoted = f" ({words[:_LARGEST_MESSAGE]})" if words else ""
    # What the receive hook refuses is no DICOM file to Orthanc; the hook's reason stands there.
    where = "; GET /preread/failures may tell why" if "invalid DICOM file" in words else ""
    return f"Orthanc answers HTTP {answer.status_code}{quoted}{where}"
