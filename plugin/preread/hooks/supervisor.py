"""Starts the runner, watches it, starts it again when it ends, and ends it with Orthanc.

The runner is started by the virtual environment's interpreter (``sys.executable`` is Orthanc
here). It gets its first line on standard input, and that pipe is also its lifeline: when Orthanc
dies, however it dies, the pipe closes and the runner ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from preread.hooks import log
from preread.hooks.heartbeat import Heartbeat

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_HEALTHY_AFTER = 60.0
_PATIENCE = 25.0
_LAST_CHANCE = 5.0
_LOOK_EVERY = 1.0
_LONGEST_WORDS = 16 * 1024  # bytes
_LONGEST_REASON = 500
_SPEAKER = "preread: "
_LARGEST_ERRORS = 2**20  # bytes


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """What the API tells of the runner's process."""

    pid: int | None
    starts: int
    last_exit_code: int | None
    last_exit_reason: str
    next_start_in: float | None


def environment_of_child() -> dict[str, str]:
    """Return the environment without the settings of the interpreter inside Orthanc."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def reason_of(code: int, said: str) -> str:
    r"""Say why a runner ended.

    Only a line that the runner wrote for this is quoted: others may hold anything.

    >>> reason_of(1, "Traceback: ...\npreread: the key is missing\n")
    'the key is missing'
    >>> reason_of(-9, "")
    'it was ended by SIGKILL; the system does so where memory is short'
    """
    lines = [line for line in said.splitlines() if line.startswith(_SPEAKER)]
    if lines:
        return lines[-1].removeprefix(_SPEAKER)[:_LONGEST_REASON]
    if code >= 0:
        return "it gave no reason"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    short = "; the system does so where memory is short" if -code == signal.SIGKILL else ""
    return f"it was ended by {name}{short}"


class Supervisor:
    """Keeps one runner alive.

    Parameters
    ----------
    command
        The runner's command line; the first word is an absolute path.
    greeting
        Written to its standard input as one line of JSON; secrets travel here, never in the
        environment or in the arguments.
    folder
        Its working folder.
    errors
        The file that takes its standard error: its last words, or the trace of a crash.
    status
        The file that it writes every second.
    silence
        Seconds without that after which it is ended and another one started.
    """

    def __init__(
        self,
        command: list[str],
        greeting: Mapping[str, object],
        folder: Path,
        errors: Path,
        status: Path,
        silence: float,
    ) -> None:
        self._command = command
        self._greeting = json.dumps(greeting).encode() + b"\n"
        self._folder = folder
        self._errors = errors
        self._status = status
        self._silence = silence
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._last_exit: int | None = None
        self._last_reason = ""
        self._next_start: float | None = None
        self._thread = threading.Thread(target=self._watch, name="preread-supervisor", daemon=True)

    def start(self) -> None:
        """Start the runner and the thread that watches it."""
        self._thread.start()

    def stop(self) -> None:
        """End the runner: its lifeline is closed, then it is asked, then it is ended."""
        self._stopping.set()
        process = self._process
        if process is not None:
            self._end(process)
        self._thread.join(timeout=5)

    @property
    def state(self) -> SupervisorState:
        """The runner's process as it is now."""
        process = self._process
        due = self._next_start
        return SupervisorState(
            pid=process.pid if process is not None else None,
            starts=self._starts,
            last_exit_code=self._last_exit,
            last_exit_reason=self._last_reason,
            next_start_in=max(0.0, due - time.monotonic()) if due is not None else None,
        )

    def _watch(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _HEALTHY_AFTER:
                pause = _FIRST_PAUSE
            log.error(
                f"the runner ended with exit code {self._last_exit}: {self._last_reason}; "
                f"it starts again in {pause:.0f} s (its log: {self._errors.name} and runner.log)"
            )
            self._next_start = time.monotonic() + pause
            self._stopping.wait(pause)
            self._next_start = None
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _run_once(self) -> None:
        try:
            self._rotate()
            with self._errors.open("ab") as errors:
                said_before = errors.tell()
                process = self._spawn(errors)
        except OSError as error:
            self._last_reason = f"{self._command[0]} cannot be started: {error.strerror}"
            log.error(f"the runner cannot be started: {self._command[0]}: {error.strerror}")
            return
        self._process = process
        self._starts += 1
        log.info(f"the runner has started (pid {process.pid})")
        if self._stopping.is_set():
            self._end(process)
        hung = self._outlived(process)
        self._last_exit = process.wait()
        self._process = None
        if process.stdin is not None:
            process.stdin.close()
        self._last_reason = hung or reason_of(self._last_exit, self._said(said_before))

    def _outlived(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end of a runner, and end it if it hangs; return why, empty if it did not."""
        heartbeat = Heartbeat(self._status, self._silence)
        while not self._exited(process, _LOOK_EVERY):
            if self._stopping.is_set() or not heartbeat.has_stopped():
                continue
            reason = f"it gave no sign of life for {self._silence:.0f} s or more and was ended"
            log.error(f"the runner hangs: {reason}")
            process.terminate()
            if not self._exited(process, _LAST_CHANCE):
                process.kill()
            return reason
        return ""

    def _said(self, offset: int) -> str:
        """Return what a runner wrote to standard error, at most the end of it."""
        try:
            with self._errors.open("rb") as file:
                length = file.seek(0, os.SEEK_END)
                file.seek(max(offset, length - _LONGEST_WORDS))
                return file.read(_LONGEST_WORDS).decode("utf-8", "replace")
        except OSError as error:
            return f"preread: {self._errors.name} cannot be read ({error.strerror})"

    def _rotate(self) -> None:
        """Keep one former file of errors: C libraries may write a great deal."""
        if self._errors.exists() and self._errors.stat().st_size > _LARGEST_ERRORS:
            self._errors.replace(self._errors.with_suffix(".err.old"))

    def _spawn(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=self._folder,
            env=environment_of_child(),
        )
        if process.stdin is not None:
            try:
                process.stdin.write(self._greeting)
                process.stdin.flush()
            except BrokenPipeError:
                log.warning("the runner ended before it read its settings")
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                log.info("the runner had closed its standard input already")
        for signal_it, patience in ((process.terminate, _PATIENCE), (process.kill, 5.0)):
            if self._exited(process, 0.2):
                return
            signal_it()
            if self._exited(process, patience):
                return

    @staticmethod
    def _exited(process: subprocess.Popen[bytes], patience: float) -> bool:
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            return False
        return True
