"""What continuous integration tries on Debian 13 is there, and covers what it must."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
COVERED = {"receive", "stow", "read", "regions", "review", "refusals", "restart"}


def _lines() -> list[tuple[str, str, str]]:
    text = (ROOT / ".ci" / "trixie-set").read_text(encoding="utf-8")
    found = re.findall(r"^([a-z]+) +(tests/[\w/]+\.py)(?:::(\w+))?$", text, flags=re.MULTILINE)
    assert len(found) == len([line for line in text.splitlines() if not line.startswith("#")])
    return found


def test_the_seven_things_and_the_metadata_are_covered() -> None:
    assert {what for what, _, _ in _lines()} == COVERED | {"metadata"}


def test_every_test_of_the_set_exists() -> None:
    for _, file, test in _lines():
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {test or 'test_'}", text, flags=re.MULTILINE), (file, test)


def test_continuous_integration_runs_the_set_after_the_whole() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    whole, _, after = text.partition("\nmake test\n")
    assert "trixie" not in whole.partition("exec </dev/null")[2]
    assert re.search(r"^timeout .* 600 \.ci/trixie \.ci/trixie-tests core$", after, re.MULTILINE)
