"""Model files of the frameworks that train networks, as the article's parser makes them of JSON.

The prototype's parser saves TorchScript, into which its viewer loads the state dictionary that the
object holds; so does this, or the state dictionary itself. Of Keras there are its own formats.
Both frameworks are optional extras, and nothing here is needed to run a network.
"""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from preread.errors import SettingsError
from preread.models.weights import check_fit

if TYPE_CHECKING:
    from preread.iodeep.architecture import Architecture
    from preread.models.weights import Arrays

SUFFIXES: Final = {"pytorch": (".pth", ".pt"), "tensorflow": (".keras", ".weights.h5", ".h5")}
"""By backend. ``.pth``: a state dictionary; ``.pt``: TorchScript in evaluation mode; ``.keras`` and
``.h5``: the model; ``.weights.h5``: its weights."""


def reference_file(
    architecture: Architecture, backend: str, name: str, arrays: Arrays | None = None
) -> bytes:
    """Build a network with a framework, and give what the framework saves of it.

    Parameters
    ----------
    architecture
        Of the network.
    backend
        ``pytorch`` or ``tensorflow``.
    name
        Of the file, whose suffix says what is saved.
    arrays
        The weights, by the names of `Architecture.weight_shapes`; None for random ones.

    Raises
    ------
    preread.errors.PrereadError
        If the backend or the suffix is none of these, the weights do not fit, or the framework is
        not installed.
    """
    suffixes = SUFFIXES.get(backend)
    if suffixes is None:
        raise SettingsError(f"--backend: expected {' or '.join(SUFFIXES)}")
    if not name.endswith(suffixes):
        raise SettingsError(f"--name: expected a name that ends in {', '.join(suffixes)}")
    if arrays is not None:
        check_fit(arrays, architecture.weight_shapes, "expected those of the layers")
    if backend == "pytorch":
        return _of_torch(architecture, arrays, scripted=name.endswith(".pt"))
    return _of_keras(architecture, arrays, name)


def _of_torch(architecture: Architecture, arrays: Arrays | None, *, scripted: bool) -> bytes:
    try:
        import torch  # noqa: PLC0415 - optional, and seconds to import

        from preread.iodeep.torch_network import build  # noqa: PLC0415 - it imports torch
    except ImportError:
        raise SettingsError(
            "--backend: pytorch takes torch, which is not installed; run, in the folder of "
            "Preread's source: pip install '.[torch]'"
        ) from None

    module = build(architecture)
    if arrays is not None:
        tensors = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
        module.load_state_dict(tensors, strict=False)  # but for the counters of training
    file = io.BytesIO()
    if not scripted:
        torch.save(module.state_dict(), file)
        return file.getvalue()
    with torch.no_grad(), warnings.catch_warnings():
        # torch tells whoever traces to export instead, which the prototype's viewer cannot load,
        # and that the check of the input's shape is not part of the trace.
        warnings.simplefilter("ignore")
        example = torch.zeros(2, *architecture.input_shape)
        traced = torch.jit.trace(module.eval(), example)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file)
    return file.getvalue()


def _of_keras(architecture: Architecture, arrays: Arrays | None, name: str) -> bytes:
    _choose_backend()
    from preread.iodeep import keras_network  # noqa: PLC0415 - optional, and seconds to import

    model: Any = keras_network.build(architecture)
    if arrays is not None:
        keras_network.load_arrays(
            model, architecture, {key: array.astype(np.float32) for key, array in arrays.items()}
        )
    with tempfile.TemporaryDirectory(prefix="preread-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that .h5 is an old format
        path = Path(folder) / name
        (model.save_weights if name.endswith(".weights.h5") else model.save)(path)
        return path.read_bytes()


def _choose_backend() -> None:
    """Have Keras compute with torch where TensorFlow, its default, is not installed.

    What it saves is the same with any backend.
    """
    if "KERAS_BACKEND" not in os.environ and find_spec("tensorflow") is None:
        os.environ["KERAS_BACKEND"] = "torch"
