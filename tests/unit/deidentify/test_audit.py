from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preread.deidentify.audit import AuditError, AuditLog, Outcome, digest_of


def deidentified(log: AuditLog, **changes: Any) -> None:
    values = {
        "sender": "C-STORE",
        "digest": digest_of(b"original"),
        "PatientID": "PRAAAA",
        "StudyInstanceUID": "2.25.1",
        "SeriesInstanceUID": "2.25.2",
        "SOPInstanceUID": "2.25.3",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "profile": "Basic Profile, PS3.15 E 2024b",
        "options": ("113100", "113101"),
        "counts": {"X": 12, "Z": 3},
        "duration_ms": 1.23456,
    }
    log.deidentified(**{**values, **changes})


def refused(log: AuditLog, reason: str = "malformed", **more: Any) -> None:
    log.refused(sender="REST", digest=digest_of(b"bad"), reason=reason, duration_ms=0.5, **more)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().split("\n") if line]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> AuditLog:
    return AuditLog(path, source="ORTHANC")


def code(message: Any) -> tuple[str, str]:
    return message["csd-code"], message["codeSystemName"]


def test_the_message_of_a_deidentified_object(log: AuditLog, path: Path) -> None:
    deidentified(log, encrypted=True)
    (message,) = lines(path)
    assert list(message) == [
        "EventIdentification",
        "ActiveParticipant",
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
    ]
    event = message["EventIdentification"]
    assert code(event["EventID"]) == ("110103", "DCM")
    assert (event["EventActionCode"], event["EventOutcomeIndicator"]) == ("C", 0)
    told = datetime.fromisoformat(event["EventDateTime"])
    assert told.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)
    sender, program = message["ActiveParticipant"]
    assert (sender["UserID"], sender["UserIsRequestor"]) == ("C-STORE", True)
    assert (program["UserIsRequestor"], program["AlternativeUserID"]) == (False, str(os.getpid()))
    assert code(program["RoleIDCode"][0]) == ("110150", "DCM")
    assert message["AuditSourceIdentification"]["AuditSourceID"] == "ORTHANC"
    study, patient = message["ParticipantObjectIdentification"]
    assert study["ParticipantObjectTypeCode"] == "2"
    assert study["ParticipantObjectTypeCodeRole"] == "3"
    assert study["ParticipantObjectDataLifeCycle"] == "7"
    assert code(study["ParticipantObjectIDTypeCode"]) == ("110180", "DCM")
    assert study["ParticipantObjectID"] == "2.25.1"
    assert study["SOPClass"] == [
        {
            "UID": "1.2.840.10008.5.1.4.1.1.2",
            "NumberOfInstances": 1,
            "Instance": [{"UID": "2.25.3"}],
        }
    ]
    assert (study["Anonymized"], study["Encrypted"]) == (True, True)
    details = {each["type"]: each["value"] for each in study["ParticipantObjectDetail"]}
    assert details == {
        "OriginalSHA256": hashlib.sha256(b"original").hexdigest(),
        "SeriesInstanceUID": "2.25.2",
        "Profile": "Basic Profile, PS3.15 E 2024b",
        "Options": ["113100", "113101"],
        "Counts": {"X": 12, "Z": 3},
        "DurationMilliseconds": 1.235,
    }
    assert patient["ParticipantObjectID"] == "PRAAAA"
    assert patient["ParticipantObjectTypeCode"] == patient["ParticipantObjectTypeCodeRole"] == "1"


def test_the_message_of_a_refused_object(log: AuditLog, path: Path) -> None:
    refused(log)
    refused(log, outcome=Outcome.MINOR_FAILURE, quarantine="ab" * 16)
    first, second = lines(path)
    assert first["EventIdentification"]["EventOutcomeIndicator"] == 8
    assert first["EventIdentification"]["EventOutcomeDescription"] == "malformed"
    (subject,) = first["ParticipantObjectIdentification"]
    assert subject["ParticipantObjectID"] == "urn:sha256:" + digest_of(b"bad")
    assert "Anonymized" not in subject
    assert second["EventIdentification"]["EventOutcomeIndicator"] == 4
    details = second["ParticipantObjectIdentification"][0]["ParticipantObjectDetail"]
    assert {"type": "Quarantine", "value": "ab" * 16} in details


def test_something_left_out(log: AuditLog, path: Path) -> None:
    deidentified(log, outcome=Outcome.MINOR_FAILURE, reason="one element was unreadable")
    event = lines(path)[0]["EventIdentification"]
    assert event["EventOutcomeIndicator"] == 4
    assert event["EventOutcomeDescription"] == "one element was unreadable"


