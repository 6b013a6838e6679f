"""dcmsend against a storage provider of pynetdicom."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE, evt

from preread.demo.errors import DemoError
from preread.demo.node import Node
from preread.demo.sender import Sent, send

pytestmark = pytest.mark.skipif(
    shutil.which("dcmsend") is None, reason="not installed: dcmsend (Debian package dcmtk)"
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Refuse MR, take CT."""
    entity = AE()
    entity.add_supported_context(CTImageStorage)
    entity.add_supported_context(MRImageStorage)

    def store(event: evt.Event) -> int:
        return 0xA700 if event.request.AffectedSOPClassUID == MRImageStorage else 0x0000

    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    assert server is not None
    port = server.server_address[1]
    yield Node(configuration=tmp_path, root=tmp_path, dicom_port=port, aet="PREREAD")
    server.shutdown()


def _files(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        source = get_testdata_file(name)
        assert isinstance(source, str)
        shutil.copy(source, folder)
    return folder


def test_answers_are_counted_by_what_they_say(node: Node, tmp_path: Path) -> None:
    folder = _files(tmp_path / "in", "CT_small.dcm", "MR_small.dcm")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "notes.txt").write_text("no image")
    answers: list[int] = []
    assert send(node, folder, lambda: answers.append(1)) == Sent(stored=1, refused=1, skipped=1)
    assert len(answers) == 2


def test_a_folder_without_images_is_told(node: Node, tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="dcmsend sent nothing: no input files"):
        send(node, _files(tmp_path / "in"))


def test_a_node_that_is_not_there_is_told(node: Node, tmp_path: Path) -> None:
    gone = node.model_copy(update={"dicom_port": 1})
    with pytest.raises(DemoError, match="Connection refused"):
        send(gone, _files(tmp_path / "in", "CT_small.dcm"))
