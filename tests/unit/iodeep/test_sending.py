"""``preread iodeep sign``, ``push`` and ``list``; the way to a real Orthanc is tested elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from typer.testing import CliRunner, Result

from preread.cli import app
from preread.errors import PrereadError, SettingsError
from preread.iodeep.iod import RAW_DATA_STORAGE
from preread.iodeep.reading import decode
from preread.iodeep.sending import Peer
from preread.iodeep.writing import encode
from tests.unit.iodeep.conftest import Build, Make


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["iodeep", *map(str, arguments)])


@pytest.fixture
def network(make: Make, tmp_path: Path) -> Path:
    file = tmp_path / "network.dcm"
    file.write_bytes(encode(make()))
    return file


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "site.key"
    file.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return file


class Archive:
    """A peer that takes Raw Data by C-STORE."""

    def __init__(self, kind: str = RAW_DATA_STORAGE) -> None:
        self.status, self.taken, self.titles = 0x0000, list[Dataset](), list[str]()
        entity = AE(ae_title="ARCHIVE")
        entity.add_supported_context(kind)
        handlers: Any = [(evt.EVT_C_STORE, self._store)]
        server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self._server = server
        self.peer = f"ARCHIVE@127.0.0.1:{self._server.server_address[1]}"

    def _store(self, event: Any) -> int:
        self.taken.append(event.dataset)
        self.titles.append(event.assoc.requestor.ae_title)
        return self.status

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture
def archive() -> Iterator[Callable[..., Archive]]:
    made: list[Archive] = []

    def start(*arguments: str) -> Archive:
        made.append(Archive(*arguments))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def test_a_network_is_signed_and_its_digest_stays(network: Path, key: Path, tmp_path: Path) -> None:
    output = tmp_path / "signed.dcm"
    done = run("sign", network, "--key", key, "--password", "secret", "--output", output)
    assert done.exit_code == 0, done.output
    assert done.output.strip() == decode(network.read_bytes()).DnnUID
    assert decode(output.read_bytes()) == decode(network.read_bytes())
    assert dcmread(io.BytesIO(output.read_bytes()))[0x00171014].value
    digests = {
        json.loads(run("show", file, "--json").output)["Digest"] for file in (network, output)
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_what_cannot_be_signed_is_told(
    network: Path, key: Path, prototype: Build, tmp_path: Path
) -> None:
    output = tmp_path / "signed.dcm"
    done = run("sign", network, "--key", key, "--password", "wrong", "--output", output)
    assert isinstance(done.exception, SettingsError)
    assert "site.key" in str(done.exception)
    network.write_bytes(prototype())
    done = run("sign", network, "--key", key, "--password", "secret", "--output", output)
    assert isinstance(done.exception, SettingsError)
    assert "no place for a signature" in str(done.exception)
    assert not output.exists()


def test_a_network_is_pushed_by_c_store(
    network: Path, archive: Callable[..., Archive], prototype: Build, tmp_path: Path
) -> None:
    there = archive()
    done = run("push", network, "--peer", there.peer, "--aet", "TRAINER")
    assert done.exit_code == 0, done.output
    assert "sent, DnnUID" in done.output
    (taken,) = there.taken
    assert taken[0x00171012].value == "unet_mri"
    assert there.titles == ["TRAINER"]
    there.status = 0xB000
    assert "does not trust" in run("push", network, "--peer", there.peer).output
    there.status = 0xA700
    done = run("push", network, tmp_path / "absent", "--peer", there.peer)
    assert done.exit_code == 1
    assert "0xA700" in done.stderr
    assert "absent: cannot be read" in done.stderr
    network.write_bytes(prototype())
    assert "use STOW-RS" in run("push", network, "--peer", there.peer).stderr


def test_a_peer_that_does_not_take_networks_is_told(
    network: Path, archive: Callable[..., Archive]
) -> None:
    there = archive("1.2.840.10008.5.1.4.1.1.2")
    done = run("push", network, "--peer", there.peer)
    assert done.exit_code == 1
    assert "C-STORE to ARCHIVE@127.0.0.1" in done.stderr
    assert there.taken == []


def test_what_is_no_network_is_not_sent(archive: Callable[..., Archive], tmp_path: Path) -> None:
    there = archive()
    file = tmp_path / "image.dcm"
    file.write_bytes(b"nothing")
    assert run("push", file, "--peer", there.peer).exit_code == 1
    assert there.taken == []


@pytest.mark.parametrize("text", ["", "ARCHIVE", "ARCHIVE@host", "@host:1", "A@h:0", "A@h:99999"])
def test_a_peer_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--peer"):
        Peer.parse(text)


def test_nobody_that_answers_is_told(network: Path) -> None:
    done = run("push", network, "--url", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "STOW-RS to http://127.0.0.1:9/dicom-web" in done.stderr
    assert "no association" in run("push", network, "--peer", "A@127.0.0.1:9").stderr
    assert isinstance(run("list", "--body-part", "HEAD").exception, PrereadError)
