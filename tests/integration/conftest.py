"""Fixtures of the tests that drive a real Orthanc."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.integration.pacs import ORTHANC, PLUGINS, Pacs
from tests.integration.trixie import TrixieMissing, TrixiePacs, trixie_root

INCOMING: dict[str, Any] = {"Deidentify": {"Mode": "incoming"}}

# Until something goes wrong nothing is waited for in vain: as long as a busy machine may take.
expect.set_options(timeout=60_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here, and say why it is skipped where Orthanc is not installed."""
    missing = [str(p) for p in (ORTHANC, PLUGINS / "libOrthancPython.so") if not p.exists()]
    if shutil.which("dcmsend") is None:
        missing.append("dcmsend")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.orthanc)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


@pytest.fixture
def make_pacs(tmp_path: Path) -> Iterator[Callable[..., Pacs]]:
    """Return what makes an Orthanc in a folder of its own; all are ended afterwards."""
    made: list[Pacs] = []

    def make(preread: Any = INCOMING, *, name: str = "pacs", **more: Any) -> Pacs:
        pacs = Pacs(tmp_path / name, preread, **more)
        made.append(pacs)
        return pacs

    yield make
    for pacs in made:
        pacs.end()


@pytest.fixture
def pacs(make_pacs: Callable[..., Pacs]) -> Pacs:
    """Return a running Orthanc of a dedicated node: incoming, in place."""
    return make_pacs().start()


@pytest.fixture(scope="module")
def shared_settings() -> dict[str, Any]:
    """Return how the node is set that a module's tests share; a module may say otherwise."""
    return INCOMING


@pytest.fixture(scope="module")
def shared_node(
    shared_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pacs]:
    """Return a running Orthanc for a module: a new one with a runner takes many seconds."""
    node = Pacs(tmp_path_factory.mktemp("shared") / "pacs", shared_settings).start()
    yield node
    node.end()


@pytest.fixture
def shared_pacs(shared_node: Pacs) -> Iterator[Pacs]:
    """Return the Orthanc that the module's tests share, without any image.

    It has logged, counted and refused before; who looks at that makes one of its own.
    """
    if not shared_node.answers():  # a test before has ended it
        shared_node.end()
        shared_node.start()
    yield shared_node
    shared_node.empty()


@pytest.fixture
def make_trixie_pacs(tmp_path: Path) -> Iterator[Callable[..., TrixiePacs]]:
    """Return what makes an Orthanc of Debian 13 in a folder of its own; all are stopped.

    Where none can be had the test is skipped. The first time on a machine takes minutes: a test
    that uses it says ``@pytest.mark.trixie`` and has a timeout of its own.
    """
    try:
        root = trixie_root()
    except TrixieMissing as error:
        pytest.skip(f"no Orthanc of Debian 13: {error}")
    made: list[TrixiePacs] = []

    def make(preread: Any = INCOMING, *, name: str = "trixie", **more: Any) -> TrixiePacs:
        pacs = TrixiePacs(root, tmp_path / name, preread, **more)
        made.append(pacs)
        return pacs

    yield make
    for pacs in made:
        pacs.stop()
