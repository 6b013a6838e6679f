"""Tables of a JPEG or JPEG-LS picture that no scan asks for (ISO/IEC 10918-1 B.2, 14495-1 C.2).

A decoder reads a table and forgets it again, so that there is room in one for anything. What is
used is told from the scans: which quantization, Huffman or mapping table their components name, and
which definition of it came last. Segments whose length is fixed have no room behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from preread.deidentify.frame_walk import Frame

_DHT, _DAC, _DQT, _DNL, _DRI, _DHP, _EXP = 0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF
_SOS, _SOF55, _LSE = 0xDA, 0xF7, 0xF8
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), _SOF55, _DHP}) - {_DHT, 0xC8, _DAC}
_PROGRESSIVE: Final = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_LOSSLESS: Final = frozenset((0xC3, 0xC7, 0xCB, 0xCF))
_FIXED: Final = {_DNL: 2, _DRI: 2, _EXP: 1}
"""Bytes behind the length, by marker."""
_MOST_CONDITIONS: Final = 8  # arithmetic tables: four of each class (B.2.4.3)
_PRESET: Final = 11  # bytes of JPEG-LS coding parameters
_OVERSIZE: Final = range(4, 11)

_Key = tuple[str, int]


class OddSegment(Exception):
    """A segment is not as long as its kind is, or holds tables that are cut off."""


@dataclass(slots=True)
class _Table:
    """One definition: where it lies in the frame, and whether a scan asked for it."""

    start: int
    end: int
    used: bool = False


@dataclass(slots=True)
class _Segment:
    """A segment of tables: where it begins with its fill bytes, where it ends, its marker."""

    start: int
    end: int
    marker: int
    tables: list[_Table] = field(default_factory=list)


class Unused(NamedTuple):
    """A segment of which something goes, and what stands there instead."""

    start: int
    end: int
    replacement: bytes


class Tables:
    """The tables of one frame, segment after segment."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._current: dict[_Key, list[_Table]] = {}
        self._quantization: dict[int, int] = {}  # by component
        self._process = 0

    def read(self, frame: Frame, marker: int, start: int, payload_at: int, end: int) -> None:
        """Take note of a segment.

        Parameters
        ----------
        frame
            The picture.
        marker
            The second byte of the segment's marker.
        start, payload_at, end
            Where it begins with its fill bytes, where what follows its length does, and its end.

        Raises
        ------
        OddSegment
            If it is longer or shorter than its kind is: no decoder takes it.
        """
        payload = bytes(frame[payload_at:end])
        if marker in _FRAMES:
            self._frame_header(marker, payload)
        elif marker == _SOS:
            self._scan(payload)
        elif marker in _FIXED:
            _expect(len(payload) == _FIXED[marker])
        elif marker == _DAC:
            _expect(len(payload) % 2 == 0 and len(payload) <= 2 * _MOST_CONDITIONS)
        elif marker == _LSE:
            self._parameters(payload, start, payload_at, end)
        elif marker in (_DQT, _DHT):
            segment = _Segment(start, end, marker)
            self._segments.append(segment)
            lengths = _quantization_tables if marker == _DQT else _huffman_tables
            for key, at, until in lengths(payload):
                table = _Table(payload_at + at, payload_at + until)
                segment.tables.append(table)
                self._current[key] = [table]

    def unused(self, frame: Frame) -> list[Unused]:
        """Return the segments of which something goes, in order."""
        return [
            Unused(segment.start, segment.end, _shortened(frame, segment))
            for segment in self._segments
            if not all(table.used for table in segment.tables)
        ]

    def _frame_header(self, marker: int, payload: bytes) -> None:
        count = payload[5] if len(payload) > 5 else 0
        _expect(len(payload) == 6 + 3 * count)
        if marker == _DHP:
            return
        self._process = marker
        self._quantization = {payload[at]: payload[at + 2] for at in range(6, len(payload), 3)}

    def _scan(self, payload: bytes) -> None:
        count = payload[0] if payload else 0
        _expect(len(payload) == 4 + 2 * count)
        first = payload[1 + 2 * count]
        for at in range(1, 1 + 2 * count, 2):
            component, chosen = payload[at], payload[at + 1]
            if self._process == _SOF55:
                self._use("mapping", chosen)
                continue
            if self._process not in _LOSSLESS:
                self._use("quantization", self._quantization.get(component, -1))
            if self._process not in _PROGRESSIVE or not first:
                self._use("huffman", chosen >> 4)
            if self._process not in _LOSSLESS and (self._process not in _PROGRESSIVE or first):
                self._use("huffman", 0x10 | chosen & 0xF)

    def _use(self, kind: str, number: int) -> None:
        for table in self._current.get((kind, number), ()):
            table.used = True

    def _parameters(self, payload: bytes, start: int, payload_at: int, end: int) -> None:
        """Read an LSE segment: coding parameters, a part of a mapping table, or a large size."""
        kind = payload[0] if payload else 0
        if kind in (2, 3):
            _expect(len(payload) > 2)
            table = _Table(payload_at, end)
            self._segments.append(_Segment(start, end, _LSE, tables=[table]))
            key = ("mapping", payload[1])
            self._current[key] = [table] if kind == 2 else [*self._current.get(key, ()), table]
        else:
            _expect(
                (kind == 1 and len(payload) == _PRESET) or (kind == 4 and len(payload) in _OVERSIZE)
            )


def _quantization_tables(payload: bytes) -> list[tuple[_Key, int, int]]:
    found, at = [], 0
    while at < len(payload):
        until = at + (129 if payload[at] >> 4 else 65)
        _expect(until <= len(payload))
        found.append((("quantization", payload[at] & 0xF), at, until))
        at = until
    return found


def _huffman_tables(payload: bytes) -> list[tuple[_Key, int, int]]:
    found, at = [], 0
    while at < len(payload):
        until = at + 17 + sum(payload[at + 1 : at + 17])
        _expect(until <= len(payload))
        found.append((("huffman", payload[at] & 0x1F), at, until))
        at = until
    return found


def _shortened(frame: Frame, segment: _Segment) -> bytes:
    kept = b"".join(bytes(frame[table.start : table.end]) for table in segment.tables if table.used)
    if not kept:
        return b""
    return bytes((0xFF, segment.marker)) + (len(kept) + 2).to_bytes(2, "big") + kept


def _expect(is_so: bool) -> None:
    if not is_so:
        raise OddSegment
