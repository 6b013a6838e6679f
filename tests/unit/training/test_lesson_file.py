from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preread.training import lesson_file
from preread.training.lesson_file import kept_lessons
from preread.training.teacher import Lessons

ONE, OTHER = "1" * 64, "2" * 64


class Asked:
    """Makes lessons, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Lessons:
        self.times += 1
        random = torch.Generator().manual_seed(self.times)
        return Lessons(
            torch.randint(0, 256, (3, 2, 8, 8), generator=random, dtype=torch.uint8),
            torch.randn(3, 2, 5, generator=random),
            torch.randn(3, 2, 7, generator=random),
        )


def test_a_teacher_is_asked_once(tmp_path: Path) -> None:
    asked = Asked()
    made = kept_lessons(tmp_path, ONE, asked)
    again = kept_lessons(tmp_path, ONE, asked)
    assert asked.times == 1
    for name in ("views", "logits", "features"):
        assert torch.equal(getattr(made, name), getattr(again, name))
    other = kept_lessons(tmp_path, OTHER, asked)
    assert asked.times == 2
    assert not torch.equal(other.logits, made.logits)


@pytest.mark.parametrize("harm", ["cut", "empty", "of another origin", "too large"])
def test_a_file_that_is_of_no_use_is_made_anew(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked()
    kept_lessons(tmp_path, ONE, asked)
    [path] = tmp_path.iterdir()
    if harm == "too large":
        monkeypatch.setattr(lesson_file, "LARGEST_LESSONS", 9)
    data = path.read_bytes()
    changed = {"cut": data[:-1], "empty": b"", "of another origin": data.replace(b"11", b"12")}
    path.write_bytes(changed.get(harm, data))
    kept_lessons(tmp_path, ONE, asked)
    assert asked.times == 2
