"""Models that were made before models were ONNX, turned into what is served now.

Of an old model the weights were one safetensors file: the whole network, or the last layer beside
a file that several shared. Its answers stay what they were but for rounding in float32.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from preread.models.architectures import backbone_blueprint, shapes
from preread.models.card import (
    CARD,
    LARGEST_CARD,
    NETWORK,
    WEIGHTS,
    ArchitectureName,
    InvalidModelError,
    card_text,
    parse_card,
)
from preread.models.catalogue import FOLDER_NAME
from preread.models.weights import (
    NOVELTY_ROOM,
    check_fit,
    fill,
    name_of,
    parse_weights,
    read_weights,
    sha256_of,
    split_arrays,
    weights_bytes,
    write_atomically,
)
from preread.training.errors import TrainingError
from preread.training.onnx_making import onnx_of
from preread.training.request import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from preread.models.weights import Arrays

_KEPT: Final = ("history.json", "split.csv")
"""What else may lie beside a card or, with the backbone's name before it, beside a backbone."""


def convert(source: Path, output: Path, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Convert a folder of models.

    Parameters
    ----------
    source
        With one folder for each model, and ``backbones`` where they share some. It stays as it is.
    output
        A new folder.
    progress
        Called with the name of each model.

    Returns
    -------
    tuple of str
        Names of the models.

    Raises
    ------
    TrainingError
        If there is no model, or something is in the way.
    InvalidModelError
        If a model is not what its card says.
    """
    names = sorted(
        place.parent.name
        for place in source.glob(f"*/{CARD}")
        if FOLDER_NAME.fullmatch(place.parent.name)
    )
    if not names:
        raise TrainingError(f"{source.name}: no folder with a {CARD} in it")
    if output.exists() and any(output.iterdir()):
        raise TrainingError(f"{output.name}: is not empty; name a new folder")
    cards = {name: _card(source / name) for name in names}
    converting = _Converting(source, output, cards.values())
    for name, told in cards.items():
        progress(name)
        converting.model(name, told)
    for name, told in cards.items():
        converting.write_card(name, told)
    return tuple(names)


class _Converting:
    """Converts one model after the other; what several share is made once."""

    def __init__(self, source: Path, output: Path, cards: Iterable[dict[str, Any]]) -> None:
        self._source = source
        self._output = output
        # A network that is a model's own and a judge's too goes by its own name.
        shared = [told["Backbone"] for told in cards if told.get("Backbone")]
        self._files = {facts["SHA256"]: facts["File"] for facts in shared}
        # From the SHA-256 of an old file to the name and SHA-256 of the new one.
        self._made: dict[str, tuple[str, str]] = {}

    def model(self, name: str, told: dict[str, Any]) -> None:
        """Convert one, given its card."""
        told.pop("Quantization", None)  # of the 8-bit copy, which is not taken along
        architecture = ArchitectureName(told["Architecture"])
        folder = self._output / name
        folder.mkdir(parents=True)
        weights = (self._source / name / WEIGHTS, told["WeightsSHA256"])
        shared = told.get("Backbone")
        if shared is None:
            parts = split_arrays(_read(*weights), architecture)
            network = _network(parts.backbone, architecture, name_of(weights[0]))
            own = weights_bytes(parts.head | parts.novelty)
            self._made[told["WeightsSHA256"]] = (NETWORK, sha256_of(network))
            write_atomically(folder / NETWORK, network)
            told["WeightsSHA256"] = sha256_of(own)
            told["Backbone"] = _facts(NETWORK, sha256_of(network))
        else:
            own = read_weights(*weights, NOVELTY_ROOM)
            told["Backbone"] = self._shared(shared, architecture)
        write_atomically(folder / WEIGHTS, own)
        judge = (told.get("OutOfDistribution") or {}).get("Judge")
        if judge is not None:
            judge.update(self._shared(judge, ArchitectureName(judge["Architecture"])))
        _take_along(self._source / name, folder, "")

    def write_card(self, name: str, told: dict[str, Any]) -> None:
        """Write a card, once it is known what became of all networks that it may name."""
        training = told.get("Training") or {}
        for facts in (training.get("Teacher"), training.get("GrownFrom")):
            if facts and facts.get("WeightsSHA256") in self._made:
                facts["WeightsSHA256"] = self._made[facts["WeightsSHA256"]][1]
        card = parse_card(json.dumps(told), f"{name}/{CARD}")
        write_atomically(self._output / name / CARD, card_text(card).encode())

    def _shared(self, facts: dict[str, Any], architecture: ArchitectureName) -> dict[str, str]:
        """Convert what several models share, and give the facts for a card."""
        known = self._made.get(facts["SHA256"])
        if known is None:
            old = self._source / self._files.get(facts["SHA256"], facts["File"])
            network = _network(_read(old, facts["SHA256"]), architecture, name_of(old))
            place = self._output / BACKBONES / f"{old.stem}.onnx"
            place.parent.mkdir(exist_ok=True)
            write_atomically(place, network)
            _take_along(old.parent, place.parent, f"{old.stem}.")
            known = (f"{BACKBONES}/{place.name}", sha256_of(network))
            self._made[facts["SHA256"]] = known
        return _facts(*known)


def _card(folder: Path) -> dict[str, Any]:
    name = f"{folder.name}/{CARD}"
    try:
        with (folder / CARD).open("rb") as file:
            told = json.loads(file.read(LARGEST_CARD))
    except (OSError, ValueError):
        raise InvalidModelError(f"{name}: cannot be read as a card") from None
    needed = ("Architecture", "WeightsSHA256", "Classes")
    if not isinstance(told, dict) or any(key not in told for key in needed):
        raise InvalidModelError(f"{name}: expected a card with {', '.join(needed)}")
    if str((told.get("Backbone") or {}).get("File", "")).endswith(".onnx"):
        raise TrainingError(f"{name}: its network is ONNX; there is nothing to convert")
    if told["Architecture"] not in list(ArchitectureName):
        raise InvalidModelError(f"{name}: Architecture: not one that is known here")
    return told


def _read(path: Path, sha256: str) -> Arrays:
    return parse_weights(read_weights(path, sha256), name_of(path))


def _network(arrays: Arrays, architecture: ArchitectureName, name: str) -> bytes:
    network = backbone_blueprint(architecture)
    expected = shapes(network)
    check_fit(arrays, expected, name)
    return onnx_of(fill(network, arrays).eval(), architecture)


def _facts(file: str, sha256: str) -> dict[str, str]:
    return {"File": file, "SHA256": sha256, "Precision": "float32"}


def _take_along(source: Path, output: Path, prefix: str) -> None:
    for name in _KEPT:
        if (source / f"{prefix}{name}").is_file():
            shutil.copyfile(source / f"{prefix}{name}", output / f"{prefix}{name}")
