"""The article's JSON for a network's architecture: its keys, and the schema that is published.

From "IODeep: an IOD for the introduction of deep learning in the DICOM standard" (Contino and
others, 2024). Here each key is checked for itself; whether the layers can be built together is
for `preread.iodeep.architecture` to say.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

LARGEST_NUMBER: Final = 1_000_000_000
"""Of any key; larger ones would only make what is computed from them slow to compute."""


class LayerKind(StrEnum):
    """The layers, as the format spells them."""

    DSC_1D = "dsc1d"
    DSC_2D = "dsc2d"
    CNN_1D = "cnn1d"
    CNN_2D = "cnn2d"
    LSTM = "lstm"
    GRU = "gru"
    AVERAGE_POOL_1D = "Avgpool1d"
    AVERAGE_POOL_2D = "Avgpool2d"
    MAX_POOL_1D = "Maxpool1d"
    MAX_POOL_2D = "Maxpool2d"
    FLATTEN = "Flatten"
    DENSE = "dense"
    DROPOUT = "dropout"
    BATCH_NORM_1D = "batchNorm1d"
    BATCH_NORM_2D = "batchNorm2d"
    RELU = "relu"
    PRELU = "prelu"
    TANH = "tanh"
    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    UPSAMPLE = "Upsample"
    DOUBLE_CONV = "doubleConv"
    ELBOW_UNET = "ElbowUNet"
    UP_DOUBLE_CONV = "UpDoubleConv"
    UP_DOUBLE_CONV_OUT = "UpDoubleConv_out"
    OUTPUT = "output"


_SPELLINGS: Final = {"ElbowUnet": LayerKind.ELBOW_UNET}
LAYER_NAMES: Final = (*LayerKind, *_SPELLINGS)
"""Every spelling that is understood."""


def _whole(value: object) -> object:
    # Numbers come as strings in published files, and JSON Schema takes 3.0 for an integer.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"expected a whole number up to {LARGEST_NUMBER}")


def _kind(value: object) -> object:
    return _SPELLINGS.get(value, value) if isinstance(value, str) else value


def _number_schema(least: int) -> WithJsonSchema:
    digits = "^0*[1-9][0-9]*$" if least else "^[0-9]+$"
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": least, "maximum": LARGEST_NUMBER},
                {"type": "string", "pattern": digits, "maxLength": 9},
            ]
        }
    )


Size = Annotated[
    int, BeforeValidator(_whole), Field(ge=1, le=LARGEST_NUMBER), _number_schema(least=1)
]
Width = Annotated[
    int, BeforeValidator(_whole), Field(ge=0, le=LARGEST_NUMBER), _number_schema(least=0)
]
LayerNumber = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}$")]
_LayerName = Annotated[
    LayerKind, BeforeValidator(_kind), WithJsonSchema({"type": "string", "enum": [*LAYER_NAMES]})
]
DataFormat = Literal["channels_first", "channels_last"]
Backend = Literal["pytorch", "tensorflow"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputShape(_Part):
    """Sides and channels of one input, in the order of the data format.

    Three numbers for an image, two for a sequence, one for a row of features.
    """

    input_shape0: Size
    input_shape1: Size | None = None
    input_shape2: Size | None = None
    label_shape: Size | None = Field(None, description="Outputs; what a layer `output` gives.")


class Stride(_Part):
    """How far a kernel moves."""

    stride: Size


class Padding(_Part):
    """Zeros on each side."""

    padding: Width


class ConvolutionPadding(_Part):
    """Zeros on each side."""

    padding_conv: Width


class NamedDataFormat(_Part):
    """Where the channels are."""

    data_format: DataFormat


class NamedBackend(_Part):
    """What builds the network."""

    backend: Backend


class Document(_Part):
    """An architecture as it is written; what is not known is refused."""

    model_config = ConfigDict(title="IODeep architecture")

    input_shape: InputShape
    architecture: dict[LayerNumber, _LayerName] = Field(
        min_length=1, description="The layers, numbered from 1 without gaps."
    )
    convolutional: dict[Annotated[str, Field(pattern=r"^cn[1-9][0-9]{0,3}$")], Size] = Field(
        {},
        description="Output channels or units: cn1 is of the first layer that needs one, and so "
        "on.",
    )
    kernel: dict[Annotated[str, Field(pattern=r"^kernel[1-9][0-9]{0,3}$")], Size] = Field(
        {}, description="Sides of kernels: kernel1 is of the first layer with one, and so on."
    )
    pooling: dict[Annotated[str, Field(pattern=r"^pool[1-9][0-9]{0,3}$")], Size] = Field(
        {}, description="Windows, and their distance: pool1 is of the first pooling, and so on."
    )
    stride: Stride = Field(Stride(stride=1), description="Of every convolution.")
    padding: Padding = Field(
        Padding(padding=0),
        description="Of the convolutions in doubleConv, ElbowUNet, UpDoubleConv and "
        "UpDoubleConv_out.",
    )
    padding_conv: ConvolutionPadding = Field(
        ConvolutionPadding(padding_conv=0),
        description="Of the convolutions in cnn1d, cnn2d, dsc1d and dsc2d.",
    )
    skip_connection: dict[LayerNumber, Size] = Field(
        {},
        description="Source layer to target layer: what the source gives is joined, channels "
        "first in order, to what the target gives.",
    )
    data_format: NamedDataFormat | DataFormat
    backend: NamedBackend | Backend = "pytorch"

    def ordered(self) -> tuple[LayerKind, ...]:
        """Give the layers from the first to the last; the numbers must have no gaps."""
        return tuple(self.architecture[str(number + 1)] for number in range(len(self.architecture)))

    def format_name(self) -> DataFormat:
        """Give the data format, however it was written."""
        given = self.data_format
        return given if isinstance(given, str) else given.data_format

    def backend_name(self) -> Backend:
        """Give the backend, however it was written."""
        given = self.backend
        return given if isinstance(given, str) else given.backend

    def text(self) -> str:
        """Write it as JSON, as the article does, without what was left out."""
        written: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        for name, section in written.items():
            if isinstance(section, dict) and name != "input_shape":
                # cn2 comes before cn10.
                written[name] = dict(
                    sorted(section.items(), key=lambda item: (len(item[0]), item[0]))
                )
        written["data_format"] = {"data_format": self.format_name()}
        written["backend"] = {"backend": self.backend_name()}
        return json.dumps({key: value for key, value in written.items() if value}, indent=2) + "\n"


def schema_text() -> str:
    """Write the JSON Schema of an architecture (draft 2020-12)."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | _tidied(Document.model_json_schema()), indent=2) + "\n"


def _tidied(schema: Any) -> Any:
    """Drop titles that repeat a key, and say that numbered keys are the only ones."""
    if isinstance(schema, list):
        return [_tidied(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: _tidied(part)
        for key, part in schema.items()
        if not (key == "title" and isinstance(part, str) and part != Document.model_config["title"])
    }
    return tidy | {"additionalProperties": False} if "patternProperties" in tidy else tidy
