"""Small architectures in which every layer of the format stands at least once."""

from __future__ import annotations

from typing import Any


def _content(
    layers: tuple[str, ...], shape: tuple[int, ...], data_format: str, **sections: Any
) -> dict[str, Any]:
    names = {"convolutional": "cn", "kernel": "kernel", "pooling": "pool"}
    content: dict[str, Any] = {
        "input_shape": {f"input_shape{axis}": side for axis, side in enumerate(shape)}
        | {"label_shape": 3},
        "architecture": {str(number + 1): name for number, name in enumerate(layers)},
        "data_format": {"data_format": data_format},
    }
    for section, value in sections.items():
        content[section] = (
            {f"{names[section]}{index + 1}": number for index, number in enumerate(value)}
            if section in names
            else value
        )
    return content


def architectures() -> dict[str, dict[str, Any]]:
    """Architectures by name, each in both data formats."""
    made: dict[str, dict[str, Any]] = {}
    for data_format, last in (("channels_last", True), ("channels_first", False)):
        image = (12, 9, 2) if last else (2, 12, 9)
        sequence = (11, 4) if last else (4, 11)
        tried = {
            "classifier": _content(
                (
                    *("cnn2d", "batchNorm2d", "relu", "Maxpool2d", "dsc2d", "prelu", "Avgpool2d"),
                    *("Flatten", "dense", "batchNorm1d", "tanh", "dropout", "output", "softmax"),
                ),
                image,
                data_format,
                convolutional=(5, 6, 7),
                kernel=(3, 2),
                pooling=(2, 2),
                padding_conv={"padding_conv": 1},
            ),
            "strided": _content(
                ("cnn2d", "softmax", "Flatten", "output", "sigmoid"),
                image,
                data_format,
                convolutional=(4,),
                kernel=(3,),
                stride={"stride": 2},
            ),
            "sequence": _content(
                (
                    *("cnn1d", "batchNorm1d", "relu", "Maxpool1d", "dsc1d", "Avgpool1d"),
                    *("lstm", "gru", "softmax", "Flatten", "output"),
                ),
                sequence,
                data_format,
                convolutional=(6, 5, 4, 3),
                kernel=(3, 3),
                pooling=(2, 2),
                padding_conv={"padding_conv": 1},
            ),
            "last-state": _content(
                ("gru", "lstm", "dropout", "dense", "output"),
                sequence,
                data_format,
                convolutional=(6, 5, 4),
            ),
            "u-net": _content(
                (
                    *("doubleConv", "Maxpool2d", "ElbowUNet", "Upsample", "UpDoubleConv"),
                    *("UpDoubleConv_out", "cnn2d"),
                ),
                (8, 12, 2) if last else (2, 8, 12),
                data_format,
                convolutional=(4, 8, 6, 5, 1),
                kernel=(3, 3, 3, 3, 1),
                pooling=(2,),
                padding={"padding": 1},
                # Two sources for one target, and a target that is a source itself.
                skip_connection={"1": "4", "4": "5", "5": "6"},
            ),
            "features": _content(
                ("dense", "prelu", "dense", "output"),
                (6,),
                data_format,
                convolutional=(5, 4),
                skip_connection={"1": 3, "2": 3},
            ),
        }
        made |= {f"{name}-{data_format}": content for name, content in tried.items()}
    return made
