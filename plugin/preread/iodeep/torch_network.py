"""An architecture as a torch module. It is imported where a network runs, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from preread.iodeep.architecture_steps import (
    DROPPED,
    NORMALISATION_EPSILON,
    UPSAMPLING,
    Activation,
    Convolution,
    Dropout,
    Flattening,
    Linear,
    Normalisation,
    ParametricRectifier,
    Pooling,
    Recurrence,
    Step,
    Upsampling,
)

if TYPE_CHECKING:
    from preread.iodeep.architecture import Architecture


def build(architecture: Architecture) -> nn.Module:
    """Build a network with random weights, in training mode.

    Parameters
    ----------
    architecture
        What `preread.iodeep.architecture.parse_architecture` gives, and so within its limits.

    Returns
    -------
    torch.nn.Module
        Takes float32 (N, *architecture.input_shape) and gives float32 (N,
        *architecture.output_shape), both in the order of the data format. Its weights have the
        names and shapes of `Architecture.weight_shapes`.
    """
    return Network(architecture)


class Network(nn.Module):
    """The layers of an architecture, by number, with the skip connections between them."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self._channels_last = architecture.channels_last
        self._joined = {layer.number: layer.joined for layer in architecture.layers}
        self._input_shape = architecture.input_shape
        # A source is kept until the last layer that it is joined to.
        self._last_use = {
            source: layer.number for layer in architecture.layers for source in layer.joined
        }
        self.layers = nn.ModuleDict(
            {
                str(layer.number): nn.Sequential(*map(_module, layer.steps))
                for layer in architecture.layers
            }
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Run the network on a batch.

        Raises
        ------
        ValueError
            If the batch does not have the shape of the architecture's input.
        """
        if images.shape[1:] != self._input_shape:
            raise ValueError(
                f"expected a batch of shape (N, {', '.join(map(str, self._input_shape))}), got "
                f"{tuple(images.shape)}"
            )
        values = images.movedim(-1, 1) if self._channels_last else images
        kept: dict[int, torch.Tensor] = {}
        for name, layer in self.layers.items():
            number = int(name)
            values = layer(values)
            if self._joined[number]:
                values = torch.cat(
                    [*(kept[source] for source in self._joined[number]), values], dim=1
                )
            if number in self._last_use:
                kept[number] = values
            for source in self._joined[number]:
                if self._last_use[source] == number:
                    kept.pop(source, None)
        return values.movedim(1, -1) if self._channels_last else values


class _Lstm(nn.LSTM):
    """Takes (N, C, L), as convolutions do."""

    def __init__(self, step: Recurrence) -> None:
        super().__init__(step.inputs, step.outputs, batch_first=True)
        self._whole = step.whole

    def forward(self, values: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        states, _ = super().forward(values.movedim(1, -1))
        return states.movedim(-1, 1) if self._whole else states[:, -1]


class _Gru(nn.GRU):
    """Takes (N, C, L), as convolutions do."""

    def __init__(self, step: Recurrence) -> None:
        super().__init__(step.inputs, step.outputs, batch_first=True)
        self._whole = step.whole

    def forward(self, values: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        states, _ = super().forward(values.movedim(1, -1))
        return states.movedim(-1, 1) if self._whole else states[:, -1]


class _Flatten(nn.Module):
    """Puts all values in one row, in the order of the data format."""

    def __init__(self, *, channels_last: bool) -> None:
        super().__init__()
        self._channels_last = channels_last

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        ordered = values.movedim(1, -1) if self._channels_last else values
        return ordered.flatten(start_dim=1)


def _module(step: Step) -> nn.Module:
    match step:
        case Convolution():
            kind = nn.Conv1d if step.axes == 1 else nn.Conv2d
            return kind(
                step.inputs,
                step.outputs,
                step.kernel,
                stride=step.stride,
                padding=step.padding,
                groups=step.groups,
                bias=step.bias,
            )
        case Normalisation():
            normalise = nn.BatchNorm1d if step.axes == 1 else nn.BatchNorm2d
            return normalise(step.channels, eps=NORMALISATION_EPSILON)
        case Linear():
            return nn.Linear(step.inputs, step.outputs)
        case Recurrence():
            return _Lstm(step) if step.name == "lstm" else _Gru(step)
        case ParametricRectifier():
            return nn.PReLU()
    return _without_weights(step)


def _without_weights(step: Step) -> nn.Module:
    match step:
        case Activation():
            return _activation(step)
        case Pooling(name="max"):
            return (nn.MaxPool1d if step.axes == 1 else nn.MaxPool2d)(step.size)
        case Pooling():
            return (nn.AvgPool1d if step.axes == 1 else nn.AvgPool2d)(step.size)
        case Upsampling():
            return nn.Upsample(scale_factor=UPSAMPLING, mode="bilinear", align_corners=False)
        case Flattening():
            return _Flatten(channels_last=step.channels_last)
        case Dropout():
            return nn.Dropout(DROPPED)
    raise AssertionError(step)  # every other step is in `_module`


def _activation(step: Activation) -> nn.Module:
    match step.name:
        case "relu":
            return nn.ReLU()
        case "tanh":
            return nn.Tanh()
        case "sigmoid":
            return nn.Sigmoid()
        case "softmax":
            return nn.Softmax(dim=1)