@given(text=st.text(st.characters(exclude_categories=[]), max_size=600))
def test_no_text_forges_a_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    log = AuditLog(path, source=text)
    forged = f'{text}\n{{"EventIdentification":{{}}}}\r\n\x85\u2028"}}'
    refused(log, forged)
    deidentified(log, sender=forged, profile=forged, options=[forged], counts={forged: 1})
    log.close()
    content = path.read_bytes()
    assert content.isascii()
    assert len(content.splitlines()) == 2
    first = json.loads(content.splitlines()[0])
    assert first["EventIdentification"]["EventOutcomeDescription"] == forged[:500]


def test_nobody_else_can_read_it(path: Path) -> None:
    log = AuditLog(path, source="ORTHANC", max_bytes=1024)
    for _ in range(4):
        refused(log)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(list(path.parent.iterdir())) > 2
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    AuditLog(path, source="ORTHANC")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_goes_on_in_the_same_file(log: AuditLog, path: Path) -> None:
    refused(log, "first")
    log.close()
    refused(log, "second")
    refused(AuditLog(path, source="ORTHANC"), "third")
    assert [m["EventIdentification"]["EventOutcomeDescription"] for m in lines(path)] == [
        "first",
        "second",
        "third",
    ]


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "audit", tmp_path, Path("/dev/null")):
        with pytest.raises(AuditError, match="cannot be opened"):
            AuditLog(path, source="")
    for numbers in ({"max_bytes": 1000}, {"files": 1}):
        with pytest.raises(AuditError, match="2 files or more"):
            AuditLog(tmp_path / "audit", source="", **numbers)
    assert not (tmp_path / "audit").exists()


def test_the_oldest_file_goes(path: Path) -> None:
    log = AuditLog(path, source="ORTHANC", max_bytes=3000, files=3)
    for number in range(20):
        refused(log, f"{number}")
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.lock"]
    found = [
        message["EventIdentification"]["EventOutcomeDescription"]
        for name in reversed(names[:3])
        for message in lines(path.parent / name)
    ]
    assert found == [str(number) for number in range(20 - len(found), 20)]
    assert len(found) > 4
    assert all((path.parent / name).stat().st_size <= 3000 for name in names[:3])


def test_another_program_may_move_or_delete_the_file(log: AuditLog, path: Path) -> None:
    refused(log, "first")
    path.rename(path.with_suffix(".old"))
    refused(log, "second")
    assert len(lines(path)) == len(lines(path.with_suffix(".old"))) == 1
    path.unlink()
    refused(log, "third")
    assert lines(path)[0]["EventIdentification"]["EventOutcomeDescription"] == "third"


def test_a_torn_line_costs_itself_alone(log: AuditLog, path: Path) -> None:
    refused(log, "first")
    with path.open("ab") as file:
        file.write(b'{"EventIdentification":{"Ev')
    refused(log, "second")
    refused(log, "third")
    first, torn, second, third, end = path.read_bytes().split(b"\n")
    assert torn == b'{"EventIdentification":{"Ev'
    assert end == b""
    assert [json.loads(each) is not None for each in (first, second, third)] == [True] * 3


def test_a_full_disk_is_told(log: AuditLog, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        with pytest.raises(AuditError, match="No space left"):
            refused(log)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(AuditError, match="make sure that there is room"):
            refused(log)
    refused(log, "afterwards")
    last = path.read_text().splitlines()[-1]
    assert json.loads(last)["EventIdentification"]["EventOutcomeDescription"] == "afterwards"


def test_threads_do_not_mix_lines(path: Path) -> None:
    log = AuditLog(path, source="ORTHANC", max_bytes=20_000, files=100)

    def work(name: int) -> None:
        for number in range(50):
            refused(log, f"{name} {number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_everything(path)) == len(set(_everything(path))) == 200


def _everything(path: Path) -> list[str]:
    files = [file for file in path.parent.iterdir() if not file.name.endswith(".lock")]
    return [
        message["EventIdentification"]["EventOutcomeDescription"]
        for file in files
        for message in lines(file)
    ]


_WORKER = """
import sys
from pathlib import Path
from preread.deidentify.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), source="ORTHANC", max_bytes=9000, files=400)
for number in range(400):
    log.refused(sender="REST", digest="0" * 64, duration_ms=0, reason=f"{sys.argv[2]} {number}")
"""


def test_processes_lose_no_line_while_files_are_rotated(path: Path) -> None:
    command = [sys.executable, "-c", _WORKER, str(path)]
    workers = [subprocess.Popen([*command, str(name)]) for name in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    found = _everything(path)
    assert len(found) == 1600
    assert set(found) == {f"{name} {number}" for name in range(4) for number in range(400)}
    assert len(list(path.parent.iterdir())) > 50
