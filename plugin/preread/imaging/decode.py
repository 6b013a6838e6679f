"""Stored pixel values of one frame at a time, from any transfer syntax that can be decoded.

pydicom's decoders do the work. Around them: what must be checked before they run, the order in
which the libraries under them are tried, and one kind of error whatever they do.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID, ExplicitVRLittleEndian

from preread.elements.cells import Cell
from preread.imaging.codestream import checked
from preread.imaging.errors import UnreadableImage
from preread.imaging.layout import Layout
from preread.imaging.presence import DEFLATED_IMAGE_FRAME, as_present, check_fragments
from preread.imaging.single_bits import single_bit_frame
from preread.imaging.source import Source

PLUGINS = ("pylibjpeg", "pyjpegls", "pillow", "pydicom")
"""The decoding libraries, by pydicom's names, in the order in which they are tried.

GDCM is not among them: on a damaged JPEG it ends the whole process (an exception in C++ that its
binding does not catch), and there is no transfer syntax that it alone can decode.
"""

_VIDEO = "MPEG2", "MPEG-4", "HEVC", "SMPTE"
_MOST_FRAGMENTS = 1_000_000
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One frame's stored values.

    Attributes
    ----------
    values
        (H, W), or (H, W, 3) with the colours interleaved.
    photometric
        What they are now: a decoder may have made RGB of YBR.
    had_more
        Whether the cells held anything in bits that are not the pixels' own; it is not in `values`.
    """

    values: NDArray[Any]
    photometric: str
    had_more: bool = False


class Frames:
    """The frames of an image, decoded when asked for.

    Parameters
    ----------
    source
        The file, and where its pixels lie.
    layout
        The checked Image Pixel module.

    Attributes
    ----------
    layout
        As the pixels are laid out indeed: see `preread.imaging.presence.as_present`.

    Raises
    ------
    UnreadableImage
        If no decoder knows the transfer syntax, or the header claims fewer or more frames than
        there are. Nothing has been allocated or decoded by then.
    """

    def __init__(self, source: Source, layout: Layout) -> None:
        self._source = source
        self.layout = layout
        syntax = UID(source.transfer_syntax)
        self._deflated = syntax == DEFLATED_IMAGE_FRAME
        self._decoder = _decoder_of(ExplicitVRLittleEndian if self._deflated else syntax)
        self._fragments = _Fragments(array("Q"), array("Q"))
        if source.is_encapsulated:
            if not (self._deflated or self._decoder.is_encapsulated):
                raise UnreadableImage(
                    "PixelData (7FE0,0010) is encapsulated, but the transfer syntax "
                    f"{syntax.name} is not: TransferSyntaxUID (0002,0010) is wrong"
                )
            self._fragments = _fragments_of(source)
            self._check_fragments(syntax)
        else:
            if self._deflated or self._decoder.is_encapsulated:
                raise UnreadableImage(
                    f"the transfer syntax is {_name(syntax)}, but PixelData (7FE0,0010) is not "
                    "encapsulated: TransferSyntaxUID (0002,0010) is wrong"
                )
            self.layout = as_present(layout, len(source.pixels))

    def __iter__(self) -> Iterator[Decoded]:
        """Decode one frame after the other."""
        for index, frame in enumerate(self._encoded(0)):
            yield self._decoded(index, frame)

    def frame(self, index: int) -> Decoded:
        """Decode one frame.

        Parameters
        ----------
        index
            From 0 to the number of frames, exclusive.
        """
        return self._decoded(index, next(self._encoded(index)))

    def encoded(self) -> Iterator[bytes]:
        """Give each frame as it lies in encapsulated pixel data; empty ones of what is native."""
        return self._encoded(0)

    def _check_fragments(self, syntax: UID) -> None:
        data, fragments = self._source.data, self._fragments
        beginnings = [data[start : start + 8] for start in fragments.starts]
        check_fragments(self.layout, syntax, beginnings, sum(fragments.lengths))

    def _encoded(self, first: int) -> Iterator[bytes]:
        """Give each frame's bytes, from `first` on; none of them for what is not compressed."""
        frames = self.layout.NumberOfFrames
        if not self._source.is_encapsulated:
            yield from (b"" for _ in range(first, frames))
            return
        data, fragments = self._source.data, self._fragments
        if frames == 1:
            yield b"".join(data[start:end] for start, end in fragments.bounds())
            return
        if len(fragments.lengths) == frames:
            yield from (data[start:end] for start, end in islice(fragments.bounds(), first, None))
            return
        buffer = BytesIO(data)  # shares the bytes
        buffer.seek(self._source.pixel_start)
        made = first
        try:
            for frame in islice(
                generate_frames(
                    buffer,
                    number_of_frames=frames,
                    extended_offsets=self._source.extended_offsets,
                ),
                first,
                frames,
            ):
                made += 1
                yield frame
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the tables provoke
            raise UnreadableImage(
                "the frames cannot be told apart: the offset table of PixelData (7FE0,0010) is "
                f"wrong ({type(error).__name__})"
            ) from None
        if made < frames:
            raise UnreadableImage(
                f"only {made} of {frames} frames are in PixelData (7FE0,0010): the file is "
                "truncated or its offset table wrong"
            )

    def _decoded(self, index: int, frame: bytes) -> Decoded:
        options = self.layout.options() | {"pixel_vr": self._source.pixel_vr}
        cell = self.layout.cell
        # Not all decoders clear the bits that are not the pixel's, nor move a high bit down.
        options |= {"correct_unused_bits": False}
        if self.layout.BitsAllocated > 8 or cell is not None:
            # pydicom's conversion of YBR is one of 8 bits, whatever the pixels have.
            options |= {"raw": True}
        if not self._source.is_encapsulated and self.layout.BitsAllocated == 1:
            decoded = self._single_bits(index)
        elif not self._source.is_encapsulated:
            decoded = self._try(self._source.pixels, index, "", options, index)
        else:
            options |= {"number_of_frames": 1}
            if self._deflated:
                inflated = _inflated(frame, self.layout, index)
                decoded = self._try(inflated, 0, "", options, index)
            else:
                frame = checked(frame, self._decoder.UID, self.layout, index)
                decoded = self._by_any_plugin(encapsulate([frame], has_bot=False), options, index)
        return decoded if cell is None else _without_more(decoded, cell)

    def _single_bits(self, index: int) -> Decoded:
        in_words = not self._source.little and self._source.pixel_vr != "OB"
        bits = single_bit_frame(self._source.pixels, index, self.layout, in_words=in_words)
        return Decoded(bits, self.layout.PhotometricInterpretation)

    def _by_any_plugin(self, pixels: bytes, options: dict[str, Any], index: int) -> Decoded:
        available = self._decoder.available_plugins
        plugins = [name for name in PLUGINS if name in available]
        for name in plugins[:-1]:
            try:
                return self._try(pixels, 0, name, options, index)
            except UnreadableImage:
                continue
        return self._try(pixels, 0, plugins[-1], options, index)

    def _try(
        self,
        pixels: bytes | memoryview,
        place: int,
        plugin: str,
        options: dict[str, Any],
        index: int,
    ) -> Decoded:
        try:
            values, properties = self._decoder.as_array(
                pixels, index=place, decoding_plugin=plugin, **options
            )
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in Rust is no Exception
            raise UnreadableImage(
                f"frame {index + 1} ({_name(self._decoder.UID)}) cannot be decoded "
                f"({type(error).__name__}{' in the last decoder, ' + plugin if plugin else ''}): "
                "the pixel data are damaged, or not what the header says"
            ) from None
        return Decoded(values, str(properties["photometric_interpretation"]))


