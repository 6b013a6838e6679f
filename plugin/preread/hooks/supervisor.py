"""Starts the runner, watches it, starts it again when it ends, and ends it with Orthanc.

The runner is started by the virtual environment's interpreter (``sys.executable`` is Orthanc
here). It gets its first line on standard input, and that pipe is also its lifeline: when Orthanc
dies, however it dies, the pipe closes and the runner ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from preread.hooks import log

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_HEALTHY_AFTER = 60.0
_PATIENCE = 25.0
_LARGEST_ERRORS = 2**20  # bytes


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """What the API tells of the runner's process."""

    pid: int | None
    starts: int
    last_exit_code: int | None
    next_start_in: float | None


def environment_of_child() -> dict[str, str]:
    """Return the environment without the settings of the interpreter inside Orthanc."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


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
        The file that takes its standard error: a crash of the interpreter leaves its trace there.
    """

    def __init__(
        self, command: list[str], greeting: Mapping[str, object], folder: Path, errors: Path
    ) -> None:
        self._command = command
        self._greeting = json.dumps(greeting).encode() + b"\n"
        self._folder = folder
        self._errors = errors
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._last_exit: int | None = None
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
            log.warning(
                f"the runner ended with exit code {self._last_exit}; "
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
                process = self._spawn(errors)
        except OSError as error:
            log.error(f"the runner cannot be started: {self._command[0]}: {error.strerror}")
            return
        self._process = process
        self._starts += 1
        log.info(f"the runner has started (pid {process.pid})")
        if self._stopping.is_set():
            self._end(process)
        self._last_exit = process.wait()
        self._process = None
        if process.stdin is not None:
            process.stdin.close()

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
