"""The frame around encapsulated pixel data: offset tables, fragments, the delimiter (PS3.5 A.4).

Each of them has room for bytes that no decoder asks for. What is kept points at fragments that
are there, or is zero.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from preread.elements import Budget, Element, Encoding, Ends, MalformedFile, encode_header, items

Fragment = tuple[int, int, int]
"""Offsets of a fragment's tag, of its content and behind it."""
Body = bytes | memoryview
"""A fragment with its tag, or a piece of one."""
Extended = tuple[Sequence[int], Sequence[int] | None]
"""Values of ExtendedOffsetTable and of ExtendedOffsetTableLengths."""

_EXPLICIT: Final = Encoding(implicit=False, little=True)
_PIXEL_DATA: Final = 0x7FE00010
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = b"\xfe\xff\x00\xe0"
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_ONE_FOR_EACH_FRAME: Final = frozenset(
    ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1")
)
"""RLE, Encapsulated Uncompressed and Deflated Image Frame: a frame is a fragment."""


@dataclass(frozen=True, slots=True)
class Stripped:
    """Pixel data without what was attached to its frames.

    Attributes
    ----------
    parts
        The whole element in pieces, from its header to its delimiter; slices of the input where
        nothing changed.
    offsets, lengths
        Values of ExtendedOffsetTable and ExtendedOffsetTableLengths (bytes, padding left out)
        that stand for the new element; None if it goes without.
    removed
        How many segments, boxes and ends of frames went or became shorter.
    """

    parts: list[Body]
    offsets: list[int] | None
    lengths: list[int] | None
    removed: int


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """Encapsulated pixel data as they lie in a file.

    Attributes
    ----------
    view
        The file (or the data set).
    element
        PixelData of undefined length in it.
    items
        The Basic Offset Table, which a malformed file may lack, and the fragments.
    budget
        What may be spent on them.
    """

    view: memoryview
    element: Element
    items: Sequence[Fragment]
    budget: Budget

    @classmethod
    def of(cls, data: bytes | memoryview, element: Element, ends: Ends | None = None) -> Self:
        """Find the items of encapsulated pixel data.

        Parameters
        ----------
        data
            The file (or the data set).
        element
            PixelData of undefined length in it.
        ends
            With what may be spent; None for no bound.

        Raises
        ------
        MalformedFile
            If there is anything but items, or one without a length.
        preread.elements.OverBudget
            If it takes longer than it may.
        """
        ends = Ends() if ends is None else ends
        found = list(items(data, element.value, element.value_end, _EXPLICIT, ends=ends))
        position = element.value
        for start, _, end in found:
            if start != position:
                raise MalformedFile(position, _PIXEL_DATA, "a fragment of undefined length")
            position = end
        if position != element.value_end:
            raise MalformedFile(position, _PIXEL_DATA, "a fragment of undefined length")
        return cls(memoryview(data), element, found, ends.budget)

    @property
    def fragments(self) -> Sequence[Fragment]:
        """What holds pixels."""
        return self.items[1:]

    @property
    def is_enclosed(self) -> bool:
        """Whether header and delimiter are as they are to be."""
        view, element = self.view, self.element
        return (
            element.vr in (b"OB", b"OW")
            and not any(view[element.start + 6 : element.start + 8])
            and bytes(view[element.value_end : element.end]) == _SEQUENCE_END
        )

    def pointed_at(self, starts: Sequence[int]) -> list[int] | None:
        """Return which of `starts` the Basic Offset Table points at, None if it points elsewhere.

        Parameters
        ----------
        starts
            Counted from the end of the table.
        """
        _, start, end = self.items[0]
        table = self.view[start:end]
        if len(table) % 4 or len(table) > 4 * len(starts):
            return None
        index_of = {start: index for index, start in enumerate(starts)}
        pointed = [index_of.get(offset) for (offset,) in struct.iter_unpack("<I", table)]
        found = [index for index in pointed if index is not None]
        return found if len(found) == len(pointed) and found == sorted(set(found)) else None

    def enclosed(self, pointers: Sequence[int], bodies: Sequence[Body]) -> list[Body]:
        """Return PixelData of undefined length in pieces that stand for these.

        Parameters
        ----------
        pointers
            Values of the Basic Offset Table; it stays empty where one is too large for it.
        bodies
            The fragments with their item tags.
        """
        if any(pointer > _UNDEFINED for pointer in pointers):
            pointers = []
        vr = b"OW" if self.element.vr == b"OW" else b"OB"
        header = encode_header(_PIXEL_DATA, vr, _UNDEFINED, _EXPLICIT)
        table = struct.pack(f"<{len(pointers)}I", *pointers)
        return [header + beginning_of(len(table)) + table, *bodies, _SEQUENCE_END]

    def cut(self, longest: int) -> Stripped | None:
        """Return pixel data whose fragments are no longer than the frame in each.

        Parameters
        ----------
        longest
            Bytes of a frame.

        Returns
        -------
        Stripped or None
            None if none is longer, but for padding of one byte.

        Raises
        ------
        MalformedFile
            If what is too much is another frame.
        """
        padded = longest + longest % 2
        if all(end - start <= padded for _, start, end in self.fragments):
            return None
        bodies: list[Body] = []
        removed = 0
        for item, start, end in self.fragments:
            if end - start >= 2 * longest:
                raise MalformedFile(item, _PIXEL_DATA, "a fragment that holds more than its frame")
            size = min(end - start, padded)
            bodies += [beginning_of(size), self.view[start : start + size]]
            removed += size < end - start
        return Stripped(self.enclosed([], bodies), None, None, removed)

    def patched(self, edits: Sequence[tuple[int, int, bytes]]) -> Stripped:
        """Return pixel data in which bytes were replaced by as many others.

        Parameters
        ----------
        edits
            Where in the joined fragments what begins, ends and stands.
        """
        view, bodies, before = self.view, list[Body](), 0
        for item, start, end in self.fragments:
            bodies.append(view[item:start])
            at = start
            for first, last, new in edits:
                begin, until = max(first - before + start, start), min(last - before + start, end)
                if begin < until:
                    skipped = begin - start + before - first
                    bodies += [view[at:begin], new[skipped : skipped + until - begin]]
                    at = until
            bodies.append(view[at:end])
            before += end - start
        return Stripped(self.enclosed([], bodies), None, None, len(edits))

    def tidied(
        self, transfer_syntax: str, number_of_frames: int, extended: Extended | None
    ) -> Stripped | None:
        """Return pixel data whose fragments stay as they are, without what lies between.

        A Basic Offset Table that does not point at fragments is emptied; an Extended Offset Table
        that does not tell where each fragment begins and how long it is goes.

        Parameters
        ----------
        transfer_syntax
            The UID.
        number_of_frames
            What NumberOfFrames says.
        extended
            None if the file has no such table.

        Returns
        -------
        Stripped or None
            None if all stays as it is.

        Raises
        ------
        MalformedFile
            If there are more fragments than frames where each frame is one.
        """
        view, element, fragments = self.view, self.element, self.fragments
        if not self.items:
            is_sound = extended is None and self.is_enclosed
            return None if is_sound else _whole(self.enclosed([], []))
        if transfer_syntax in _ONE_FOR_EACH_FRAME and len(fragments) > number_of_frames:
            reason = "more fragments than frames, of which each is a single one"
            raise MalformedFile(element.start, element.tag, reason)
        _, _, behind_table = self.items[0]
        starts = [start - behind_table for start, _, _ in fragments]
        basic = self.pointed_at(starts)
        is_sound = basic is not None and self.is_enclosed
        is_told = extended is None or _tells(extended, starts, fragments)
        if is_sound and is_told:
            return None
        if is_sound:
            return _whole([view[element.start : element.end]])
        pointers = [starts[index] for index in basic or ()]
        parts = self.enclosed(pointers, [view[behind_table : element.value_end]])
        if extended is None or not is_told:
            return _whole(parts)
        return Stripped(parts, list(extended[0]), list(extended[1] or ()), 0)


def beginning_of(length: int) -> bytes:
    """Return what stands before the content of a fragment, or of the Basic Offset Table."""
    return struct.pack("<4sI", _ITEM, length)


def _whole(parts: list[Body]) -> Stripped:
    return Stripped(parts, offsets=None, lengths=None, removed=0)


def _tells(extended: Extended, starts: Sequence[int], fragments: Sequence[Fragment]) -> bool:
    offsets, lengths = extended
    if lengths is None or list(offsets) != starts or len(lengths) != len(fragments):
        return False
    pairs = zip(lengths, fragments, strict=True)
    return all(end - start - length in (0, 1) for length, (_, start, end) in pairs)
