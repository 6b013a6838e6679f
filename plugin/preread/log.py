"""The runner's log: JSON lines in a file that is rotated, plain lines for a person at a terminal.

Nothing identifying gets in. Events and their values are ours: words, counts, Orthanc's ids of
objects. Of an exception only its type and the places in the code are written, since its own words
may quote a data set; so may warnings and the logs of libraries, which are left out.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
import traceback
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog

from preread.errors import PrereadError, SettingsError

_LARGEST_FILE = 10 * 2**20  # bytes
_KEPT_FILES = 5
_NAME = "preread"

Event = MutableMapping[str, Any]


def configure(file: Path | None, console: bool) -> None:
    """Set up logging for this process; call it once, early.

    Parameters
    ----------
    file
        Where JSON lines go, made with mode 0600; rotated at 10 MiB, five old ones are kept.
    console
        Whether a person reads standard error.

    Raises
    ------
    SettingsError
        If the file cannot be written.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_words,
    ]
    handlers = [] if file is None else [_to_file(file)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logger = logging.getLogger(_NAME)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    if console:
        handlers.append(_to_console(sys.stderr))
    for handler in handlers:
        logger.addHandler(handler)
    _silence_others()


def _to_file(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        handler = logging.handlers.RotatingFileHandler(
            file, maxBytes=_LARGEST_FILE, backupCount=_KEPT_FILES, encoding="utf-8"
        )
    except OSError as error:
        raise SettingsError(
            f"Preread.Runner.LogFile: {file} cannot be written ({error.strerror})"
        ) from None
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer())
    )
    return handler


def _to_console(stream: TextIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    colours = stream.isatty()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0)
        )
    )
    return handler


def _silence_others() -> None:
    """Keep the words of libraries and of unforeseen errors out of everything that is kept."""
    root = logging.getLogger()
    root.handlers = [logging.NullHandler()]
    # A logger that had a handler of its own would still write to standard error.
    logging.getLogger("pydicom").handlers = []
    logging.lastResort = None
    warnings.simplefilter("ignore")
    sys.excepthook = lambda kind, _error, trace: _tell_uncaught(kind, trace)
    threading.excepthook = lambda args: _tell_uncaught(args.exc_type, args.exc_traceback)


def places(trace: TracebackType | None) -> list[str]:
    """Say where in the code an exception passed, the outermost place first."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(trace)
    ]


def _without_words(_logger: Any, _method: str, event: Event) -> Event:
    """Replace an exception by its type and places; only our own errors may say something."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["places"] = places(error.__traceback__)
        if isinstance(error, PrereadError):
            event["reason"] = str(error)
    return event


def _tell_uncaught(kind: type[BaseException], trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    thread = threading.current_thread().name
    structlog.get_logger(__name__).error(
        "uncaught", error=kind.__name__, places=places(trace), thread=thread
    )
