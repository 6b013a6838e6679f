"""The torture set through the engine: what is left, by option, and which rows were obeyed."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from preread.deidentify import Deidentifier, DeidentifyOptions, Option, Secret
from tests.unit.deidentify.sealing import person
from tests.unit.deidentify.torture import (
    ROWS,
    Canary,
    Search,
    TortureFile,
    may_stay,
    obeyed,
    torture_files,
)

SECRET = Secret(bytes(range(32)))
FILES = torture_files()
BY_NAME = {file.name: file for file in FILES}
FULL, MODIFIED = Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES
CLEANING = frozenset(
    (Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_GRAPHICS)
)
COMBINED = (
    CLEANING,
    CLEANING | {MODIFIED},
    frozenset(Option) - {FULL},
    frozenset(Option) - {MODIFIED},
    frozenset((Option.RETAIN_UIDS, Option.RETAIN_DEVICE_IDENTITY, Option.CLEAN_DESCRIPTORS)),
)
OPTIONS = (*(frozenset((option,)) for option in Option), *COMBINED)


def _engine(options: frozenset[Option] = frozenset()) -> Deidentifier:
    return Deidentifier(SECRET, DeidentifyOptions(options=options))


def _left(file: TortureFile, options: frozenset[Option] = frozenset()) -> set[Canary]:
    return Search(file.canaries).found(_engine(options).deidentify(file.data).data)


def _places(canaries: set[Canary]) -> list[str]:
    return sorted(f"{each.category}: {each.place}" for each in canaries)


def test_the_set_has_every_row_at_every_level_and_every_kind_of_place() -> None:
    assert len(FILES) >= 14
    assert sum(len(file.canaries) for file in FILES) >= 3800
    categories = {each.category for file in FILES for each in file.canaries}
    assert {f"nested {depth}" for depth in range(1, 6)} <= categories
    assert {"top", "private", "50xx", "60xx", "report", "file meta", "preamble"} <= categories
    for depth in range(1, 6):
        file = BY_NAME[f"nested {depth}"]
        planted = {each.path[depth] for each in file.canaries if len(each.path) > depth}
        # Values of two bytes cannot be told from chance; `obeyed` looks at them.
        assert len({tag for tag, _ in ROWS} - planted) == 2


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_planted_value_is_found_in_the_original(file: TortureFile) -> None:
    assert set(file.canaries) - Search(file.canaries).found(file.data) == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_basic_profile_leaves_nothing(file: TortureFile) -> None:
    assert _places(_left(file)) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(sorted(options)))
def test_options_leave_no_more_than_the_table_lets_stay(
    options: frozenset[Option], file: TortureFile
) -> None:
    left = _left(file, options)
    assert _places({each for each in left if not may_stay(each.path, options)}) == []


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(sorted(options)))
def test_options_retain_at_the_top_level_all_that_the_table_keeps(
    options: frozenset[Option],
) -> None:
    file = BY_NAME["top, explicit"]
    left = _left(file, options)
    listed = {tag for tag, _ in ROWS}
    kept = {
        each
        for each in file.canaries
        if len(each.path) == 1
        and each.path[0] in listed
        and may_stay(each.path, options)
        and each.path[0] not in NEVER
    }
    assert _places(kept - left) == []


# A pseudonym stands for these whatever the options, and an offset is none if it is a canary.
NEVER = {0x00100010, 0x00100020, 0x00080201}


def _exceptions(before: Dataset, after: Dataset, options: frozenset[Option]) -> dict[str, str]:
    return {
        f"{row.tag} {row.action}": done
        for tag, row in ROWS
        if (done := obeyed(before, after, tag, row, options))
    }


@pytest.mark.parametrize(
    "options", [frozenset(), *COMBINED[:2]], ids=lambda options: "+".join(sorted(options))
)
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big endian", "deflated"])
def test_every_row_is_obeyed_exactly(syntax: str, options: frozenset[Option]) -> None:
    file = BY_NAME[f"top, {syntax}"]
    done = _engine(options).deidentify(file.data)
    before, after = dcmread(BytesIO(file.data)), dcmread(BytesIO(done.data))
    assert len(ROWS) == 648
    assert {tag for tag, _ in ROWS} - {element.tag for element in before} == set()
    assert _exceptions(before, after, options) == {}


def test_a_row_that_is_not_obeyed_is_noticed() -> None:
    before = dcmread(BytesIO(BY_NAME["top, explicit"].data))
    # Nothing done, and everything removed: neither is what the table wants.
    assert len(_exceptions(before, before, frozenset())) == len(ROWS)
    removed = _exceptions(before, Dataset(), frozenset())
    assert set(removed.values()) == {"X"}
    assert {code.split()[1] for code in removed} >= {"D", "Z", "U", "Z/D"}
    assert len(removed) >= sum("X" not in row.action for _, row in ROWS)
    emptied = dcmread(BytesIO(BY_NAME["top, explicit"].data))
    for element in emptied:
        element.value = [] if element.VR == "SQ" else None
    wrong = _exceptions(before, emptied, frozenset())
    assert all(code.split()[1] in {"X", "D", "U", "X/D", "Z/D", "X/Z/D"} for code in wrong)
    assert len(wrong) > 500


def test_all_canaries_are_alone_in_the_whole_set() -> None:
    numbers = [each.number for file in FILES for each in file.canaries]
    assert len(numbers) == len(set(numbers))
    for one, other in itertools.pairwise(FILES):
        tokens = {token for each in one.canaries for token in each.tokens if b"." in token}
        assert tokens.isdisjoint(token for each in other.canaries for token in each.tokens)


def test_what_was_measured_goes_from_a_report_and_its_references_stay() -> None:
    file = BY_NAME["report"]
    after = dcmread(BytesIO(_engine().deidentify(file.data).data))
    number = next(item for item in after.ContentSequence if item.ValueType == "NUM")
    assert number.MeasuredValueSequence == []
    before = dcmread(BytesIO(file.data))
    cleaned = _engine(frozenset((Option.CLEAN_STRUCTURED_CONTENT,))).deidentify(file.data).data
    kept = [
        next(item for item in each.ContentSequence if item.ValueType == "NUM")
        .MeasuredValueSequence[0]
        .NumericValue
        for each in (before, dcmread(BytesIO(cleaned)))
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "options", [frozenset(), *COMBINED], ids=lambda options: "+".join(sorted(options))
)
def test_what_is_done_again_stays_as_it_is(options: frozenset[Option]) -> None:
    engine = _engine(options)
    for file in FILES:
        once = engine.deidentify(file.data).data
        assert engine.deidentify(once).data == once, file.name


def test_what_is_sealed_for_recipients_cannot_be_read(tmp_path: Path) -> None:
    recipient = person(tmp_path, "recipient").certificate
    engine = Deidentifier(SECRET, DeidentifyOptions(recipients=(recipient,)))
    for file in FILES:
        done = engine.deidentify(file.data).data
        assert "EncryptedAttributesSequence" in dcmread(BytesIO(done)), file.name
        assert _places(Search(file.canaries).found(done)) == []
