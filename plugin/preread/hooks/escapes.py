"""Deletes what Orthanc has stored past the receive hook, and raises the alarm.

OnStored only notes it. A thread of its own does the rest over HTTP: the SDK's REST functions would
deadlock while senders are being served.
"""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime, timedelta

import httpx

from preread.deidentify.escaped import take_out
from preread.deidentify.quarantine import Quarantine
from preread.errors import PrereadError
from preread.hooks import log
from preread.hooks.failures import Failures
from preread.ledger.watch import GRACE, Watch, moment_of

_FIRST_PAUSE = 0.2  # seconds
_TRIES_TO_KEEP = 3  # within about a second; then it goes, whatever becomes of its file
_SIGN_EVERY = GRACE / 2
_PATIENCE = 60.0


class OrthancError(PrereadError):
    """Orthanc did not do over HTTP what its own plugin asked."""


class LocalOrthanc:
    """Orthanc itself over HTTP, for calls that no callback may make.

    Parameters
    ----------
    url
        Where it answers on this machine.
    token
        An ``Authorization`` header.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def file(self, instance: str) -> bytes | None:
        """Return a stored file; None if it is not there."""
        answer = self._ask("GET", f"/instances/{instance}/file")
        return None if answer is None else answer.content

    def delete(self, instance: str) -> bool:
        """Delete an instance; False if it was not there."""
        return self._ask("DELETE", f"/instances/{instance}") is not None

    def received(self, instance: str) -> datetime | None:
        """Return when an instance was stored, UTC; None if it is not there."""
        answer = self._ask("GET", f"/instances/{instance}/metadata/ReceptionDate")
        return None if answer is None else moment_of(answer.text)

    def _ask(self, method: str, path: str) -> httpx.Response | None:
        try:
            answer = httpx.request(
                method,
                self._url + path,
                headers={"Authorization": self._token},
                timeout=_PATIENCE,
                verify=False,  # noqa: S501 - this machine's own loopback
                trust_env=False,  # a proxy has no place between Orthanc and itself
            )
        except httpx.HTTPError as error:
            raise OrthancError(f"Orthanc does not answer ({type(error).__name__})") from None
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise OrthancError(f"Orthanc answers HTTP {answer.status_code}")
        return answer


class Escapes:
    """What has escaped and is still in Orthanc.

    Parameters
    ----------
    archive
        This Orthanc.
    quarantined
        Where the files go.
    failures
        Where the alarm stands.
    watch
        Learns every few seconds that the hooks are at work.
    """

    def __init__(
        self, archive: LocalOrthanc, quarantined: Quarantine, failures: Failures, watch: Watch
    ) -> None:
        self._archive = archive
        self._quarantined = quarantined
        self._failures = failures
        self._watch = watch
        watch.begin()
        # Orthanc counts in whole seconds.
        self._since = datetime.now(UTC) - timedelta(seconds=1)
        self._found: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="preread-escapes", daemon=True)

    def start(self) -> None:
        """Start the thread: Orthanc answers from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is left is found by the runner's comparison."""
        self._stopping.set()
        self._found.put(None)
        self._sign_of_life(ends=True)

    def add(self, instance: str, origin: str) -> None:
        """Note an instance that has escaped; fit for a callback.

        Parameters
        ----------
        instance
            Orthanc's id.
        origin
            How it came.
        """
        self._found.put((instance, origin))
        log.error(f"an object from {origin} was stored past de-identification; it is deleted now")

    def _run(self) -> None:
        pause, tries = _FIRST_PAUSE, 0
        while not self._stopping.is_set():
            self._sign_of_life()
            try:
                found = self._found.get(timeout=_SIGN_EVERY)
            except queue.Empty:
                continue
            if found is None or self._taken_out(*found, must_keep=tries < _TRIES_TO_KEEP):
                pause, tries = _FIRST_PAUSE, 0
                continue
            tries += 1
            self._found.put(found)
            self._stopping.wait(pause)
            pause = min(2 * pause, _SIGN_EVERY)

    def _sign_of_life(self, *, ends: bool = False) -> None:
        try:
            self._watch.go_on(ends=ends)
        except PrereadError as error:
            log.error(f"the time until which the hooks work is not written down: {error}")

    def _taken_out(self, instance: str, origin: str, *, must_keep: bool) -> bool:
        try:
            stored = self._archive.received(instance)
            # With OverwriteInstances false an older file stays in the place of what came.
            if stored is None or stored < self._since:
                return True
            told = take_out(self._archive, instance, self._quarantined, origin, must_keep=must_keep)
        except PrereadError as error:
            log.error(f"an object that escaped is not deleted yet, it is tried again: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - the next one must have its turn
            log.error(f"an object that escaped is not deleted yet: {type(error).__name__}")
            return False
        if told is not None:
            self._failures.escaped(origin, told)
        return True
