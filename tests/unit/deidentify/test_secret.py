"""The key file."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from preread.deidentify import Secret, SecretError


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "preread" / "secret.key"


def test_it_is_made_once_for_its_owner_only(key_file: Path) -> None:
    secret = Secret.load_or_create(key_file)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    again = Secret.load_or_create(key_file, secret.fingerprint)
    assert again.fingerprint == secret.fingerprint
    assert again.derive("uid") == secret.derive("uid")
    assert list(key_file.parent.iterdir()) == [key_file]


def test_a_fingerprint_does_not_show_the_key(key_file: Path) -> None:
    secret = Secret.load_or_create(key_file)
    key = key_file.read_text(encoding="ascii").split()[1]
    assert len(secret.fingerprint) == 32
    assert secret.fingerprint not in key
    assert key not in repr(secret)
    assert secret.derive("fingerprint") != secret.derive("uid")


def test_a_lost_key_is_not_made_anew(key_file: Path) -> None:
    secret = Secret.load_or_create(key_file)
    key_file.unlink()
    with pytest.raises(SecretError, match="missing"):
        Secret.load_or_create(key_file, secret.fingerprint)
    assert not key_file.exists()


def test_another_key_is_refused(key_file: Path) -> None:
    Secret.load_or_create(key_file)
    with pytest.raises(SecretError, match="not the key"):
        Secret.load_or_create(key_file, "0" * 32)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(key_file: Path, mode: int) -> None:
    Secret.load_or_create(key_file)
    key_file.chmod(mode)
    with pytest.raises(SecretError, match="chmod 600"):
        Secret.load_or_create(key_file)


@pytest.mark.parametrize(
    "change", ["short", "letter", "long", "empty", "mark", "bytes", "checksum"]
)
def test_a_damaged_key_is_refused(key_file: Path, change: str) -> None:
    Secret.load_or_create(key_file)
    content = key_file.read_bytes()
    digit = content.index(b" ") + 5
    other = b"0" if content[digit : digit + 1] != b"0" else b"1"
    damaged = {
        "short": content[:40],
        "letter": content[:digit] + other + content[digit + 1 :],
        "long": content * 4,
        "empty": b"",
        "mark": content.replace(b"preread", b"prepaid"),
        "bytes": os.urandom(120),
        "checksum": content[:-10] + "ü".encode() + content[-8:],
    }[change]
    key_file.write_bytes(damaged)
    with pytest.raises(SecretError, match="damaged"):
        Secret.load_or_create(key_file)


def test_a_folder_or_an_unwritable_place_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SecretError):
        Secret.load_or_create(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SecretError, match="cannot be made"):
        Secret.load_or_create(tmp_path / "file" / "secret.key")
    with pytest.raises(SecretError, match="32 bytes"):
        Secret(b"short")


def test_processes_that_start_at_once_agree(key_file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from preread.deidentify.secret import Secret;"
        "print(Secret.load_or_create(Path(sys.argv[1])).fingerprint)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(key_file)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    fingerprints = {process.communicate()[0] for process in started}
    assert all(process.returncode == 0 for process in started)
    assert len(fingerprints) == 1
