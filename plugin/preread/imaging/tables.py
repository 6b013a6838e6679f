"""Lookup tables: Modality LUT, VOI LUT and the palettes (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5).

pydicom's functions for them go astray on files as they are found: a table of 12 bits is refused,
an index above 255 into an 8-bit table wraps around, and a segmented palette may expand without
bound. So they are read here, and compared with pydicom's in the tests wherever both apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from preread.imaging.attributes import named, value_of
from preread.imaging.errors import UnreadableImage

_LARGEST = 65536
"""A descriptor's first value has 16 bits, and 0 stands for 2**16 entries."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A LUT Descriptor: how many entries, the value of the first, and the bits of each.

    Attributes
    ----------
    entries
        1 to 65536.
    first
        The stored value that the first entry stands for.
    bits
        8 to 16.
    """

    entries: int
    first: int
    bits: int


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """Entries for whole numbers from `first` on; what lies outside takes the nearest entry.

    Attributes
    ----------
    first
        The value that the first entry stands for.
    entries
        (N,) or, for a palette, (N, 3).
    bits
        The entries' range is 0 to 2**bits - 1.
    """

    first: int
    entries: NDArray[Any]
    bits: int

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Look whole numbers up."""
        index = np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return np.take(self.entries, index, axis=0)


def lookup_table(item: Dataset, *, signed: bool, little: bool) -> LookupTable:
    """Read the item of a Modality LUT or VOI LUT Sequence.

    Parameters
    ----------
    item
        With LUTDescriptor (0028,3002) and LUTData (0028,3006).
    signed
        Whether the values that are looked up may be negative.
    little
        The file's byte order.

    Raises
    ------
    UnreadableImage
        If the table is not there, or has no entries.
    """
    descriptor = _descriptor(item, "LUTDescriptor", signed=signed, little=little)
    entries = _entries(item, "LUTData", descriptor, little=little)
    bits = descriptor.bits
    # The descriptor sometimes claims 8 bits for entries of 12; the entries then decide.
    highest = int(entries.max())
    return LookupTable(descriptor.first, entries, max(bits, highest.bit_length()))


def palette_table(dataset: Dataset, *, signed: bool, little: bool) -> LookupTable:
    """Read the Palette Color Lookup Table module, plain or segmented (PS3.3 C.7.9).

    Parameters
    ----------
    dataset
        The image's attributes.
    signed
        Whether stored values are signed.
    little
        The file's byte order.

    Returns
    -------
    LookupTable
        Entries (N, 3), uint8 or uint16.

    Raises
    ------
    UnreadableImage
        If a table is missing or broken.
    """
    channels: list[NDArray[np.uint16]] = []
    first = 0
    for colour in ("Red", "Green", "Blue"):
        descriptor = _descriptor(
            dataset, f"{colour}PaletteColorLookupTableDescriptor", signed=signed, little=little
        )
        keyword = f"{colour}PaletteColorLookupTableData"
        segmented = f"Segmented{keyword}"
        if value_of(dataset, keyword) is not None:
            entries = _entries(dataset, keyword, descriptor, little=little)
        else:
            entries = _expanded(dataset, segmented, descriptor, little=little)
        if not channels:
            first = descriptor.first
        channels.append(entries)
    if len({len(entries) for entries in channels}) != 1:
        raise UnreadableImage("the palette's red, green and blue tables differ in length")
    # Some descriptors say 8 bits of entries that have 16; entries above 255 decide.
    wide = max(int(entries.max()) for entries in channels) > 255
    kind = np.uint16 if wide else np.uint8
    return LookupTable(first, np.stack(channels, axis=1).astype(kind), 16 if wide else 8)


