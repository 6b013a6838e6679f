"""The metrics, when what they are read from is out of reach."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preread.ledger.errors import JournalError, LedgerError
from preread.ledger.journal import Journal


@pytest.fixture
def context(tmp_path: Path) -> Any:
    def ledger() -> Any:
        raise LedgerError("ledger: out of reach")

    empty = SimpleNamespace(count=lambda: 0)
    return SimpleNamespace(
        journal=Journal(tmp_path / "journal.sqlite"),
        ledger=ledger,
        supervisor=None,
        safekeeping=SimpleNamespace(held=empty, quarantined=empty),
        runner_status=lambda: None,
        age=1.0,
    )


def told(context: Any) -> str:
    views = importlib.import_module("preread.hooks.views_status")
    body: bytes = views.metrics(context).body
    return body.decode()


def test_without_the_ledger_the_rest_is_told(orthanc: ModuleType, context: Any) -> None:
    context.journal.watch.escaped("C-STORE", "why")
    text = told(context)
    for line in (
        "preread_ledger_up 0.0",
        "preread_journal_up 1.0",
        "preread_refused_total 1.0",
        "preread_escaped_total 1.0",
        "preread_runner_up 0.0",
    ):
        assert f"\n{line}\n" in text
    assert "preread_jobs{" not in text


def test_without_the_journal_too(
    orthanc: ModuleType, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged() -> int:
        raise JournalError("journal: damaged")

    monkeypatch.setattr(context.journal, "refused_count", damaged)
    text = told(context)
    assert "\npreread_journal_up 0.0\n" in text
    assert "\npreread_runner_up 0.0\n" in text
