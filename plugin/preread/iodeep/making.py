"""A network for an object: what the attributes follow from, and where its weights go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from pydicom.uid import generate_uid

from preread.iodeep.document import document_text, rows_and_columns
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.iod import IODeep
from preread.iodeep.weights import LARGEST_WRITTEN, Safetensors, arrays_of, is_safetensors

if TYPE_CHECKING:
    from preread.iodeep.opening import WeightsFolder
    from preread.iodeep.weights import Weights
    from preread.models.weights import Arrays


def make(document: dict[str, Any], weights: Weights, *, DnnUID: str = "", **facts: Any) -> IODeep:  # noqa: N803 - the attribute's own name
    """Make a network of its document, which says how large its input is.

    Parameters
    ----------
    document
        The architecture.
    weights
        As they are to stand in the object.
    DnnUID
        A new one if empty.
    facts
        The other attributes of `IODeep`, but for Rows and Columns.

    Raises
    ------
    InvalidIODeepError
        If an attribute is invalid, or the document states no size of an image.
    """
    size = rows_and_columns(document)
    if size is None:
        raise InvalidIODeepError(
            "DnnArchitecture",
            "input_shape: expected input_shape0, input_shape1 and input_shape2, whole numbers",
        )
    return IODeep(
        DnnUID=DnnUID or str(generate_uid(prefix=None)),
        DnnArchitecture=document_text(document),
        DnnWeights=weights,
        Rows=size[0],
        Columns=size[1],
        **facts,
    )


def kept_weights(data: bytes, folder: WeightsFolder, *, by_reference: bool = False) -> Weights:
    """Give weights as an object is to have them.

    Parameters
    ----------
    data
        A safetensors file, or what torch.save wrote, which is turned into one.
    folder
        Where they go if they are larger than `LARGEST_WRITTEN`.
    by_reference
        Whether they go there in any case.

    Raises
    ------
    InvalidIODeepError
        If they are neither.
    """
    if not is_safetensors(data):
        data = safetensors_of(arrays_of(data))
    if by_reference or len(data) > LARGEST_WRITTEN:
        return folder.keep(data)
    return Safetensors(data)


def safetensors_of(arrays: Arrays) -> bytes:
    """Write arrays as the bytes of a safetensors file."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(safetensors.numpy.save(plain, metadata={"format": "pt"}))
