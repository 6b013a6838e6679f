"""The thread that looks at networks (IODeep) that have come: whether they can be run.

It runs beside Orthanc alone, where the journal is: of several runners each may have a models folder
of its own, and what one of them lacks must not be missing for all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import structlog

from preread.archive.pacs import PacsError, PacsFailedError
from preread.errors import PrereadError
from preread.iodeep.configured import limits
from preread.iodeep.iod import IODeep
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.validation import Validated, validate
from preread.ledger.network import Network, NetworkDescription
from preread.ledger.network_checks import NetworkChecks
from preread.ledger.networks import Networks
from preread.models.anatomy import body_parts
from preread.runner.meter import Meter
from preread.runner.network_objects import AnotherObjectError, NetworkObjects
from preread.runner.queue_worker import TROUBLE_PAUSE, QueueWorker

if TYPE_CHECKING:
    from preread.archive.pacs import Pacs
    from preread.ledger.sql import SqlLedger
    from preread.settings import Site

_log = structlog.get_logger(__name__)

_LEASE: Final = 300.0  # seconds; the largest network takes some
_FOLDER_EVERY: Final = 10.0


class NetworkChecking(QueueWorker[NetworkChecks, Network, NetworkDescription]):
    """Looks at one network after the other; no failure here is an image's.

    Parameters
    ----------
    queue
        Those that nobody has looked at.
    register
        Where they all stand.
    objects
        What they are kept as.
    validate
        `preread.iodeep.validation.validate` with its folder and limits.
    owner
        What this runner calls itself. What a predecessor of this name still holds is taken back.
    meter
        Takes note of trouble.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    not_done = "network"

    def __init__(
        self,
        queue: NetworkChecks,
        register: Networks,
        objects: NetworkObjects,
        validate: Callable[[IODeep], Validated],
        owner: str,
        meter: Meter,
    ) -> None:
        super().__init__(queue, owner, meter, "networks", lease=_LEASE, every=_FOLDER_EVERY)
        self._register = register
        self._objects = objects
        self._validate = validate
        self._files: dict[str, str] | None = None
        # What another start may change: weights that lie there now, other limits.
        register.reconsider()

    @classmethod
    def of(cls, site: Site, ledger: SqlLedger, pacs: Pacs, owner: str, meter: Meter) -> Self:
        """Make one as the site's settings want it; see the class."""
        folder = site.models_folder
        return cls(
            ledger.network_checks,
            ledger.networks,
            NetworkObjects(pacs, folder),
            partial(
                validate,
                folder=WeightsFolder(folder),
                limits=limits(site.settings.iodeep.limits),
            ),
            owner,
            meter,
        )

    @property
    def settled(self) -> bool:
        """Whether all have been looked at; never while that cannot be known."""
        return self._files is not None and super().settled

    def withdraw(self) -> None:
        """Do what is done now and then: see whether files came to the models folder or left it."""
        self.look_into_folder()

    def look_into_folder(self) -> None:
        """Bring the register in line with the files of the models folder, if they have changed."""
        files = self._objects.files()
        if files != self._files:
            self._register.keep_files(files)
            self._files = files

    def _make(self, lent: Network) -> NetworkDescription:
        opened = self._objects.read(lent)
        return describe(opened, self._validate(opened))

    def _write_down(self, lent: Network, outcome: NetworkDescription) -> None:
        self._queue.accept(lent, outcome)
        _log.info("network", **self._named(lent), DnnUID=outcome.DnnUID, state="valid")

    def _out_of_reach(self, lent: Network, error: PacsError) -> float:
        """Have it wait; whoever called `step` is told, and the thread pauses."""
        self._queue.release(lent, TROUBLE_PAUSE)
        raise error

    def _failed(self, lent: Network, error: Exception) -> None:
        if isinstance(error, PacsFailedError):
            self._out_of_reach(lent, error)
        reason = str(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", **self._named(lent), exc_info=error)
            reason = f"unexpected {type(error).__name__}; see the runner's log"
        self._queue.refuse(lent, reason, untrusted=isinstance(error, AnotherObjectError))
        _log.warning("network", **self._named(lent), reason=reason)
        self._meter.trouble(f"a network (IODeep): {reason}")


def describe(network: IODeep, validated: Validated) -> NetworkDescription:
    """Give what the register keeps of a network."""
    return NetworkDescription(
        DnnUID=network.DnnUID,
        DnnName=network.DnnName,
        Modality=network.Modality,
        BodyPartExamined=network.BodyPartExamined,
        SamplesPerPixel=network.SamplesPerPixel,
        PhotometricInterpretation=network.PhotometricInterpretation,
        Rows=network.Rows,
        Columns=network.Columns,
        Description=network.Description,
        Layout=network.layout.value,
        body_parts=body_parts(network.BodyPartExamined, (), ""),
        created="" if network.created is None else network.created.isoformat(),
        parameters=validated.architecture.parameters,
        weights_sha256=validated.contents.sha256,
    )