@dataclass(frozen=True, slots=True)
class _Fragments:
    """Where the fragments lie in the file."""

    starts: array[int]
    lengths: array[int]

    def bounds(self) -> Iterator[tuple[int, int]]:
        for start, length in zip(self.starts, self.lengths, strict=True):
            yield start, start + length


def _decoder_of(syntax: UID) -> Decoder:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        if syntax.name.startswith(_VIDEO):
            raise UnreadableImage(
                f"a video ({syntax.name}), which is not read; export it as single frames"
            ) from None
        raise UnreadableImage(
            f"no decoder for the transfer syntax {_name(syntax)}; send the image uncompressed"
        ) from None
    if decoder.is_encapsulated and not set(PLUGINS).intersection(decoder.available_plugins):
        raise UnreadableImage(
            f"no decoder is installed for the transfer syntax {_name(syntax)}: expected pylibjpeg "
            "with its plugins"
        )
    return decoder


def _name(syntax: UID) -> str:
    """Name a transfer syntax; an unknown one is whatever the file says, and is not repeated."""
    return f"{syntax.name} ({syntax})" if syntax.type else "that the file names (unknown)"


def _fragments_of(source: Source) -> _Fragments:
    """Find the fragments after the Basic Offset Table (PS3.5 A.4)."""
    data, at, end = source.data, source.pixel_start, source.pixel_end
    starts, lengths = array("Q"), array("Q")
    count = -1  # the first item is the offset table
    while at + 8 <= end:
        tag, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if tag == _DELIMITER:
            break
        if tag != _ITEM:
            raise UnreadableImage(
                f"PixelData (7FE0,0010) is no sequence of fragments after {max(count, 0)} of them"
            )
        if at + 8 + length > end:
            raise UnreadableImage(
                f"fragment {count + 1} of PixelData (7FE0,0010) claims {length} bytes, but "
                f"{end - at - 8} are there: the file is truncated"
            )
        if count >= 0:
            starts.append(at + 8)
            lengths.append(length)
        if count >= _MOST_FRAGMENTS:
            raise UnreadableImage(f"PixelData (7FE0,0010) has over {_MOST_FRAGMENTS} fragments")
        count += 1
        at += 8 + length
    return _Fragments(starts, lengths)


def _inflated(frame: bytes, layout: Layout, index: int) -> bytes:
    """Undo Deflated Image Frame Compression (PS3.5 A.4.13), no further than a frame's length."""
    size = (layout.frame_bits + 7) // 8
    try:
        pixels = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size + 1)
    except zlib.error:
        raise UnreadableImage(f"frame {index + 1} is not what deflate makes") from None
    if len(pixels) < size:
        raise UnreadableImage(
            f"frame {index + 1} inflates to {len(pixels)} bytes; expected {size}: it is cut off"
        )
    return pixels + b"\0" * (len(pixels) % 2)


def _without_more(decoded: Decoded, cell: Cell) -> Decoded:
    """Move the pixels' own bits to the bottom, in place; a signed type keeps the sign."""
    values = decoded.values
    if values.dtype.kind not in "iu":
        return decoded
    had_more = cell.has_more(values.view(values.dtype.str.replace("i", "u")))
    np.left_shift(values, cell.allocated - 1 - cell.high, out=values)
    np.right_shift(values, cell.allocated - cell.stored, out=values)
    return replace(decoded, had_more=had_more)
