"""The runner as a process: its settings, its lock, and an orderly end."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from preread import log
from preread.archive.pacs import OrthancPacs
from preread.errors import PrereadError, SettingsError
from preread.runner.assembly import Assembly
from preread.runner.forward_only import forward_only
from preread.runner.lock import RunnerLock
from preread.settings import Site, site_from, site_from_file

_log = structlog.get_logger(__name__)

_PATIENCE = 20.0  # seconds for the batch in hand once the end was asked for
_PREDECESSOR = 30.0  # seconds in which a runner that lost its Orthanc has ended
_LARGEST_GREETING = 2**20
_TICK = 1.0


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the plugin tells the runner on standard input.

    Attributes
    ----------
    site
        The settings as Orthanc has them: it merges the files of a folder and names the folder
        that relative paths start from, neither of which is certain from outside.
    token
        An ``Authorization`` header.
    """

    site: Site
    token: str

    @classmethod
    def read(cls, stream: IO[bytes]) -> Greeting:
        """Read the first line of standard input.

        Raises
        ------
        SettingsError
            If it is something else.
        """
        try:
            told = json.loads(stream.readline(_LARGEST_GREETING))
            site = site_from(told["Configuration"], Path(told["Root"]))
            return cls(site, str(told["Token"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsError(
                "--attached: expected a line of JSON with Configuration, Root and Token on "
                "standard input; it is for Orthanc's use, leave it out"
            ) from None


class Ending:
    """Tells when the process is to end: a signal, or the end of standard input.

    Parameters
    ----------
    patience
        Seconds after which the process ends whatever it is doing.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.asked = threading.Event()

    def on_signals(self) -> None:
        """End at SIGTERM and SIGINT. For the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.asked.set())
        threading.Thread(target=self._last_resort, name="last-resort", daemon=True).start()

    def on_end_of(self, stream: IO[bytes]) -> None:
        """End when `stream` does: the Orthanc that holds its other end is gone."""

        def watch() -> None:
            # Not by the stream itself, whose lock the end of the interpreter would wait for.
            while os.read(stream.fileno(), 4096):
                pass
            self.asked.set()

        threading.Thread(target=watch, name="lifeline", daemon=True).start()

    def _last_resort(self) -> None:
        self.asked.wait()
        time.sleep(self._patience + 5.0)
        _log.error("ended by force")
        os._exit(0)


def run_attached(stream: IO[bytes]) -> int:
    """Be the runner of the Orthanc that started this process.

    Parameters
    ----------
    stream
        Standard input: a `Greeting`, then nothing until Orthanc ends.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    PrereadError
        If it cannot work.
    """
    greeting = Greeting.read(stream)
    ending = Ending(_PATIENCE)
    ending.on_end_of(stream)
    site = greeting.site
    with _pacs(site, token=greeting.token) as pacs:
        if not site.settings.runner.start:
            ending.on_signals()
            return forward_only(site, pacs, ending.asked)
        return _run(site, pacs, ending, attached=True, once=False)


def run_alone(configuration: Path, *, once: bool = False) -> int:
    """Be a runner that a person or a service started.

    Parameters
    ----------
    configuration
        Orthanc's configuration, a file or a folder.
    once
        End when there is nothing left to do.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    PrereadError
        If it cannot work.
    """
    site = site_from_file(configuration)
    with _pacs(site) as pacs:
        return _run(site, pacs, Ending(_PATIENCE), attached=False, once=once)


def _pacs(site: Site, token: str = "") -> OrthancPacs:
    runner = site.settings.runner
    return OrthancPacs(
        site.url,
        token=token,
        username=runner.username,
        password=runner.password,
        verify=site.url != site.local_url,
        caches_metadata=site.orthanc.dicom_web.enable_metadata_cache,
    )


def _run(site: Site, pacs: OrthancPacs, ending: Ending, *, attached: bool, once: bool) -> int:
    # A decoder that crashes leaves its Python stack, which names no data, on standard error.
    faulthandler.enable()
    log.configure(site.log_file, console=not attached)
    ending.on_signals()
    with RunnerLock(site.folder, site.settings.ledger.node) as lock:
        try:
            lock.acquire(_PREDECESSOR if attached else 0.0, ending.asked)
            return _work(site, pacs, lock.owner, ending, once=once)
        except PrereadError as error:
            if ending.asked.is_set():
                return 0
            if attached:  # nobody reads the line that is printed then
                _log.error("cannot run", reason=str(error))
            raise


def _work(site: Site, pacs: OrthancPacs, owner: str, ending: Ending, *, once: bool) -> int:
    assembly = Assembly(site, pacs, owner, once=once)
    try:
        assembly.start()
        while not ending.asked.is_set() and not assembly.pipeline.wait(_TICK):
            assembly.tell()
    finally:
        in_time = assembly.stop(_PATIENCE)
    failure = assembly.pipeline.failure
    _log.info("ended", asked=ending.asked.is_set(), in_time=in_time)
    if isinstance(failure, PrereadError):
        raise failure
    code = 0 if failure is None else 1
    if not in_time:
        # A thread that is still deep in a library would be torn down in the middle of it.
        os._exit(code)
    return code
