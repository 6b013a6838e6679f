"""Processes that share the files out; one that dies costs the file it worked on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from preread import log
from preread.deidentify.folders.errors import WorkersError
from preread.deidentify.folders.one_file import (
    Engine,
    EngineDescription,
    Kind,
    Outcome,
    deidentify_file,
)

_AHEAD: Final = 32
"""Files that each process may be ahead of the first one that is not done yet."""
_MOST_DEATHS: Final = 3
"""Times that processes may die in a row without any file to blame."""
DIED: Final = "the process that worked on it died, of too little memory or of a defect"


@dataclass(frozen=True, slots=True)
class Task:
    """One file to de-identify.

    Attributes
    ----------
    source
        The file.
    target
        Where its result goes. It is there from the moment on that a process begins.
    """

    source: Path
    target: Path


class WorkerPool:
    """Processes that each have an engine of their own.

    Parameters
    ----------
    description
        Of the engine.
    jobs
        How many processes.
    """

    def __init__(self, description: EngineDescription, jobs: int) -> None:
        self._description = description
        self._jobs = jobs
        self._executor = self._processes(jobs)
        self._deaths = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    def outcomes(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
        """De-identify files, side by side, and tell of them in their order.

        Raises
        ------
        WorkersError
            If processes die that work on nothing.
        """
        waiting = deque(tasks)
        begun: deque[tuple[Task, Future[Outcome]]] = deque()
        while waiting or begun:
            try:
                while waiting and len(begun) < _AHEAD * self._jobs:
                    begun.append((waiting[0], self._executor.submit(_work, waiting[0])))
                    waiting.popleft()
                task, future = begun[0]
                outcome = future.result()
            except BrokenProcessPool:
                begun = self._mended(begun)
                continue
            begun.popleft()
            yield task, outcome

    def _processes(self, jobs: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), _begin, (self._description,)
        )

    def _mended(
        self, begun: deque[tuple[Task, Future[Outcome]]]
    ) -> deque[tuple[Task, Future[Outcome]]]:
        """Start new processes, and let each file that may have killed one have one of its own."""
        self._executor.shutdown(cancel_futures=True)
        lost = [task for task, future in begun if not _is_done(future)]
        suspects = {task for task in lost if task.target.exists()}
        self._deaths = 0 if suspects else self._deaths + 1
        if self._deaths > _MOST_DEATHS:
            raise WorkersError(
                "the processes that de-identify die before they begin a file; is there enough "
                "memory, and is the key file still there?"
            )
        alone = {task: self._alone(task) for task in suspects}
        self._executor = self._processes(self._jobs)
        mended: deque[tuple[Task, Future[Outcome]]] = deque()
        for task, future in begun:
            if task in alone:
                mended.append((task, alone[task]))
            elif _is_done(future):
                mended.append((task, future))
            else:
                mended.append((task, self._executor.submit(_work, task)))
        return mended

    def _alone(self, task: Task) -> Future[Outcome]:
        done: Future[Outcome] = Future()
        with self._processes(1) as executor:
            try:
                done.set_result(executor.submit(_work, task).result())
            except BrokenProcessPool:
                task.target.unlink(missing_ok=True)
                done.set_result(Outcome(Kind.FAILED, DIED))
        return done


def _is_done(future: Future[Outcome]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


_engine: Engine | None = None


def _begin(description: EngineDescription) -> None:
    """Make a process ready; called once in each."""
    global _engine  # noqa: PLW0603 - what a process holds for all its tasks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log.configure(None, console=True)
    _engine = Engine.build(description)


def _end_with_parent() -> None:
    """End with the process that gives the work, however that one ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Task) -> Outcome:
    if _engine is None:
        return Outcome(Kind.FAILED, "the process has no engine")
    return deidentify_file(task.source, task.target, _engine)
