"""What a runner says before it ends, in one line on standard error: Orthanc shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from preread.errors import PrereadError
from preread.log import places

_log = structlog.get_logger(__name__)


class RunnerEndedError(PrereadError):
    """A runner cannot go on."""


@contextmanager
def last_words() -> Iterator[None]:
    """Turn every error into one of our own, whose words hold nothing that identifies.

    Raises
    ------
    PrereadError
        For any error in the block.
    """
    try:
        yield
    except PrereadError:
        raise
    except ImportError as error:
        # It names modules and libraries alone.
        raise RunnerEndedError(
            f"a package of the runner cannot be imported: {error}; install it anew"
        ) from None
    except MemoryError:
        raise RunnerEndedError("there is no memory for the runner; give it more") from None
    except Exception as error:  # noqa: BLE001 - it ends the process all the same
        _log.error("unexpected", exc_info=error)
        where = places(error.__traceback__)[-1:]
        raise RunnerEndedError(
            f"unexpected {type(error).__name__} ({', '.join(where)}); report it"
        ) from None
