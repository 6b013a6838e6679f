"""Storage commitment: what a sender is told of the images that it has sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from tests.integration.images import ct_series
from tests.integration.pacs import Pacs
from tests.integration.trixie import ON_TRIXIE, TrixiePacs
from tests.ports import free_port

NO_RUNNER: dict[str, Any] = {"Deidentify": {"Mode": "incoming"}, "Runner": {"Start": False}}
INSTANCE = "1.2.840.10008.1.20.1.1"
NO_SUCH, CONFLICT = 0x0112, 0x0119

Report = tuple[set[str], dict[str, int]]


class Sender:
    """A modality that asks, and takes the report that comes later.

    Attributes
    ----------
    orthanc
        What Orthanc's configuration must say of it.
    """

    def __init__(self) -> None:
        self._port = free_port()
        self._reports: Queue[Report] = Queue()
        self.orthanc = {"DicomModalities": {"scu": ["SCU", "127.0.0.1", self._port]}}

    @contextmanager
    def listening(self) -> Iterator[None]:
        entity = AE("SCU")
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        server = entity.start_server(
            ("127.0.0.1", self._port),
            block=False,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._take)],
        )
        assert server is not None
        yield
        server.shutdown()

    def _take(self, event: Any) -> tuple[int, None]:
        told = event.event_information
        stored = {
            str(one.ReferencedSOPInstanceUID) for one in told.get("ReferencedSOPSequence", [])
        }
        failed = {
            str(one.ReferencedSOPInstanceUID): int(one.FailureReason)
            for one in told.get("FailedSOPSequence", [])
        }
        self._reports.put((stored, failed))
        return 0, None

    def ask(self, pacs: Pacs, *objects: tuple[str, str]) -> Report:
        """Ask for objects by their classes and UIDs; wait for the report."""
        entity = AE("SCU")
        entity.add_requested_context(StorageCommitmentPushModel)
        association = entity.associate("127.0.0.1", pacs.dicom_port, ae_title="ORTHANC")
        request = Dataset()
        request.TransactionUID = generate_uid()
        request.ReferencedSOPSequence = []
        for sop_class, uid in objects:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            request.ReferencedSOPSequence.append(item)
        status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, INSTANCE)
        association.release()
        assert status.Status == 0
        return self._reports.get(timeout=60)


def sent(pacs: Pacs, folder: Path) -> list[tuple[str, str]]:
    files = ct_series(folder, 2).files
    pacs.send(files)
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    return [(str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in headers]


@pytest.mark.trixie
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sender_is_told_of_its_own_uids(
    make_trixie_pacs: Callable[..., TrixiePacs], tmp_path: Path
) -> None:
    sender = Sender()
    pacs = make_trixie_pacs(NO_RUNNER, configuration=sender.orthanc)
    pacs.start()
    first, second = sent(pacs, tmp_path / "ct")
    never = (first[0], generate_uid())
    other = ("1.2.840.10008.5.1.4.1.1.4", second[1])
    with sender.listening():
        stored, failed = sender.ask(pacs, first, never, other)
        assert stored == {first[1]}
        assert failed == {never[1]: NO_SUCH, second[1]: CONFLICT}
        for instance in pacs.instances():
            if pacs.get(f"/instances/{instance}")["MainDicomTags"]["InstanceNumber"] == "1":
                pacs.http.delete(f"/instances/{instance}")
        stored, failed = sender.ask(pacs, first, second)
        assert len(stored) == 1
        assert list(failed.values()) == [NO_SUCH]


@pytest.mark.skipif(ON_TRIXIE, reason="orthanc-python 5 can ask")
def test_where_orthanc_cannot_ask_us_nothing_is_committed(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    """Orthanc-python 4.0 has no such callback: the sender keeps what it has."""
    sender = Sender()
    pacs = make_pacs(NO_RUNNER, configuration=sender.orthanc).start()
    objects = sent(pacs, tmp_path / "ct")
    with sender.listening():
        stored, failed = sender.ask(pacs, *objects)
    assert not stored
    assert set(failed.values()) == {NO_SUCH}
