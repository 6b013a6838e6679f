"""Files in the order in which several processes take them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.order import LONGEST, in_order

ROOT = Path(__file__).parents[2]


class Item:
    """A test as the order sees it."""

    def __init__(self, path: Path, *marks: str) -> None:
        self.path, self.marks = path, marks

    def get_closest_marker(self, name: str) -> bool:
        return name in self.marks


def ordered(*items: Item) -> list[Item]:
    return cast("list[Item]", in_order(cast("list[pytest.Item]", items), ROOT))


def test_the_longest_are_there_and_come_first() -> None:
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []
    short, longer, longest = (Item(ROOT / name) for name in ("a.py", LONGEST[1], LONGEST[0]))
    assert ordered(short, longer, longest) == [longest, longer, short]


def test_what_waits_is_spread_and_the_end_computes() -> None:
    waiting = [Item(Path(f"w{number}"), "orthanc") for number in range(3)]
    computing = [Item(Path(f"c{number}")) for number in range(6)]
    order = ordered(*computing, *waiting)
    assert "".join(str(item.path)[0] for item in order) == "cwcwccwcc"
    assert [item for item in order if item in waiting] == waiting


def test_the_tests_of_a_file_stay_together() -> None:
    one, other = Path("one"), Path("other")
    items = [Item(one), Item(other), Item(one, "docker"), Item(other)]
    order = ordered(*items)
    assert [item.path for item in order] in ([one, one, other, other], [other, other, one, one])
    assert [item for item in order if item.path == one] == [items[0], items[2]]
