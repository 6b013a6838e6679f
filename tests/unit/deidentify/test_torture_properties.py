"""Data sets at random: any attribute of the table at any depth, with any VR, in any encoding."""

from __future__ import annotations

import random
from io import BytesIO

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from preread.deidentify import Deidentifier, DeidentifyOptions, Option, Secret
from tests.unit.deidentify.conftest import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Node
from tests.unit.deidentify.torture import ROWS, Mint, Search, may_stay, vr_of
from tests.unit.deidentify.torture.canaries import TEXTS
from tests.unit.deidentify.torture.files import write
from tests.unit.deidentify.torture.planting import (
    IDENTITY,
    KEPT_SEQUENCES,
    Planter,
    image,
    in_order,
)
from tests.unit.deidentify.torture.rows import row_of
from tests.unit.deidentify.torture.scripts import SCRIPTS

SECRET = Secret(bytes(range(32)))
SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
VRS = (
    b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OW",
    b"PN", b"SH", b"SL", b"ST", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR", b"UT",
)  # fmt: skip
# Besides the table: repeating groups, private and unknown attributes, names and times elsewhere.
MORE = (
    0x00090010, 0x00091001, 0x00290010, 0x00291008, 0x50002500, 0x501E0022, 0x60001500, 0x601E4000,
    0x60003000, 0x00140102, 0x00140104, 0x0040A123, 0x00089999, 0xFFFCFFFC,
)  # fmt: skip
TAGS = tuple(sorted({*(tag for tag, _ in ROWS), *MORE} - IDENTITY))
LISTED_SEQUENCES = tuple(tag for tag, row in ROWS if vr_of(tag) == b"SQ" and "U" not in row.action)
PRIVATE_SEQUENCES = (0x00091010, 0x00291011)
EXCLUDING = {Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES}


class Builder:
    """Builds one data set."""

    def __init__(self, seed: int, syntax: str) -> None:
        self.rng = random.Random(seed)
        self.syntax = syntax
        self.planter = Planter(Mint())
        self.script = self.rng.choice((None, *SCRIPTS))

    def file(self) -> bytes:
        nodes = [*image(self.planter, "top"), *self.level((), 40)]
        if self.script is not None:
            nodes.append(Node(0x00080005, b"CS", self.script.terms))
        return write(nodes, self.syntax)

    def level(self, around: tuple[int, ...], count: int) -> list[Node]:
        sequences = set()
        if len(around) < 5:
            for _ in range(self.rng.randrange(1, 4)):
                kind = self.rng.choice((KEPT_SEQUENCES, LISTED_SEQUENCES, PRIVATE_SEQUENCES))
                sequences.add(self.rng.choice(kind))
        nodes = [self.sequence(tag, around) for tag in sorted(sequences)]
        tags = (tag for tag in self.rng.sample(TAGS, count) if tag not in sequences)
        nodes += [self.element(tag, around) for tag in tags]
        return in_order(nodes)

    def element(self, tag: int, around: tuple[int, ...]) -> Node:
        vr = vr_of(tag)
        if vr in {b"SQ", b"US", b"SS"} or self.rng.random() < 0.2:
            vr = self.rng.choice(VRS)
        script = self.script if self.rng.random() < 0.5 and vr in TEXTS else None
        return self.planter.node(tag, "random", around, vr=vr, script=script)

    def sequence(self, tag: int, around: tuple[int, ...]) -> Node:
        # UN of undefined length holds implicit VR, little endian (PS3.5 section 6.2.2).
        unknown = self.syntax in {EXPLICIT, DEFLATED} and self.rng.random() < 0.15
        items = [self.level((*around, tag), 6) for _ in range(self.rng.randrange(1, 3))]
        return Node(
            tag,
            b"UN" if unknown else b"SQ",
            items=items,
            undefined=unknown or self.rng.random() < 0.5,
            item_undefined=self.rng.random() < 0.5,
        )


def _options(data: st.DataObject) -> frozenset[Option]:
    chosen = data.draw(st.frozensets(st.sampled_from(sorted(Option)), max_size=4))
    return chosen - {Option.RETAIN_LONGITUDINAL_FULL_DATES} if chosen >= EXCLUDING else chosen


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), syntax=st.sampled_from(SYNTAXES))
def test_the_basic_profile_leaves_nothing_of_any_data_set(seed: int, syntax: str) -> None:
    builder = Builder(seed, syntax)
    original = builder.file()
    done = Deidentifier(SECRET).deidentify(original).data
    left = Search(builder.planter.mint.made).found(done)
    assert [each.place for each in left] == []
    dcmread(BytesIO(done)).save_as(BytesIO())


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), syntax=st.sampled_from(SYNTAXES), data=st.data())
def test_options_leave_of_any_data_set_what_the_table_lets_stay(
    seed: int, syntax: str, data: st.DataObject
) -> None:
    options = _options(data)
    builder = Builder(seed, syntax)
    original = builder.file()
    done = Deidentifier(SECRET, DeidentifyOptions(options=options)).deidentify(original).data
    left = Search(builder.planter.mint.made).found(done)
    assert [each.place for each in left if not may_stay(each.path, options)] == []


def test_what_is_built_holds_every_value() -> None:
    for seed in range(8):
        builder = Builder(seed, SYNTAXES[seed % 4])
        original = builder.file()
        found = Search(builder.planter.mint.made).found(original)
        # Of two elements with a tag one is written, and a number of the wrong VR may be another.
        assert len(found) > len(builder.planter.mint.made) * 0.98
        assert {len(each.path) for each in found} >= {1, 2, 3}
    assert all(row_of(tag) is None for tag in KEPT_SEQUENCES)
