"""Sending networks to an archive: by STOW-RS, or by C-STORE."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, NamedTuple

from preread.errors import PrereadError, SettingsError

if TYPE_CHECKING:
    from pydicom import Dataset

_PATIENCE: Final = 60.0  # seconds
_COERCED: Final = 0xB000
_LARGEST_PORT: Final = 65535


class NotSentError(PrereadError):
    """A network was not taken, or by nobody."""


class Peer(NamedTuple):
    """Who takes objects by C-STORE."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Read ``AET@HOST:PORT``.

        Raises
        ------
        SettingsError
            If it is something else.

        Examples
        --------
        >>> Peer.parse("ORTHANC@127.0.0.1:4242")
        Peer(title='ORTHANC', host='127.0.0.1', port=4242)
        """
        title, _, place = text.partition("@")
        host, _, port = place.rpartition(":")
        if not title or not host or not port.isdecimal() or not 0 < int(port) <= _LARGEST_PORT:
            raise SettingsError("--peer: expected AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242")
        return cls(title, host, int(port))


def stow(
    data: bytes, url: str, *, username: str = "", password: str = "", verify: bool = True
) -> None:
    """Store a file by STOW-RS.

    Parameters
    ----------
    data
        The file.
    url
        Of the DICOMweb service, such as ``http://127.0.0.1:8042/dicom-web``.
    username, password
        If the service wants them.
    verify
        Whether the certificate must be one that this machine trusts.

    Raises
    ------
    NotSentError
        If it was not stored.
    """
    from dicomweb_client.api import DICOMwebClient  # noqa: PLC0415 - not needed for help
    from dicomweb_client.session_utils import (  # noqa: PLC0415
        create_session,
        create_session_from_user_pass,
    )

    session = create_session_from_user_pass(username, password) if username else create_session()
    session.verify = verify
    session.trust_env = False
    client = DICOMwebClient(url, session=session)
    client.set_http_retry_params(retry=False)  # who waits is told at once
    try:
        answer = client.store_instances([_dataset(data)])
    except OSError as error:  # what the requests that it builds on raises
        status = getattr(getattr(error, "response", None), "status_code", None)
        told = f"HTTP {status}" if status else type(error).__name__
        raise NotSentError(f"STOW-RS to {url}: {told}") from None
    if answer.get("FailedSOPSequence") or not answer.get("ReferencedSOPSequence"):
        raise NotSentError(f"STOW-RS to {url}: it was not stored")


def store(data: bytes, peer: Peer, title: str) -> bool:
    """Store a file by C-STORE.

    Parameters
    ----------
    data
        The file.
    peer
        Who takes it.
    title
        The AE title that it comes from.

    Returns
    -------
    bool
        Whether it is stored as it is; False if the peer answers that elements were coerced, as
        Preread does for networks from AE titles that it does not trust.

    Raises
    ------
    NotSentError
        If it was not stored.
    """
    from pynetdicom import AE  # noqa: PLC0415 - not needed for help

    dataset = _dataset(data)
    entity = AE(ae_title=title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _PATIENCE
    kind = dataset.file_meta.MediaStorageSOPClassUID
    entity.add_requested_context(kind, dataset.file_meta.TransferSyntaxUID)
    where = f"C-STORE to {peer.title}@{peer.host}:{peer.port}"
    if dataset.SOPClassUID != kind:
        raise NotSentError(
            f"{where}: SOPClassUID is not that of the file, as the prototype writes it; use STOW-RS"
        )
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        raise NotSentError(f"{where}: no association")
    try:
        answer = association.send_c_store(dataset)
    except ValueError:
        raise NotSentError(f"{where}: the peer does not take Raw Data") from None
    finally:
        association.release()
    status = int(answer.Status) if "Status" in answer else None
    if status not in (0, _COERCED):
        told = "no answer" if status is None else f"status 0x{status:04X}"
        raise NotSentError(f"{where}: {told}")
    return status == 0


def _dataset(data: bytes) -> Dataset:
    from pydicom import dcmread  # noqa: PLC0415 - not needed for help

    return dcmread(io.BytesIO(data))
