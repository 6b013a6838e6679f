"""What an MP4 file says beside its pictures: user data, names, times (ISO/IEC 14496-12).

DICOM allows MP4 around MPEG-4 AVC and HEVC (PS3.5 section 8.2.7). Boxes that no decoder needs are
blanked where they lie, since tables in others count from the beginning of the file. The pictures
themselves, and what their streams carry, are not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from preread.deidentify.frame_walk import BrokenFrame, Edit, Frame

_FIRST: Final = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp"))
_CONTAINERS: Final = frozenset(
    (
        b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf",
        b"mfra",
    )
)  # fmt: skip
_KEPT: Final = frozenset(
    (
        b"ftyp", b"styp", b"mdat", b"sidx", b"ssix", b"pdin", b"iods", b"elst", b"tref", b"vmhd",
        b"smhd", b"hmhd", b"nmhd", b"gmhd", b"gmin", b"stts", b"ctts", b"cslg", b"stss", b"stsh",
        b"stsc", b"stsz", b"stz2", b"stco", b"co64", b"stdp", b"sdtp", b"sbgp", b"sgpd", b"subs",
        b"saiz", b"saio", b"mehd", b"trex", b"leva", b"mfhd", b"tfhd", b"trun", b"tfdt", b"tfra",
        b"mfro",
    )
)  # fmt: skip
"""Tables and headers of numbers; all other boxes may hold anything."""
_DATED: Final = frozenset((b"mvhd", b"tkhd", b"mdhd"))
_MEDIA: Final = frozenset((b"vide", b"soun", b"hint"))
_PICTURES: Final = frozenset(
    (b"avc1", b"avc2", b"avc3", b"avc4", b"hvc1", b"hev1", b"mp4v", b"mp2v", b"m2v1", b"jpeg")
)
_MOST_BOXES: Final = 10_000
_DEEPEST: Final = 10


class _Box(NamedTuple):
    """A box: its four letters, where it begins, where its content does, and its end."""

    name: bytes
    start: int
    content: int
    end: int


def is_mp4(frame: Frame) -> bool:
    """Tell whether a video begins as an MP4 (or QuickTime) file does."""
    return bytes(frame[4:8]) in _FIRST


def blanked(frame: Frame) -> list[Edit]:
    """Return what is to stand where a file says more than a decoder needs.

    Parameters
    ----------
    frame
        The whole file.

    Returns
    -------
    list of Edit
        In order; each replacement is as long as what it replaces, and differs from it.

    Raises
    ------
    BrokenFrame
        If its boxes cannot be walked over, or it has a track that is neither pictures nor sound.
    """
    found = _Blanking(frame)
    found.boxes(0, len(frame), 0, b"")
    return sorted(edit for edit in found.edits if frame[edit.start : edit.end] != edit.replacement)


class _Blanking:
    """The walk over one file."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._count = 0
        self.edits: list[Edit] = []

    def boxes(self, start: int, end: int, depth: int, parent: bytes) -> None:
        """Walk over the boxes of a file or of another box."""
        if depth > _DEEPEST:
            raise BrokenFrame(start, "boxes nested deeper than in any video")
        for box in self._walk(start, end):
            if box.name in _CONTAINERS:
                self.boxes(box.content, box.end, depth + 1, box.name)
            elif box.name in _DATED:
                self._dates(box)
            elif box.name == b"hdlr":
                self._handler(box, parent)
            elif box.name == b"stsd":
                self._descriptions(box)
            elif box.name == b"dref":
                self._references(box)
            elif box.name not in _KEPT:
                self._zero(box.start + 4, box.start + 8, b"free")
                self._zero(box.content, box.end)

    def _walk(self, start: int, end: int) -> Iterator[_Box]:
        frame, at = self._frame, start
        while end - at >= 8:
            length, content = int.from_bytes(frame[at : at + 4], "big"), at + 8
            if length == 1:
                length, content = int.from_bytes(frame[at + 8 : at + 16], "big"), at + 16
            elif length == 0 and not any(frame[at : at + 8]):
                break  # zeros behind the last one
            elif length == 0:
                length = end - at
            self._count += 1
            if at + length < content or at + length > end or self._count > _MOST_BOXES:
                raise BrokenFrame(at, "the boxes of the video do not fit")
            yield _Box(bytes(frame[at + 4 : at + 8]), at, content, at + length)
            at += length
        self._zero(at, end)

    def _zero(self, start: int, end: int, name: bytes = b"") -> None:
        if start < end:
            self.edits.append(Edit(start, end, name or bytes(end - start)))

    def _dates(self, box: _Box) -> None:
        """Forget when the file, a track or a medium was made and changed."""
        size = 16 if bytes(self._frame[box.content : box.content + 1]) == b"\1" else 8
        self._zero(box.content + 4, min(box.content + 4 + size, box.end))

    def _handler(self, box: _Box, parent: bytes) -> None:
        """Forget what a handler is called, and refuse text and the like."""
        kind = bytes(self._frame[box.content + 8 : box.content + 12])
        if parent == b"mdia" and kind not in _MEDIA:
            raise BrokenFrame(box.start, "a video with a track that is neither pictures nor sound")
        self._zero(box.content + 12, box.end)

    def _descriptions(self, box: _Box) -> None:
        """Forget what the encoder calls itself, in each sample description."""
        for entry in self._walk(min(box.content + 8, box.end), box.end):
            if entry.name in _PICTURES and entry.end - entry.start >= 86:
                self._zero(entry.start + 50, entry.start + 82)
                for inner in self._walk(entry.start + 86, entry.end):
                    if inner.name not in _OF_CODECS:
                        self._zero(inner.start + 4, inner.start + 8, b"free")
                        self._zero(inner.content, inner.end)

    def _references(self, box: _Box) -> None:
        """Forget where else data may lie: they must be in the file."""
        for entry in self._walk(min(box.content + 8, box.end), box.end):
            self._zero(entry.content + 4, entry.end)


_OF_CODECS: Final = frozenset(
    (b"avcC", b"hvcC", b"esds", b"btrt", b"colr", b"pasp", b"clap", b"fiel", b"gama")
)
"""What a decoder is told of pictures."""
