"""What the documents say is what the project does."""

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import json5
import pytest
from typer.testing import CliRunner

from preread.cli import app
from preread.results import private_dictionary
from preread.settings import Mode, Placement, site_from_file

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURATIONS = [ROOT / "orthanc.json", ROOT / "plugin" / "docker" / "orthanc.json"]


def _configuration(path: Path) -> dict[str, Any]:
    content = json5.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def _documented_packages(title: str) -> set[str]:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    title, _, part = title.partition("/")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    section = section.partition(f"### {part}\n")[2] if part else section
    section = section.partition("\n### ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", section, flags=re.MULTILINE)
    assert all(len(reason) > 10 for _, reason in rows)
    return {name for name, _ in rows}


def _names(requirements: list[str]) -> set[str]:
    found = {match[0] for line in requirements if (match := re.match(r"[\w-]+", line))}
    return found - {"preread"}  # by its extras


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, lines in project["optional-dependencies"].items():
        assert _documented_packages(f"Python packages/Extra `{extra}`") == _names(lines), extra
    assert _documented_packages("Python packages") == _names(project["dependencies"])


def test_every_debian_package_has_its_reason() -> None:
    setup = (ROOT / ".ci" / "setup").read_text(encoding="utf-8")
    lists = re.findall(r"packages\+?=\(([\w\s-]+)\)", setup)
    assert _documented_packages("Debian packages") == set(" ".join(lists).split())


def test_the_settings_reference_is_up_to_date() -> None:
    printed = CliRunner().invoke(app, ["settings"])
    assert printed.exit_code == 0
    file = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert file == printed.stdout, "run: make docs"


def test_the_shipped_configuration_is_that_of_a_node_of_its_own() -> None:
    site = site_from_file(ROOT / "orthanc.json")
    assert site.settings.deidentify.mode is Mode.INCOMING
    assert site.settings.predictions.placement is Placement.IN_PLACE
    assert site.models_folder == ROOT / "models"
    configuration = _configuration(ROOT / "orthanc.json")
    assert configuration["RemoteAccessAllowed"] is False
    assert "Host" not in configuration["DicomWeb"]
    assert (ROOT / configuration["PythonScript"]).is_file()


def test_the_configuration_of_the_image_asks_for_passwords() -> None:
    configuration = _configuration(ROOT / "plugin" / "docker" / "orthanc.json")
    site_from_file(ROOT / "plugin" / "docker" / "orthanc.json")
    assert configuration["RemoteAccessAllowed"] is True
    assert configuration["AuthenticationEnabled"] is True


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: str(path.parent.name))
def test_configurations_declare_the_private_dictionary(path: Path) -> None:
    assert _configuration(path)["Dictionary"] == private_dictionary()


def test_the_conformance_statement_names_the_private_elements() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    entries = list(private_dictionary().values())
    for _, name, *_ in [*entries[:7], entries[-1]]:
        assert str(name) in text
    assert str(entries[0][-1]) in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "#")):
            assert (document.parent / target.partition("#")[0]).exists(), target


def test_commands_of_the_readme_exist_and_ci_runs_its_tests() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", readme)) <= targets
    assert "```sh\nmake test\n```" in readme
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").count("\nmake test\n") == 1


def test_the_licence_is_whole() -> None:
    # As published at https://www.gnu.org/licenses/agpl-3.0.txt.
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "0d96a4ff68ad6d4b6f1f30f713b18d5184912ba8dd389f86aa7710db079abcb0"
