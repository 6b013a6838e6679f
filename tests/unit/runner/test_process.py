"""The runner as a process: started, killed, ended, and started again."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from preread.deidentify import Secret
from preread.iodeep.opening import FOLDER
from preread.iodeep.writing import encode
from preread.ledger.job import Job, JobState
from preread.ledger.journal import Journal
from preread.ledger.network import NetworkState
from preread.ledger.sql import SqlLedger
from preread.results import read_block
from preread.runner.forward_only import forward_only
from preread.runner.forwarding import Forwarding
from preread.runner.status import RunnerStatus
from preread.settings import site_from_file
from tests.unit.iodeep.toy_networks import pointwise
from tests.unit.runner.archive import Archive
from tests.unit.runner.bench import arrival_of, ct, eventually
from tests.unit.runner.server import Server

SCRIPT = Path(__file__).with_name("stand_in.py")


class Node:
    """A node without Orthanc: its folder, journal, key and HTTP routes."""

    def __init__(self, folder: Path, token: str = "") -> None:
        self.own = folder / "storage" / "preread"
        self.own.mkdir(parents=True, mode=0o700)
        self.journal = Journal(self.own / "journal.sqlite")
        secret = Secret.load_or_create(self.own / "secret.key", None)
        self.journal.key_fingerprint = secret.fingerprint
        self.archive = Archive(key=secret.derive("announcement"))
        self.server = Server(self.archive, token)
        self.token = token
        self.configuration = folder / "orthanc.json"
        self.processes: list[subprocess.Popen[bytes]] = []

    def configure(self, **sections: Any) -> None:
        ledger = {"BackoffSeconds": 0.1}
        section = {"Deidentify": {"Mode": "incoming"}, "Ledger": ledger} | sections
        facts: dict[str, Any] = {
            "StorageDirectory": "storage",
            "HttpPort": self.server.port,
            "OverwriteInstances": True,
            "Preread": section,
        }
        self.configuration.write_text(json.dumps(facts))

    def arrive(self, data: bytes, models: Sequence[str] = ("small", "large")) -> str:
        arrival = arrival_of(data, models)
        generation = self.journal.arrive(arrival)
        self.archive.files[arrival.instance] = data
        self.archive.generations[arrival.instance] = generation
        self.journal.stored(arrival.instance)
        return arrival.instance

    def runner(self, *options: str, attached: bool = False) -> subprocess.Popen[bytes]:
        where = ["--attached"] if attached else ["--config", str(self.configuration)]
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "runner", *where, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        if attached:
            greeting = {
                "Configuration": json.loads(self.configuration.read_text()),
                "Root": str(self.configuration.parent),
                "Token": self.token,
            }
            assert process.stdin is not None
            process.stdin.write(json.dumps(greeting).encode() + b"\n")
            process.stdin.flush()
        return process

    def ledger(self) -> SqlLedger:
        return SqlLedger(f"sqlite:///{self.own / 'ledger.sqlite'}")

    def jobs(self) -> list[Job]:
        return self.ledger().jobs(limit=1000)

    def status(self) -> RunnerStatus | None:
        return RunnerStatus.read(self.own / "runner.json")

    def is_started(self, process: subprocess.Popen[bytes]) -> bool:
        told = self.status()
        return told is not None and told.pid == process.pid and bool(told.engine)

    def read(self) -> list[str]:
        return [key for key, file in self.archive.files.items() if read_block(file)]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path, token="Bearer of-the-plugin")
    made.configure()
    with made.server:
        yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
    made.journal.close()


@pytest.fixture
def open_node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    made.configure()
    with made.server:
        yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
    made.journal.close()


def ended(process: subprocess.Popen[bytes], seconds: float = 60) -> tuple[int, str]:
    _, errors = process.communicate(timeout=seconds)
    return process.returncode, errors.decode()


def test_once_reads_all_there_is_and_ends(open_node: Node) -> None:
    for number in range(6):
        open_node.arrive(ct(number))
    bad = open_node.arrive(ct(7, missing=100))
    code, errors = ended(open_node.runner("--once"))
    assert code == 0, errors
    assert len(open_node.read()) == 6
    assert {job.state for job in open_node.jobs() if job.instance != bad} == {JobState.DONE}
    told = open_node.status()
    assert told is not None
    assert (told.images_read, told.images_failed) == (6, 1)
    log = open_node.own / "runner.log"
    assert log.stat().st_mode & 0o777 == 0o600
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["ready", "not read", "ended"]


@pytest.mark.slow
def test_killed_again_and_again_it_loses_and_doubles_nothing(open_node: Node) -> None:
    for number in range(60):
        open_node.arrive(ct(number))
    dice = random.Random(7)
    for _ in range(4):
        process = open_node.runner()
        eventually(partial(open_node.is_started, process), 60)
        time.sleep(dice.uniform(0.05, 0.3))
        process.kill()
        ended(process)
    code, errors = ended(open_node.runner("--once"), 120)
    assert code == 0, errors
    assert len(open_node.read()) == 60
    jobs = open_node.jobs()
    assert [job.state for job in jobs] == [JobState.DONE] * 60
    assert sum(job.attempts for job in jobs) == 0
    for file in open_node.archive.files.values():
        assert [result.Model for result in read_block(file)] == ["small", "large"]


@pytest.mark.slow
def test_an_image_that_crashes_the_runner_takes_no_other_with_it(open_node: Node) -> None:
    poison = open_node.arrive(ct(0, level=500))
    others = [open_node.arrive(ct(number)) for number in range(1, 6)]
    for _ in range(3):
        code, _errors = ended(open_node.runner("--once"))
        assert code == -signal.SIGABRT
    by_instance = {job.instance: job for job in open_node.jobs()}
    assert [by_instance[other].state for other in others] == [JobState.DONE] * 5
    assert max(by_instance[other].interruptions for other in others) <= 1
    assert by_instance[poison].interruptions >= 2


def test_it_ends_with_the_orthanc_that_started_it(node: Node) -> None:
    process = node.runner(attached=True)
    node.arrive(ct(1))
    eventually(lambda: len(node.read()) == 1, 60)
    for number in range(2, 40):
        node.arrive(ct(number))
    eventually(lambda: len(node.read()) > 3, 60)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    code, errors = ended(process, 30)
    assert (code, errors) == (0, "")
    jobs = node.jobs()
    assert not [job for job in jobs if job.state is JobState.RUNNING]
    assert not [job for job in jobs if job.attempts or job.interruptions]
    assert sum(job.state is JobState.DONE for job in jobs) == len(node.read())


def test_sigterm_ends_it_in_order(open_node: Node) -> None:
    for number in range(40):
        open_node.arrive(ct(number))
    process = open_node.runner()
    eventually(lambda: len(open_node.read()) > 3, 60)
    process.send_signal(signal.SIGTERM)
    code, _errors = ended(process, 30)
    assert code == 0
    jobs = open_node.jobs()
    assert not [job for job in jobs if job.state is JobState.RUNNING or job.interruptions]
    assert sum(job.state is JobState.DONE for job in jobs) == len(open_node.read())


def test_only_one_works_for_a_node(open_node: Node) -> None:
    first = open_node.runner()
    eventually(open_node.status, 60)
    code, errors = ended(open_node.runner())
    assert code == 1
    assert "another runner works for this node already" in errors
    assert first.poll() is None


def put_network(folder: Path) -> None:
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "toy.dcm").write_bytes(encode(pointwise(16, 16)))


def elsewhere(node: Node, folder: Path) -> Path:
    """Configure a runner on another machine: a copy of the key, the same ledger, no journal."""
    own = folder / "storage" / "preread"
    own.mkdir(parents=True)
    shutil.copy(node.own / "secret.key", own)
    facts = json.loads(node.configuration.read_text())
    facts["Preread"]["Ledger"]["Url"] = f"sqlite:///{node.own / 'ledger.sqlite'}"
    facts["Preread"]["Models"] = {"Folder": "empty"}
    (folder / "empty").mkdir()
    made = folder / "orthanc.json"
    made.write_text(json.dumps(facts))
    return made


def test_the_models_folder_beside_orthanc_says_which_networks_there_are(
    open_node: Node, tmp_path: Path
) -> None:
    put_network(tmp_path / "models")
    open_node.configure(Models={"Folder": "models"})
    code, errors = ended(open_node.runner("--once"))
    assert code == 0, errors
    register = open_node.ledger().networks
    (network,) = register.all()
    assert (network.file, network.state) == ("toy.dcm", NetworkState.VALID)
    away = tmp_path / "away"
    away.mkdir()
    open_node.configuration = elsewhere(open_node, away)
    code, errors = ended(open_node.runner("--once"))
    assert code == 0, errors
    assert register.all() == [network]


def test_beside_orthanc_networks_are_looked_at_when_the_runner_is_elsewhere(
    node: Node, tmp_path: Path
) -> None:
    put_network(tmp_path / "models")
    node.configure(Models={"Folder": "models"}, Runner={"Start": False})
    process = node.runner(attached=True)
    register = node.ledger().networks
    eventually(register.valid, 60)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    code, errors = ended(process, 30)
    assert (code, errors) == (0, "")
    assert [one.file for one in register.valid()] == ["toy.dcm"]


def test_the_models_folder_is_known_before_the_first_image(
    open_node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_network(tmp_path / "models")
    open_node.configure(Models={"Folder": "models"}, Runner={"Start": False})
    known: list[str] = []

    class Noticed(Forwarding):
        def start(self) -> None:
            known.extend(each.file for each in open_node.ledger().networks.all())
            super().start()

    monkeypatch.setattr("preread.runner.forward_only.Forwarding", Noticed)
    monkeypatch.setattr("preread.log.configure", lambda *_args, **_options: None)
    asked = threading.Event()
    asked.set()
    site = site_from_file(open_node.configuration)
    assert forward_only(site, open_node.archive, asked) == 0
    assert known == ["toy.dcm"]


def test_a_lost_key_is_told_in_one_line(open_node: Node) -> None:
    (open_node.own / "secret.key").unlink()
    code, errors = ended(open_node.runner())
    assert code == 2
    assert "Preread.Deidentify.KeyFile" in errors
    assert "Traceback" not in errors
    assert not (open_node.own / "secret.key").exists()


def test_a_greeting_of_nobody_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "runner", "--attached"],
        input=b"hello\n",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"--attached" in done.stderr
    assert b"Traceback" not in done.stderr


def test_it_starts_without_what_few_images_need() -> None:
    late = "[name for name in ('highdicom', 'torch', 'matplotlib') if name in sys.modules]"
    script = f"import sys, preread.runner.process; print({late})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
