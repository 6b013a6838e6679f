"""The compose file's services are commands that exist, told of each other's ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from preread.cli import app
from preread.service.command import Role

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docs" / "iodeep-services" / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert set(content) == {"services", "volumes"}
    return dict(content["services"])


def options(service: dict[str, Any]) -> dict[str, Any]:
    """Parse a service's command as `preread` would."""
    assert service["entrypoint"] == ["/opt/preread/.venv/bin/preread", "serve-iodeep"]
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group | typer.core.TyperGroup)
    command = group.commands["serve-iodeep"]
    return dict(command.make_context("serve-iodeep", list(service["command"])).params)


def test_orthanc_is_the_one_of_the_image(services: dict[str, Any]) -> None:
    extended = services["preread"]["extends"]
    file = (FILE.parent / extended["file"]).resolve()
    assert file == ROOT / "plugin" / "docker" / "compose.yaml"
    assert extended["service"] in yaml.safe_load(file.read_text(encoding="utf-8"))["services"]


@pytest.mark.parametrize("name", ["discovery", "prediction"])
def test_each_service_has_its_role_and_is_reached_from_this_machine_alone(
    services: dict[str, Any], name: str
) -> None:
    chosen = options(services[name])
    assert chosen["role"] == Role(name)
    assert chosen["orthanc"] == "http://preread:8042"
    (port,) = services[name]["ports"]
    assert port.startswith("127.0.0.1:")
    assert int(port.rpartition(":")[2]) == chosen["port"]
    assert services[name]["environment"].keys() == {"PREREAD_USERNAME", "PREREAD_PASSWORD"}
    assert services[name]["cap_drop"] == ["ALL"]


def test_discovery_names_the_port_of_prediction(services: dict[str, Any]) -> None:
    named = options(services["discovery"])["prediction_url"]
    published = services["prediction"]["ports"][0].removeprefix("127.0.0.1:").rpartition(":")[0]
    default = published.rpartition("-")[2].rstrip("}")
    assert named.endswith(f":{default}}}"), named