def _descriptor(dataset: Dataset, keyword: str, *, signed: bool, little: bool) -> Descriptor:
    value = value_of(dataset, keyword)
    if isinstance(value, bytes) and len(value) == 6:
        # Read as UN or OW.
        value = unpack("<3H" if little else ">3H", value)
    try:
        entries, first, bits = (int(number) for number in value)
    except (TypeError, ValueError):
        raise UnreadableImage(
            f"{named(keyword)} is missing or not three numbers, so a lookup table cannot be read"
        ) from None
    entries = entries & 0xFFFF or _LARGEST
    # Its VR may be US or SS whatever the pixels are.
    first &= 0xFFFF
    if signed and first & 0x8000:
        first -= 0x10000
    if not 1 <= bits <= 16:
        raise UnreadableImage(f"{named(keyword)} claims {bits} bits for an entry; expected 8 to 16")
    return Descriptor(entries, first, bits)


def _entries(
    dataset: Dataset, keyword: str, descriptor: Descriptor, *, little: bool
) -> NDArray[np.uint16]:
    value = value_of(dataset, keyword)
    if isinstance(value, bytes):
        words = np.frombuffer(value[: len(value) // 2 * 2], dtype="<u2" if little else ">u2")
        # 8-bit entries are packed two to a word, the first in its lower byte, unless each has a
        # word of its own (PS3.3 C.11.1.1, C.7.6.3.1.6).
        packed = len(words) < descriptor.entries and descriptor.bits <= 8
        entries = words.astype("<u2").view(np.uint8) if packed else words
    else:
        try:
            entries = np.array([int(number) & 0xFFFF for number in value], dtype=np.uint16)
        except (TypeError, ValueError):
            raise UnreadableImage(
                f"{named(keyword)} is missing or holds no numbers, so a lookup table cannot be read"
            ) from None
    if len(entries) < descriptor.entries:
        raise UnreadableImage(
            f"{named(keyword)} holds {len(entries)} entries; its descriptor claims "
            f"{descriptor.entries}"
        )
    return entries[: descriptor.entries].astype(np.uint16)


def _expanded(
    dataset: Dataset, keyword: str, descriptor: Descriptor, *, little: bool
) -> NDArray[np.uint16]:
    """Expand a segmented palette, never beyond its descriptor's length."""
    value = value_of(dataset, keyword)
    if not isinstance(value, bytes):
        raise UnreadableImage(f"{named(keyword)} is missing, as is the palette without segments")
    wide = descriptor.bits > 8
    kind = np.dtype(np.uint8 if not wide else "<u2" if little else ">u2")
    words = np.frombuffer(value[: len(value) // kind.itemsize * kind.itemsize], dtype=kind)
    if not wide and not little:
        # Bytes lie in 16-bit words.
        words = words[: len(words) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
    data = [int(word) for word in words]
    try:
        entries = _segments(data, 0, None, [], descriptor.entries, wide=wide)
    except (IndexError, ValueError):
        raise UnreadableImage(f"{named(keyword)} holds broken segments (PS3.3 C.7.9.2)") from None
    if len(entries) < descriptor.entries:
        raise UnreadableImage(
            f"{named(keyword)} expands to {len(entries)} entries; its descriptor claims "
            f"{descriptor.entries}"
        )
    return np.array(entries, dtype=np.uint16)


def _segments(
    data: list[int], at: int, count: int | None, made: list[int], limit: int, *, wide: bool
) -> list[int]:
    """Append the entries of `count` segments from `at` on, until `made` holds `limit`.

    Every segment must make an entry and an indirect one may not lead to another, so neither time
    nor depth can grow beyond the table.
    """
    top_level = count is None
    while at + 1 < len(data) and len(made) < limit and (count is None or count > 0):
        kind, length = data[at], data[at + 1]
        at += 2
        before = len(made)
        if kind == 0:
            made.extend(data[at : at + length])
            at += length
        elif kind == 1:
            steps = np.linspace(made[-1], data[at], length + 1)[1:]
            made.extend(int(value) for value in np.around(steps))
            at += 1
        elif kind == 2 and top_level:
            size = 2 if wide else 4
            offset = sum(data[at + place] << place * (16 if wide else 8) for place in range(size))
            at += size
            # The offset counts bytes from the start of the table.
            _segments(data, offset // 2 if wide else offset, length, made, limit, wide=wide)
        else:
            raise ValueError(f"segment type {kind}")
        if len(made) == before:
            raise ValueError("a segment without entries")
        count = None if count is None else count - 1
    del made[limit:]
    return made
