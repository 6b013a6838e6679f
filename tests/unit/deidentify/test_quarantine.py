from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preread.deidentify.held_file import HeldFileKey
from preread.deidentify.held_folder import HeldFolder
from preread.deidentify.quarantine import Quarantine, QuarantineError

KEY = bytes(range(32))
MIB = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "held"


@pytest.fixture
def quarantine(folder: Path) -> Quarantine:
    return Quarantine(folder, KEY)


def put(quarantine: Quarantine, data: bytes = b"Doe^Jane") -> str:
    return quarantine.put(data, reason="unreadable", origin="C-STORE")


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 5])
def test_what_is_put_comes_out(quarantine: Quarantine, folder: Path, size: int) -> None:
    data = os.urandom(min(size, 999)) + bytes(max(0, size - 999))
    before = datetime.now(UTC)
    identity = quarantine.put(memoryview(data), reason="unreadable", origin="C-STORE")
    assert quarantine.read(identity) == data
    (held,) = quarantine.entries()
    assert (held.id, held.size, held.damage, held.tries) == (identity, size, "", 0)
    assert (held.reason, held.origin) == ("unreadable", "C-STORE")
    assert before <= held.time <= datetime.now(UTC)
    assert Quarantine(folder, KEY).read(identity) == data


def test_nothing_can_be_read_of_it(quarantine: Quarantine, folder: Path) -> None:
    identity = put(quarantine, b"Doe^Jane" * 1000)
    (path,) = folder.iterdir()
    assert path.name == f"{identity}.held"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    content = path.read_bytes()
    for word in (b"Doe", b"C-STORE", b"unreadable", identity.encode()):
        assert word not in content
    other = put(quarantine, b"Doe^Jane" * 1000)
    assert (folder / f"{other}.held").read_bytes()[60:] != content[60:]


def test_oldest_first(quarantine: Quarantine) -> None:
    identities = [put(quarantine) for _ in range(5)]
    assert [held.id for held in quarantine.entries()] == identities


def test_a_content_is_held_once_where_that_is_asked_for(
    quarantine: Quarantine, folder: Path
) -> None:
    def put_once(data: bytes, reason: str, to: Quarantine = quarantine) -> str:
        return to.put(data, reason=reason, origin="REST", once=True)

    first = put_once(b"Doe^Jane" * 500_000, "unreadable")
    quarantine.note_failure(first, "again in vain")
    assert put_once(b"Doe^Jane" * 500_000, "still unreadable") == first
    other = put_once(b"Doe^John", "unreadable")
    (entry,) = (held for held in quarantine.entries() if held.id == first)
    assert (entry.reason, entry.tries) == ("still unreadable", 1)
    assert quarantine.read(first) == b"Doe^Jane" * 500_000
    assert {path.name for path in folder.glob("*.held")} == {f"{first}.held", f"{other}.held"}
    # Its name tells nobody without the key which content it has.
    assert put_once(b"Doe^John", "", Quarantine(folder.parent / "other", bytes(32))) != other


