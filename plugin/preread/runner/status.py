"""What the runner tells of itself: a small JSON file that the plugin's API shows.

Cheap to import: Orthanc's own process reads it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE_NAME = "runner.json"
FORWARDER = "forwarder.json"
"""Of the process beside Orthanc where the runner is elsewhere."""
_LARGEST = 64 * 1024
_STAGES = ("Fetch", "Decode", "Infer", "Store")


@dataclass(slots=True)
class RunnerStatus:
    """How a runner fares; written about once a second, replaced as a whole.

    Attributes
    ----------
    pid
        Of the process.
    started, updated
        When it started and when this was written, UTC.
    engine
        What carries out the networks' arithmetic; empty while the networks are being loaded.
    models
        Names of the models that are loaded.
    images_read
        Images whose result was stored and acknowledged since the start.
    images_failed
        Tries that ended in an error since the start.
    in_hand
        Images that are reserved now.
    seconds
        Time that each stage has spent working since the start; stages overlap, so that their sum
        may pass the time that has gone by.
    last_error
        The reason of the latest failure, free of identifiers; empty if there was none.
    last_error_at
        When that was.
    """

    pid: int = field(default_factory=os.getpid)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    engine: str = ""
    models: tuple[str, ...] = ()
    images_read: int = 0
    images_failed: int = 0
    in_hand: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGES, 0.0))
    last_error: str = ""
    last_error_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "Pid": self.pid,
            "Started": self.started.isoformat(),
            "Updated": self.updated.isoformat(),
            "Engine": self.engine,
            "Models": list(self.models),
            "ImagesRead": self.images_read,
            "ImagesFailed": self.images_failed,
            "InHand": self.in_hand,
            "Seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            "LastError": self.last_error,
            "LastErrorAt": None if self.last_error_at is None else self.last_error_at.isoformat(),
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> RunnerStatus:
        """Read what `to_json` made.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        error_at = told["LastErrorAt"]
        return cls(
            pid=int(told["Pid"]),
            started=datetime.fromisoformat(told["Started"]),
            updated=datetime.fromisoformat(told["Updated"]),
            engine=str(told["Engine"]),
            models=tuple(str(name) for name in told["Models"]),
            images_read=int(told["ImagesRead"]),
            images_failed=int(told["ImagesFailed"]),
            in_hand=int(told["InHand"]),
            seconds={str(stage): float(spent) for stage, spent in told["Seconds"].items()},
            last_error=str(told["LastError"]),
            last_error_at=None if error_at is None else datetime.fromisoformat(error_at),
        )

    def write(self, path: Path) -> None:
        """Replace the file in one step, so that a reader never sees half of it.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        self.updated = datetime.now(UTC)
        beside = path.with_name(f".{path.name}.{self.pid}")
        beside.write_text(json.dumps(self.to_json()), encoding="utf-8")
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> RunnerStatus | None:
        """Return what a runner last wrote; None if there is nothing or it cannot be understood."""
        try:
            with path.open("rb") as file:
                told = json.loads(file.read(_LARGEST))
            return cls.from_json(told)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
