"""An architecture as a Keras 3 model: the same network, for weights that Keras has trained.

Keras is an optional extra (``pip install '.[keras]'`` in the source's folder) and is imported when
a model is built. It runs on the backend that is configured for it (KERAS_BACKEND), torch among
them. Inside, axes are in Keras' own order, channels last; inputs and outputs are in that of the
data format.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

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
from preread.iodeep.keras_files import KerasError, weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.iodeep.architecture import Architecture

    Arrays = Mapping[str, NDArray[Any]]


def build(architecture: Architecture) -> Any:
    """Build a model with random weights.

    Returns
    -------
    keras.Model
        Takes float32 (N, *architecture.input_shape) and gives float32 (N,
        *architecture.output_shape), as `torch_network.build` does.

    Raises
    ------
    KerasError
        If Keras is not installed.
    """
    keras = _keras()
    first = given = keras.Input(architecture.input_shape)
    values = given if architecture.channels_last else _permuted(given, to_last=True)
    made: dict[int, Any] = {}
    for layer in architecture.layers:
        for index, step in enumerate(layer.steps):
            values = _applied(step, values, f"layers_{layer.number}_{index}")
        if layer.joined:
            sources = [made[source] for source in layer.joined]
            values = keras.layers.Concatenate(axis=-1)([*sources, values])
        made[layer.number] = values
    return keras.Model(
        first, values if architecture.channels_last else _permuted(values, to_last=False)
    )


def load_arrays(model: Any, architecture: Architecture, arrays: Arrays) -> None:
    """Put weights that torch has trained into a model.

    Parameters
    ----------
    model
        What `build` gave for this architecture.
    arrays
        By the names of `Architecture.weight_shapes`; others are ignored.

    Raises
    ------
    KerasError
        If one is missing or has another shape.
    """
    for name, shape in architecture.weight_shapes.items():
        found = arrays.get(name)
        if found is None or tuple(found.shape) != shape:
            stated = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
            raise KerasError(f"weights: {name} {stated}, expected {shape}")
    for layer in architecture.layers:
        for index, step in enumerate(layer.steps):
            own = {
                name: np.asarray(arrays[f"layers.{layer.number}.{index}.{name}"], np.float32)
                for name in step.weights | step.statistics
            }
            if own:
                keeper = model.get_layer(f"layers_{layer.number}_{index}")
                kept = _as_keras_keeps_them(step, own)
                # A slope that all channels share has one axis here and more there.
                shapes = [variable.shape for variable in keeper.weights]
                keeper.set_weights(
                    [array.reshape(shape) for array, shape in zip(kept, shapes, strict=True)]
                    if isinstance(step, ParametricRectifier)
                    else kept
                )


def load_file(model: Any, path: Path) -> None:
    """Read a file of weights that Keras has written for the same architecture.

    Nothing of it is executed: the model is ours, and only arrays are taken from the file.

    Parameters
    ----------
    path
        ``.weights.h5``, or ``.keras``, of which the description of the model is not read.

    Raises
    ------
    KerasError
        If it is neither, or does not fit the model.
    """
    values = sum(int(np.prod(variable.shape)) for variable in model.variables)
    with weights_of(path, values) as weights, warnings.catch_warnings():
        # What is not in the file would keep its random values, and Keras only warns.
        warnings.simplefilter("error", UserWarning)
        try:
            model.load_weights(weights)
        except (OSError, KeyError, ValueError, TypeError, UserWarning) as error:
            raise KerasError(
                f"{path.name}: is not a file of weights for this architecture "
                f"({type(error).__name__})"
            ) from None


def _keras() -> Any:
    try:
        import keras  # noqa: PLC0415 - optional, and seconds to import
    except ImportError:
        raise KerasError(
            "the architecture's backend is tensorflow, for which Keras is not installed; "
            "run, in the folder of Preread's source: pip install '.[keras]'"
        ) from None
    return keras


def _permuted(values: Any, *, to_last: bool) -> Any:
    axes = len(values.shape) - 1
    if axes == 1:
        return values
    order = (*range(2, axes + 1), 1) if to_last else (axes, *range(1, axes))
    return _keras().layers.Permute(order)(values)


def _applied(step: Step, values: Any, name: str) -> Any:
    layers = _keras().layers
    if isinstance(step, Convolution) and step.padding:
        pad = layers.ZeroPadding1D if step.axes == 1 else layers.ZeroPadding2D
        values = pad(step.padding)(values)
    if isinstance(step, Flattening) and not step.channels_last:
        values = _permuted(values, to_last=False)
    return _layer(step, len(values.shape) - 1, name)(values)


def _layer(step: Step, rank: int, name: str) -> Any:
    layers = _keras().layers
    match step:
        case Convolution():
            made = _convolution(step, name)
        case Normalisation():
            made = layers.BatchNormalization(epsilon=NORMALISATION_EPSILON, momentum=0.9, name=name)
        case Linear():
            made = layers.Dense(step.outputs, name=name)
        case Recurrence(name="lstm"):
            made = layers.LSTM(step.outputs, return_sequences=step.whole, name=name)
        case Recurrence():
            # Keras' own default, and what torch computes: the reset gate after the product.
            made = layers.GRU(
                step.outputs, return_sequences=step.whole, reset_after=True, name=name
            )
        case ParametricRectifier():
            made = layers.PReLU(shared_axes=[*range(1, rank + 1)], name=name)
        case _:
            made = _without_weights(step, name)
    return made


def _without_weights(step: Step, name: str) -> Any:
    layers = _keras().layers
    match step:
        case Activation():
            return layers.Activation(step.name, name=name)
        case Pooling(name="max"):
            pool = layers.MaxPooling1D if step.axes == 1 else layers.MaxPooling2D
            return pool(step.size, name=name)
        case Pooling():
            mean = layers.AveragePooling1D if step.axes == 1 else layers.AveragePooling2D
            return mean(step.size, name=name)
        case Upsampling():
            return layers.UpSampling2D(UPSAMPLING, interpolation="bilinear", name=name)
        case Flattening():
            return layers.Flatten(name=name)
        case Dropout():
            return layers.Dropout(DROPPED, name=name)
    raise AssertionError(step)  # every other step is in `_layer`


def _convolution(step: Convolution, name: str) -> Any:
    layers = _keras().layers
    settings = {"strides": step.stride, "use_bias": step.bias, "name": name}
    # A convolution of one channel is in one group and is also its own depthwise one.
    if step.groups == 1 and step.bias:
        kind = layers.Conv1D if step.axes == 1 else layers.Conv2D
        return kind(step.outputs, step.kernel, **settings)
    each = layers.DepthwiseConv1D if step.axes == 1 else layers.DepthwiseConv2D
    return each(step.kernel, **settings)


def _as_keras_keeps_them(step: Step, own: Arrays) -> list[NDArray[Any]]:
    """Put a step's arrays into the order, and each array's axes into that, of Keras."""
    match step:
        case Convolution():
            # (out, in, k, ...) to (k, ..., in, out); depthwise (channels, 1, k, ...) to
            # (k, ..., channels, 1).
            weight = own["weight"]
            spatial = tuple(range(2, weight.ndim))
            depthwise = step.groups != 1 or not step.bias
            order = (*spatial, 0, 1) if depthwise else (*spatial, 1, 0)
            return [weight.transpose(order), *([own["bias"]] if step.bias else [])]
        case Normalisation():
            return [own[name] for name in ("weight", "bias", "running_mean", "running_var")]
        case Linear():
            return [own["weight"].T, own["bias"]]
        case Recurrence():
            return _recurrence(step, own)
    return [own["weight"]]


def _recurrence(step: Recurrence, own: Arrays) -> list[NDArray[Any]]:
    # torch has r, z, n where Keras has z, r, n; both have i, f, c, o in the LSTM.
    order = (0, 1, 2, 3) if step.name == "lstm" else (1, 0, 2)

    def sorted_gates(name: str) -> NDArray[Any]:
        gates = np.split(own[name], step.gates)
        return np.concatenate([gates[gate] for gate in order])

    input_bias, state_bias = sorted_gates("bias_ih_l0"), sorted_gates("bias_hh_l0")
    bias = input_bias + state_bias if step.name == "lstm" else np.stack([input_bias, state_bias])
    return [sorted_gates("weight_ih_l0").T, sorted_gates("weight_hh_l0").T, bias]
