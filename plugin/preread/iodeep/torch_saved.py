"""What ``torch.save`` wrote, as the prototype has it: read in the runner, never unpickled.

The file is a zip of plain entries. It is checked and packed anew before torch sees it, so that two
readers of zip files cannot see two different things in it, and torch reads it with
``weights_only``: nothing but containers, texts, numbers and tensors comes out. Sizes that it claims
are bounded by its own size. Where torch, an optional extra, is not installed, it is refused with
what to do.
"""

from __future__ import annotations

import io
import pickle  # for the error that torch raises; nothing is unpickled
import pickletools
import re
import zipfile
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from preread.iodeep.document import plain_document
from preread.iodeep.errors import InvalidIODeepError, TorchMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import torch

    from preread.models.weights import Arrays

MOST_ENTRIES: Final = 20_000
"""Of the zip; a tensor takes one."""
LARGEST_DESCRIPTION: Final = 4 * 1024**2
"""Bytes of ``data.pkl``, which names the tensors."""

_DESCRIPTION: Final = "data.pkl"
_ENTRY: Final = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id",
    flags=re.ASCII,
)
"""What torch.save writes of tensors.

``constants.pkl`` and ``code`` make it TorchScript, which torch before 2.6 runs in spite of
weights_only, and torch's reader of zips takes ``DATA.PKL`` for ``data.pkl``.
"""
_GLOBALS: Final = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch FloatStorage",
        "torch HalfStorage",
        "torch DoubleStorage",
        "torch LongStorage",
        "torch IntStorage",
        "torch BoolStorage",
    }
)
_CODE: Final = frozenset(
    {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
)
"""What names or makes objects in ways that torch's file of tensors never does."""
_REFUSALS: Final = (
    pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, AttributeError,
    IndexError, EOFError, AssertionError, OverflowError, MemoryError,
)  # fmt: skip


def is_torch_saved(data: bytes) -> bool:
    """Tell whether bytes begin as what torch.save has written since version 1.6, a zip."""
    return data[:4] == b"PK\x03\x04"


def torch_document(data: bytes) -> dict[str, Any]:
    """Read the dict of an architecture.

    Raises
    ------
    InvalidIODeepError
        Naming DnnArchitecture, if it is anything else, or larger than it may be.
    """
    return plain_document(_loaded(data, "DnnArchitecture"))


def torch_arrays(data: bytes) -> Arrays:
    """Read the tensors of a state dictionary, without the counters of batch normalisation.

    Returns
    -------
    dict of str to ndarray
        float32 or float16.

    Raises
    ------
    InvalidIODeepError
        Naming DnnWeights, if it is anything else, or claims more numbers than it holds.
    """
    state = _loaded(data, "DnnWeights")
    torch = _torch("DnnWeights")
    if not isinstance(state, dict) or not state:
        _refuse("DnnWeights", "expected a state dictionary, names with a tensor each")
    arrays: Arrays = {}
    room = len(data)
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            _refuse("DnnWeights", "expected a state dictionary, names with a tensor each")
        room -= tensor.numel() * tensor.element_size()
        if room < 0:
            _refuse("DnnWeights", "its tensors claim more numbers than the file holds")
        if not name.endswith("num_batches_tracked"):
            arrays[name] = _array(name, tensor)
    return arrays


def _torch(attribute: str) -> ModuleType:
    """Import torch, which takes seconds; what is refused, or only told apart, needs none."""
    try:
        import torch  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise TorchMissingError(attribute) from None
    return torch


def _array(name: str, tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    array = np.ascontiguousarray(tensor.detach().numpy())
    if array.dtype not in (np.float16, np.float32, np.float64):
        _refuse("DnnWeights", f"{name[:80]!r}: expected float16, float32 or float64")
    return array if array.dtype == np.float16 else array.astype(np.float32)


def _refuse(attribute: str, reason: str) -> NoReturn:
    raise InvalidIODeepError(attribute, reason)


def _loaded(data: bytes, attribute: str) -> object:
    if not is_torch_saved(data):
        _refuse(
            attribute,
            "expected what torch.save writes since version 1.6; a bare pickle is never read",
        )
    packed = _packed_anew(data, attribute)
    torch = _torch(attribute)
    try:
        return torch.load(packed, map_location="cpu", weights_only=True)
    except _REFUSALS:
        _refuse(attribute, "torch.load with weights_only does not read it")


def _packed_anew(data: bytes, attribute: str) -> io.BytesIO:
    """Copy the entries of a zip into another one, if each is plain and none is too large."""
    packed = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(data)) as given,
            zipfile.ZipFile(packed, "w") as made,
        ):
            for name, content in _entries(given, len(data), attribute):
                if name == _DESCRIPTION:
                    _check_description(content, len(data), attribute)
                made.writestr(f"archive/{name}", content)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, KeyError):
        _refuse(attribute, "a zip that cannot be read")
    packed.seek(0)
    return packed


def _entries(given: zipfile.ZipFile, room: int, attribute: str) -> Iterator[tuple[str, bytes]]:
    """Give the names, without the folder that all lie in, and contents."""
    entries = given.infolist()
    if len(entries) > MOST_ENTRIES:
        _refuse(attribute, f"a zip of more than {MOST_ENTRIES} entries")
    seen: set[str] = set()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            _refuse(attribute, "a zip with compressed or encrypted entries; torch has none")
        room -= entry.file_size
        if room < 0:
            _refuse(attribute, "a zip whose entries are larger than itself")
        folder, _, name = entry.filename.partition("/")
        if not folder or not _ENTRY.fullmatch(name) or name in seen:
            _refuse(attribute, "a zip whose entries are not named as torch names them")
        seen.add(name)
        yield name, given.read(entry)


def _check_description(content: bytes, size: int, attribute: str) -> None:
    """Refuse what names anything but tensors, or numbers larger than the file, before it is read.

    torch's own reader allows more than is needed here, and takes sizes as they come.
    """
    if len(content) > LARGEST_DESCRIPTION:
        _refuse(attribute, f"{_DESCRIPTION} is larger than {LARGEST_DESCRIPTION} bytes")
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in _CODE or (opcode.name == "GLOBAL" and argument not in _GLOBALS):
                _refuse(attribute, "it names code; only tensors, texts and numbers are read")
            if isinstance(argument, int) and not isinstance(argument, bool) and argument > size:
                _refuse(attribute, "it claims more numbers than the file holds")
    except (ValueError, UnicodeError, IndexError):
        _refuse(attribute, f"{_DESCRIPTION} cannot be read")
