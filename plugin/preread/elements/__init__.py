"""DICOM's byte layer: where each element of a file lies, without parsing its value.

What is here knows encodings (PS3.5, PS3.10), not the meaning of attributes, and never copies
pixel data. Nothing here imports pydicom's dataset classes, Orthanc, or any other room.
"""

from preread.elements.budget import Budget, InflatesTooFar, OverBudget, unlimited
from preread.elements.characters import decode_text, encode_text
from preread.elements.dictionary import (
    dictionary_vr,
    most_values,
    standard_tags,
    tag_in_words,
)
from preread.elements.encoding import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    LONG_VRS,
    VRS,
    Encoding,
    FileMeta,
    encoding_of,
    inflated,
    read_file_meta,
)
from preread.elements.errors import MalformedFile, NestedTooDeep, TooMuch
from preread.elements.explicit import explicit_little_endian
from preread.elements.header import PIXEL_DATA, Header, read_header
from preread.elements.identifiers import ResourceIds, is_orthanc_id, orthanc_id, resource_ids
from preread.elements.nesting import check_nesting, is_shallow
from preread.elements.scan import (
    DEEPEST,
    IMPLICIT_LITTLE,
    MOST_ELEMENTS,
    Element,
    Ends,
    items,
    read_element,
    scan,
)
from preread.elements.writing import encode_element, encode_header, encode_item

__all__ = [
    "BIG_ENDIAN",
    "DEEPEST",
    "EXPLICIT",
    "IMPLICIT",
    "IMPLICIT_LITTLE",
    "LONG_VRS",
    "MOST_ELEMENTS",
    "PIXEL_DATA",
    "VRS",
    "Budget",
    "Element",
    "Encoding",
    "Ends",
    "FileMeta",
    "Header",
    "InflatesTooFar",
    "MalformedFile",
    "NestedTooDeep",
    "OverBudget",
    "ResourceIds",
    "TooMuch",
    "check_nesting",
    "decode_text",
    "dictionary_vr",
    "encode_element",
    "encode_header",
    "encode_item",
    "encode_text",
    "encoding_of",
    "explicit_little_endian",
    "inflated",
    "is_orthanc_id",
    "is_shallow",
    "items",
    "most_values",
    "orthanc_id",
    "read_element",
    "read_file_meta",
    "read_header",
    "resource_ids",
    "scan",
    "standard_tags",
    "tag_in_words",
    "unlimited",
]