@pytest.mark.parametrize("failing", ["write", "fsync", "folder"])
def test_what_is_held_stays_when_it_cannot_be_written_again(
    quarantine: Quarantine, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    first = quarantine.put(b"Doe^Jane", reason="unreadable", origin="REST", once=True)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    if failing == "write":
        monkeypatch.setattr(HeldFileKey, "write", full)
    elif failing == "folder":
        monkeypatch.setattr(HeldFolder, "_flush", full)
    else:
        monkeypatch.setattr(os, "fsync", full)
    assert quarantine.put(b"Doe^Jane", reason="again", origin="REST", once=True) == first
    assert quarantine.read(first) == b"Doe^Jane"
    with pytest.raises(QuarantineError, match="disk is full"):
        quarantine.put(b"Doe^John", reason="unreadable", origin="REST", once=True)
    assert [path.name for path in folder.iterdir()] == [f"{first}.held"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, bytes]:
    folder = tmp_path_factory.mktemp("sample")
    identity = put(Quarantine(folder, KEY), b"x" * 300)
    return folder, identity, (folder / f"{identity}.held").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_byte_can_be_changed_cut_or_added(
    sample: tuple[Path, str, bytes], data: st.DataObject
) -> None:
    folder, identity, content = sample
    place = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = bytearray(content)
    changed[place] ^= flip
    quarantine = Quarantine(folder, KEY)
    for bad in (bytes(changed), content[:place], content + b"\0", content + content):
        (folder / f"{identity}.held").write_bytes(bad)
        with pytest.raises(QuarantineError, match=r"damaged|another key"):
            quarantine.read(identity)
    (held,) = quarantine.entries()  # the last one is longer than it says
    assert held.damage.startswith("damaged")
    assert (held.reason, held.size) == ("", 2 * len(content))


def test_chunks_cannot_be_swapped_or_left_out(quarantine: Quarantine, folder: Path) -> None:
    identity = put(quarantine, b"a" * MIB + b"b" * MIB + b"c" * MIB)
    path = folder / f"{identity}.held"
    content = path.read_bytes()
    start = len(content) - 3 * (MIB + 16)
    head, chunks = (
        content[:start],
        [content[start + n * (MIB + 16) :][: MIB + 16] for n in range(3)],
    )
    for order in ((1, 0, 2), (0, 2), (0, 1), (0, 1, 2, 2), (2,)):
        path.write_bytes(head + b"".join(chunks[n] for n in order))
        with pytest.raises(QuarantineError, match="damaged"):
            quarantine.read(identity)
    path.write_bytes(content)
    assert len(quarantine.read(identity)) == 3 * MIB


def test_a_file_cannot_pass_under_another_name(quarantine: Quarantine, folder: Path) -> None:
    one, two = put(quarantine, b"one"), put(quarantine, b"two")
    shutil.copy(folder / f"{one}.held", folder / f"{two}.held")
    with pytest.raises(QuarantineError, match="damaged"):
        quarantine.read(two)
    assert [held.id for held in quarantine.entries() if held.damage] == [two]


def test_another_key(quarantine: Quarantine, folder: Path) -> None:
    identity = put(quarantine)
    other = Quarantine(folder, bytes(32), retention_days=0)
    with pytest.raises(QuarantineError, match="another key"):
        other.read(identity)
    (held,) = other.entries()
    assert held.damage == "held under another key; configure that again"
    assert other.purge(datetime.now(UTC) + timedelta(days=9)) == 0
    assert quarantine.read(identity) == b"Doe^Jane"
    with pytest.raises(QuarantineError, match="32 bytes, not 16"):
        Quarantine(folder, bytes(16))


@pytest.mark.parametrize(
    "identity", ["", "..", "../../etc/passwd", "a" * 31, "A" * 32, "a" * 32 + "\n", "é" * 32]
)
def test_only_ids_are_taken(quarantine: Quarantine, identity: str) -> None:
    for call in (quarantine.read, quarantine.delete, lambda it: quarantine.note_failure(it, "")):
        with pytest.raises(QuarantineError, match="expected the id"):
            call(identity)


def test_what_is_not_there(quarantine: Quarantine) -> None:
    with pytest.raises(QuarantineError, match="it is not there"):
        quarantine.read("0" * 32)
    with pytest.raises(QuarantineError, match="it is not there"):
        quarantine.note_failure("0" * 32, "")
    quarantine.delete("0" * 32)
    assert quarantine.entries() == []


def test_links_are_not_followed(quarantine: Quarantine, folder: Path, tmp_path: Path) -> None:
    identity = put(quarantine)
    (folder / f"{identity}.held").rename(tmp_path / "elsewhere")
    (folder / f"{identity}.held").symlink_to(tmp_path / "elsewhere")
    (folder / f"{'0' * 32}.held").mkdir()
    with pytest.raises(QuarantineError, match="cannot be read"):
        quarantine.read(identity)
    assert all(held.damage for held in quarantine.entries())


def test_tries_are_counted(quarantine: Quarantine, folder: Path) -> None:
    identity = put(quarantine)
    assert quarantine.note_failure(identity, "no decoder") == 1
    assert quarantine.note_failure(identity, "x" * 5000) == 2
    (held,) = Quarantine(folder, KEY).entries()
    assert (held.tries, held.last_failure) == (2, "x" * 1000)
    note = folder / f"{identity}.note"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    note.write_bytes(note.read_bytes()[:-1])
    assert quarantine.entries()[0].tries == 0
    assert quarantine.note_failure(identity, "again") == 1
    quarantine.delete(identity)
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_purge_removes_the_old_and_never_the_damaged(folder: Path) -> None:
    quarantine = Quarantine(folder, KEY, retention_days=2)
    sound, damaged = put(quarantine), put(quarantine)
    quarantine.note_failure(sound, "why")
    (folder / f"{damaged}.held").write_bytes(b"damaged")
    now = datetime.now(UTC)
    assert quarantine.purge(now + timedelta(days=1.9)) == 0
    assert Quarantine(folder, KEY).purge(now + timedelta(days=999)) == 0
    assert quarantine.purge(now + timedelta(days=2.1)) == 1
    assert [held.id for held in quarantine.entries()] == [damaged]
    assert not (folder / f"{sound}.note").exists()


def test_what_waited_for_a_look_is_never_purged(folder: Path) -> None:
    quarantine = Quarantine(folder, KEY, retention_days=2)
    original = put(quarantine)
    looked = quarantine.put(b"x", reason="r", origin="o", look="TEXT", arrival='{"a": 1}')
    assert quarantine.purge(datetime.now(UTC) + timedelta(days=999)) == 1
    (held,) = Quarantine(folder, KEY).entries()
    assert (held.id, held.look, held.arrival) == (looked, "TEXT", '{"a": 1}')
    with pytest.raises(QuarantineError, match="not there"):
        quarantine.read(original)


def test_a_description_that_nobody_could_read_again_is_not_written(
    quarantine: Quarantine, folder: Path
) -> None:
    identity = quarantine.put(b"x", reason="r", origin="o", arrival="x" * 200_000)
    assert quarantine.entries()[0].arrival == "x" * 200_000
    with pytest.raises(QuarantineError, match="description"):
        quarantine.put(b"x", reason="r", origin="o", arrival="x" * 300_000)
    assert [path.name for path in folder.iterdir()] == [f"{identity}.held"]


def test_a_try_is_taken_back(quarantine: Quarantine) -> None:
    identity = put(quarantine)
    quarantine.note_failure(identity, "no decoder")
    quarantine.note_failure(identity, "ended")
    for left in (1, 0, 0):
        quarantine.take_back(identity, "out of reach")
        (held,) = quarantine.entries()
        assert (held.tries, held.last_failure) == (left, "out of reach")


def test_what_a_crash_left_goes_after_a_day(quarantine: Quarantine, folder: Path) -> None:
    identity = put(quarantine)
    left = folder / f".{'0' * 32}.00000000.part"
    left.write_bytes(b"half")
    (folder / f"{'1' * 32}.note").write_bytes(b"of what was deleted")
    assert [held.id for held in quarantine.entries()] == [identity]
    quarantine.purge(datetime.now(UTC))
    assert left.exists()
    assert not (folder / f"{'1' * 32}.note").exists()
    os.utime(left, (time.time() - 90_000,) * 2)
    Quarantine(folder, KEY)
    assert not left.exists()
    assert quarantine.read(identity) == b"Doe^Jane"


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_full_disk(
    quarantine: Quarantine, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(QuarantineError, match="the disk is full; make room"):
            put(quarantine)
    assert list(folder.iterdir()) == []
    put(quarantine)


def test_a_folder_that_cannot_be_flushed_holds_nothing(
    quarantine: Quarantine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(QuarantineError, match="cannot be held: Input/output error"):
        put(quarantine)
    assert list(folder.iterdir()) == []


def test_a_really_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder],
            check=False,
            capture_output=True,
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    try:
        quarantine = Quarantine(folder, KEY)
        identity = put(quarantine, b"fits")
        with pytest.raises(QuarantineError, match="the disk is full; make room"):
            put(quarantine, bytes(MIB))
        assert [held.id for held in quarantine.entries()] == [identity]
        assert [path.name for path in folder.iterdir()] == [f"{identity}.held"]
        assert quarantine.read(identity) == b"fits"
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(QuarantineError, match="cannot be made"):
        Quarantine(tmp_path / "file" / "held", KEY)


def test_memory_does_not_double(quarantine: Quarantine) -> None:
    data = bytes(32 * MIB)
    put(quarantine, b"loads the library")
    tracemalloc.start()
    try:
        identity = put(quarantine, data)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
        tracemalloc.reset_peak()
        assert quarantine.read(identity) == data
        assert tracemalloc.get_traced_memory()[1] < 44 * MIB
    finally:
        tracemalloc.stop()


_WORKER = """
import sys
from pathlib import Path
from preread.deidentify.quarantine import Quarantine
quarantine = Quarantine(Path(sys.argv[1]), bytes(range(32)))
shared = sys.argv[2]
for number in range(int(sys.argv[3])):
    identity = quarantine.put(b"w" * 70_000, reason="r", origin="o")
    print(identity, flush=True)
    if shared:
        quarantine.note_failure(shared, "busy")
    quarantine.entries()
"""


def _worker(folder: Path, shared: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(folder), shared, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_several_processes_share_a_folder(quarantine: Quarantine, folder: Path) -> None:
    shared = put(quarantine)
    workers = [_worker(folder, shared, 20) for _ in range(3)]
    told = [line for worker in workers for line in worker.communicate()[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    entries = {held.id: held for held in quarantine.entries()}
    assert set(entries) == {shared, *told}
    assert len(told) == 60
    assert entries[shared].tries == 60
    assert all(quarantine.read(identity) == b"w" * 70_000 for identity in told)


def test_what_was_told_survives_a_kill(quarantine: Quarantine, folder: Path) -> None:
    worker = _worker(folder, "", 10**6)
    assert worker.stdout is not None
    told = [worker.stdout.readline().strip() for _ in range(30)]
    worker.send_signal(signal.SIGKILL)
    told += worker.communicate()[0].split()
    assert all(quarantine.read(identity) == b"w" * 70_000 for identity in told)
    assert not any(held.damage for held in quarantine.entries())
    assert 0 <= len(quarantine.entries()) - len(told) <= 1


def test_importing_does_not_load_the_library(folder: Path) -> None:
    code = (
        "import sys, pathlib; from preread.deidentify.quarantine import Quarantine; "
        "Quarantine(pathlib.Path(sys.argv[1]), bytes(32)); sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, folder], check=False).returncode == 0


def test_notes_are_no_descriptions() -> None:
    key = HeldFileKey(KEY)
    note = key.seal_note("0" * 32, {"tries": 1})
    assert key.open_note("0" * 32, note) == {"tries": 1}
    for identity, sealed in (("1" * 32, note), ("0" * 32, note[:-1]), ("0" * 32, b"")):
        with pytest.raises(QuarantineError):
            key.open_note(identity, sealed)
