"""An architecture as an OpenVINO graph with its weights: what the node runs, without torch.

`preread.iodeep.torch_network` and `preread.iodeep.keras_network` are the references that the tests
hold it against. Inside, axes are channels first; inputs and outputs are in the order of the data
format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from preread.iodeep.architecture_steps import (
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
from preread.iodeep.errors import InvalidIODeepError
from preread.models.openvino_engine import import_openvino

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from preread.iodeep.architecture import Architecture

    Arrays = Mapping[str, NDArray[Any]]

_TRACE: Final = 1e-30
"""Of what is below zero, a rectifier lets this share pass.

A rectifier of OpenVINO, and its maximum, make a zero of what is not a number, and an answer that
the network does not give would pass for one. With this share it stays what it is. Of any other
value it is less than float32 tells apart.
"""
_GATES: Final = {"lstm": (1, 0, 2, 3), "gru": (1, 0, 2)}
"""torch has i, f, c, o and r, z, n, where OpenVINO has f, i, c, o and z, r, h."""


def build(architecture: Architecture, arrays: Arrays) -> Any:
    """Build a network with its weights.

    Parameters
    ----------
    architecture
        What `preread.iodeep.architecture.parse_architecture` gives, and so within its limits.
    arrays
        By the names and of the shapes of `Architecture.weight_shapes`, float32 or float16, finite:
        what `preread.iodeep.validation.validate` has let through.

    Returns
    -------
    openvino.Model
        Takes float32 (N, *architecture.input_shape) and gives float32 (N,
        *architecture.output_shape), both in the order of the data format, for any N.

    Raises
    ------
    InvalidIODeepError
        If a variance is negative.
    """
    openvino = import_openvino()
    graph = _Graph(openvino.opset13, arrays)
    given = graph.op.parameter([-1, *architecture.input_shape], np.float32)
    values = (
        graph.moved(given, len(architecture.input_shape), to_last=False)
        if (architecture.channels_last)
        else given
    )
    made: dict[int, Any] = {}
    for layer in architecture.layers:
        shape = layer.takes
        for index, step in enumerate(layer.steps):
            values = graph.applied(step, values, shape, f"layers.{layer.number}.{index}")
            shape = step.made(shape)
        if layer.joined:
            values = graph.op.concat([*(made[source] for source in layer.joined), values], 1)
        made[layer.number] = values
    if architecture.channels_last:
        values = graph.moved(values, len(architecture.output_shape), to_last=True)
    return openvino.Model([values], [given], "IODeep")


class _Graph:
    """Makes nodes of OpenVINO of steps."""

    def __init__(self, op: Any, arrays: Arrays) -> None:
        self.op = op
        self._arrays = arrays

    def moved(self, values: Any, axes: int, *, to_last: bool) -> Any:
        """Move the channels of a batch to the last axis, or back to the first."""
        if axes == 1:
            return values
        order = (0, *range(2, axes + 1), 1) if to_last else (0, axes, *range(1, axes))
        return self.op.transpose(values, self._whole(order))

    def applied(self, step: Step, values: Any, given: tuple[int, ...], name: str) -> Any:
        """Apply a step.

        Parameters
        ----------
        values
            A node that gives (N, *given).
        given
            A shape, channels first.
        name
            Of the step, before that of a weight.
        """
        match step:
            case Convolution():
                return self._convolution(step, values, given, name)
            case Normalisation():
                return self._normalisation(values, len(given), name)
            case Linear():
                weight = self._constant(f"{name}.weight")
                made = self.op.matmul(values, weight, False, True)
                return self.op.add(made, self._constant(f"{name}.bias"))
            case Recurrence():
                return self._recurrence(step, values, name)
            case ParametricRectifier():
                return self.op.prelu(values, self._constant(f"{name}.weight"))
        return self._without_weights(step, values, given)

    def _without_weights(self, step: Step, values: Any, given: tuple[int, ...]) -> Any:
        match step:
            case Activation():
                return self._activation(step, values)
            case Pooling():
                return self._pooling(step, values)
            case Upsampling():
                sides = self._whole([UPSAMPLING * side for side in given[1:]])
                # Rows and columns; pixels keep their centres.
                return self.op.interpolate(
                    values,
                    sides,
                    "linear_onnx",
                    "sizes",
                    coordinate_transformation_mode="half_pixel",
                    axes=self._whole([2, 3]),
                )
            case Flattening():
                ordered = (
                    self.moved(values, len(given), to_last=True) if step.channels_last else values
                )
                return self.op.reshape(ordered, self._whole([0, -1]), True)
            case Dropout():
                return values
        raise AssertionError(step)  # every other step is in `applied`

    def _convolution(
        self, step: Convolution, values: Any, given: tuple[int, ...], name: str
    ) -> Any:
        weight = self._array(f"{name}.weight")
        padding = step.padding
        if padding >= step.kernel:
            # A window then lies in the padding alone. Of such a convolution OpenVINO (2026.4) has
            # been seen to lose the batch's last value, on a processor of some kind.
            values, padding = self._surrounded(values, given, padding), 0
        around = [padding] * step.axes
        settings = ([step.stride] * step.axes, around, around, [1] * step.axes)
        if step.groups == 1:
            made = self.op.convolution(values, self._node(weight), *settings)
        else:
            parted = weight.reshape(step.groups, -1, *weight.shape[1:])
            made = self.op.group_convolution(values, self._node(parted), *settings)
        if not step.bias:
            return made
        bias = self._array(f"{name}.bias").reshape(-1, *[1] * step.axes)
        return self.op.add(made, self._node(bias))

    def _surrounded(self, values: Any, given: tuple[int, ...], width: int) -> Any:
        """Put zeros around (N, *given), as values: OpenVINO makes a node "pad" a padding again."""
        op, sides = self.op, list(given)
        batch = op.gather(op.shape_of(values), self._whole([0]), self._whole(0))
        for axis in range(1, len(sides)):
            edge = [*sides[:axis], width, *sides[axis + 1 :]]
            zeros = op.broadcast(
                self._node(np.float32(0)), op.concat([batch, self._whole(edge)], 0)
            )
            values = op.concat([zeros, values, zeros], axis + 1)
            sides[axis] += 2 * width
        return values

    def _normalisation(self, values: Any, axes: int, name: str) -> Any:
        weight, bias, mean, variance = (
            self._array(f"{name}.{part}").astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if (variance < 0).any():
            raise InvalidIODeepError("DnnWeights", f"{name}.running_var: a variance is negative")
        scale = weight / np.sqrt(variance + NORMALISATION_EPSILON)
        shape = (-1, *[1] * (axes - 1))
        scaled = self.op.multiply(values, self._node(scale.astype(np.float32).reshape(shape)))
        shift = bias - mean * scale
        return self.op.add(scaled, self._node(shift.astype(np.float32).reshape(shape)))

    def _activation(self, step: Activation, values: Any) -> Any:
        match step.name:
            case "relu":
                return self.op.prelu(values, self._node(np.array([_TRACE], np.float32)))
            case "tanh":
                return self.op.tanh(values)
            case "sigmoid":
                return self.op.sigmoid(values)
            case "softmax":
                return self.op.softmax(values, 1)

    def _pooling(self, step: Pooling, values: Any) -> Any:
        window, none = [step.size] * step.axes, [0] * step.axes
        mean = self.op.avg_pool(values, window, none, none, window, False, "floor")
        if step.name == "average":
            return mean
        most = self.op.max_pool(values, window, [1] * step.axes, none, none, window, "floor")
        trace = self.op.multiply(mean, self._node(np.float32(_TRACE)))
        return self.op.add(most.output(0), trace)

    def _recurrence(self, step: Recurrence, values: Any, name: str) -> Any:
        sequence = self.op.transpose(values, self._whole([0, 2, 1]))
        weights, state_weights, bias, state_bias = (
            self._gates(step, f"{name}.{part}")
            for part in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        )
        if step.name == "lstm":
            both = (bias + state_bias).reshape(1, -1)
        else:
            # The reset gate comes after the product, whose bias is therefore apart.
            added = bias + state_bias
            added[2] = bias[2]
            both = np.concatenate([added, state_bias[2:]]).reshape(1, -1)
        rows = step.gates * step.outputs
        matrices = (
            self._node(weights.reshape(1, rows, step.inputs)),
            self._node(state_weights.reshape(1, rows, step.outputs)),
            self._node(both),
        )
        return self._states(step, sequence, matrices)

    def _states(self, step: Recurrence, sequence: Any, matrices: tuple[Any, ...]) -> Any:
        """Give the states (N, outputs, L), or the last one (N, outputs)."""
        op = self.op
        sides = op.shape_of(sequence)
        axis = self._whole(0)
        batch = op.gather(sides, self._whole([0]), axis)
        lengths = op.broadcast(op.gather(sides, self._whole(1), axis), batch)
        zero = op.broadcast(
            self._node(np.float32(0)), op.concat([batch, self._whole([1, step.outputs])], 0)
        )
        if step.name == "lstm":
            made = op.lstm_sequence(
                sequence, zero, zero, lengths, *matrices, step.outputs, "forward"
            )
        else:
            made = op.gru_sequence(
                sequence, zero, lengths, *matrices, step.outputs, "forward",
                linear_before_reset=True,
            )  # fmt: skip
        # (N, 1, L, outputs) and (N, 1, outputs): there is one direction.
        states = op.squeeze(made.output(0 if step.whole else 1), self._whole([1]))
        return op.transpose(states, self._whole([0, 2, 1])) if step.whole else states

    def _gates(self, step: Recurrence, name: str) -> NDArray[np.float32]:
        """Give the weights of each gate, in OpenVINO's order."""
        array = self._array(name)
        parted = array.reshape(step.gates, step.outputs, *array.shape[1:])
        return parted[list(_GATES[step.name])]

    def _constant(self, name: str) -> Any:
        return self._node(self._array(name))

    def _array(self, name: str) -> NDArray[np.float32]:
        return self._arrays[name].astype(np.float32, copy=False)

    def _node(self, array: Any) -> Any:
        return self.op.constant(np.ascontiguousarray(array), np.float32)

    def _whole(self, numbers: Any) -> Any:
        return self.op.constant(np.array(numbers, np.int64))
