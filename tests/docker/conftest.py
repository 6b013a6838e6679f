"""Docker for the tests of the image, or the reason why there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

from preread.demo.node import Node
from tests.ports import free_port

if TYPE_CHECKING:
    from pytest_docker.plugin import Services

ROOT = Path(__file__).parents[2]
IMAGE = "preread-test"
USER, PASSWORD = "alice", 'a "$word" of her own'


def _missing() -> str:
    if shutil.which("docker") is None:
        return "not installed: docker"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        return "no Docker engine answers (DOCKER_HOST)"
    if _compose() is None:
        return "not installed: docker compose"
    return ""


def _compose() -> str | None:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return "docker compose"
    return "docker-compose" if shutil.which("docker-compose") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here, and say why it is skipped where there is no Docker."""
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    missing = _missing() if mine else ""
    for item in mine:
        item.add_marker(pytest.mark.docker)
        item.add_marker(pytest.mark.slow)
        # The first of them builds the image.
        item.add_marker(pytest.mark.timeout(1500))
        if missing:
            item.add_marker(pytest.mark.skip(reason=missing))


@dataclass(frozen=True, slots=True)
class Container:
    """The running container as it is seen from outside."""

    node: Node
    name: str
    orthanc: httpx.Client
    dicomweb: DICOMwebClient


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    """Take Compose's plugin, or Debian's docker-compose."""
    return _compose() or "docker compose"


@pytest.fixture(scope="session")
def docker_compose_file() -> list[str]:
    """Return the files of Orthanc with Preread, and of IODeep's services beside it."""
    services = ROOT / "docs/iodeep-services/compose.yaml"
    return [str(services), str(ROOT / "tests/docker/compose.yaml")]


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    """Build and start."""
    return ["build", "up -d"]


@pytest.fixture(scope="session")
def ports() -> Iterator[dict[str, int]]:
    """Choose ports and hand them, with the users, to Compose."""
    names = ("HTTP_PORT", "DICOM_PORT", "DISCOVERY_PORT", "PREDICTION_PORT")
    chosen = {name: free_port() for name in names}
    with pytest.MonkeyPatch.context() as patch:
        for name, port in chosen.items():
            patch.setenv(name, str(port))
        patch.setenv("PREREAD_USERS", json.dumps({USER: PASSWORD}))
        patch.setenv("PREREAD_USERNAME", USER)
        patch.setenv("PREREAD_PASSWORD", PASSWORD)
        patch.setenv("PREREAD_IMAGE", IMAGE)
        # The classic builder shows its steps, and works where BuildKit is not installed.
        if shutil.which("docker-buildx") is None and "DOCKER_BUILDKIT" not in os.environ:
            patch.setenv("DOCKER_BUILDKIT", "0")
        yield chosen


@pytest.fixture(scope="session")
def container(
    ports: dict[str, int],
    docker_compose_project_name: str,
    request: pytest.FixtureRequest,
) -> Iterator[Container]:
    """Build and start the image; wait until its health check is content."""
    # Only now: Compose reads the environment that `ports` has set.
    services: Services = request.getfixturevalue("docker_services")
    found = subprocess.run(
        [
            "docker",
            "ps",
            "-aq",
            "-f",
            f"label=com.docker.compose.project={docker_compose_project_name}",
            "-f",
            "label=com.docker.compose.service=preread",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    name = found.stdout.strip()
    node = Node(
        configuration=ROOT / "plugin/docker/orthanc.json",
        root=ROOT,
        http_port=ports["HTTP_PORT"],
        dicom_port=ports["DICOM_PORT"],
        aet="PREREAD",
    )
    services.wait_until_responsive(timeout=180, pause=1, check=_is_healthy(name))
    session = create_session_from_user_pass(USER, PASSWORD)
    anew = httpx.Limits(max_keepalive_connections=0)  # see tests.integration.pacs
    auth = (USER, PASSWORD)
    with httpx.Client(base_url=node.url, auth=auth, timeout=30, limits=anew) as orthanc:
        yield Container(node, name, orthanc, DICOMwebClient(node.dicomweb_url, session=session))


def _is_healthy(name: str) -> Callable[[], bool]:
    def healthy() -> bool:
        command = ["docker", "inspect", "-f", "{{.State.Status}} {{.State.Health.Status}}", name]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        state, health = told.stdout.split()
        if state != "running":
            logged = subprocess.run(
                ["docker", "logs", "--tail", "20", name], capture_output=True, text=True, check=True
            )
            pytest.fail(f"the container is {state}:\n{logged.stdout}{logged.stderr}")
        return health == "healthy"

    return healthy
