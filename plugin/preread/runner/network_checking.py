"""The thread that looks at networks (IODeep) that have come: whether they can be run.

It runs beside Orthanc alone, where the journal is: of several runners each may have a models folder
of its own, and what one of them lacks must not be missing for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Self

import structlog

from preread.errors import PrereadError
from preread.iodeep.configured import limits
from preread.iodeep.iod import IODeep
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.validation import Validated, validate
from preread.ledger.errors import LedgerError
from preread.ledger.network import Network, NetworkDescription, NetworkState
from preread.ledger.networks import Networks
from preread.models.anatomy import body_parts
from preread.runner.meter import Meter
from preread.runner.network_objects import AnotherObjectError, NetworkObjects
from preread.runner.pacs import PacsFailedError, PacsUnreachableError

if TYPE_CHECKING:
    from preread.runner.pacs import Pacs
    from preread.settings import Site

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.1  # seconds between two looks at an empty register
_LONGEST_PAUSE = 1.0
_TROUBLE_PAUSE = 5.0
_LEASE = 300.0  # seconds; the largest network takes some
_FOLDER_EVERY = 10.0


class NetworkChecking:
    """Looks at one network after the other; no failure here is an image's.

    Parameters
    ----------
    register
        Where they stand.
    objects
        What they are kept as.
    validate
        `preread.iodeep.validation.validate` with its folder and limits.
    meter
        Takes note of trouble.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    def __init__(
        self,
        register: Networks,
        objects: NetworkObjects,
        validate: Callable[[IODeep], Validated],
        meter: Meter,
    ) -> None:
        self._register = register
        self._objects = objects
        self._validate = validate
        self._meter = meter
        self._looked = -_FOLDER_EVERY
        self._files: dict[str, str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="networks", daemon=True)
        # What another start may change: weights that lie there now, other limits.
        register.reconsider()

    @classmethod
    def of(cls, site: Site, register: Networks, pacs: Pacs, meter: Meter) -> Self:
        """Make one as the site's settings want it; see the class."""
        folder = site.models_folder
        return cls(
            register,
            NetworkObjects(pacs, folder),
            partial(
                validate,
                folder=WeightsFolder(folder),
                limits=limits(site.settings.iodeep.limits),
            ),
            meter,
        )

    @property
    def settled(self) -> bool:
        """Whether all have been looked at; never while that cannot be known."""
        try:
            waiting = self._register.counts()[NetworkState.RECEIVED]
        except LedgerError as error:
            self._meter.trouble(str(error))
            return False
        return self._files is not None and waiting == 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience: float) -> bool:
        """End the thread after the network in hand; False if that took too long."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping.wait(pause):
            try:
                if time.monotonic() - self._looked >= _FOLDER_EVERY:
                    self._looked = time.monotonic()
                    self.look_into_folder()
                pause = _SHORTEST_PAUSE if self.step() else min(1.5 * pause, _LONGEST_PAUSE)
            except (LedgerError, PacsUnreachableError, PacsFailedError) as error:
                self._meter.trouble(str(error))
                pause = _TROUBLE_PAUSE
            except Exception as error:  # noqa: BLE001 - no network may end the way of all others
                _log.error("unexpected", exc_info=error)
                self._meter.trouble(f"networks: unexpected {type(error).__name__}")
                pause = _TROUBLE_PAUSE

    def look_into_folder(self) -> None:
        """Bring the register in line with the files of the models folder, if they have changed."""
        files = self._objects.files()
        if files != self._files:
            self._register.keep_files(files)
            self._files = files

    def step(self) -> bool:
        """Look at the next network; False if none waits.

        Raises
        ------
        preread.runner.pacs.PacsError
            If Orthanc does not answer or fails; the network waits.
        """
        network = self._register.reserve(_LEASE)
        if network is None:
            return False
        try:
            opened = self._objects.read(network)
            described = describe(opened, self._validate(opened))
        except (PacsUnreachableError, PacsFailedError):
            self._register.release(network, _TROUBLE_PAUSE)
            raise
        except AnotherObjectError as error:
            self._refuse(network, str(error), untrusted=True)
        except PrereadError as error:
            self._refuse(network, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this network's
            _log.error("unexpected", network=network.id, exc_info=error)
            self._refuse(network, f"unexpected {type(error).__name__}; see the runner's log")
        else:
            self._register.accept(network, described)
            _log.info("network", network=network.id, DnnUID=described.DnnUID, state="valid")
        return True

    def _refuse(self, network: Network, reason: str, *, untrusted: bool = False) -> None:
        self._register.refuse(network, reason, untrusted=untrusted)
        _log.warning("network", network=network.id, reason=reason)
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
