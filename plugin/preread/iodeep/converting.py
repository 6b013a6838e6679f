"""Contents that torch.save wrote, turned once into what a node reads without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from preread.errors import PrereadError
from preread.iodeep.making import kept_weights, safetensors_of
from preread.iodeep.opening import FOLDER
from preread.iodeep.reading import decode
from preread.iodeep.recognising import digest_of, recognise
from preread.iodeep.signature import signature_in
from preread.iodeep.validation import validate
from preread.iodeep.weights import HashOfFile, PathOfFile, TorchSaved
from preread.iodeep.writing import encode

if TYPE_CHECKING:
    from preread.iodeep.iod import IODeep
    from preread.iodeep.opening import WeightsFolder

_TORCH_SUFFIXES: Final = (".pth", ".pt")


class Ready(NamedTuple):
    """A network's file as it is sent.

    Attributes
    ----------
    data
        The file.
    note
        What was changed and what follows from it; empty if nothing was.
    """

    data: bytes
    DnnUID: str
    note: str


def holds_torch(network: IODeep) -> bool:
    """Tell whether torch is needed to read a network's contents, or the file that they name."""
    return isinstance(network.DnnArchitecture, TorchSaved) or _has_torch_weights(network)


def converted(network: IODeep, folder: WeightsFolder, *, by_reference: bool = False) -> IODeep:
    """Give the same network, its architecture as JSON and its weights as safetensors.

    It takes torch, which reads with ``weights_only``. The object is another one, of our layout:
    neither a signature of the old one nor its digest holds for it.

    Parameters
    ----------
    network
        Of which `holds_torch` is true.
    folder
        Where references to weights lead, and where those go that are larger than what is written
        into an object.
    by_reference
        Whether they go there in any case.

    Raises
    ------
    preread.errors.PrereadError
        If it cannot be read or built, its weights do not fit, or torch is not installed.
    """
    contents = validate(network, folder).contents
    weights = network.DnnWeights
    if _has_torch_weights(network):
        data = safetensors_of(contents.arrays)
        weights = kept_weights(data, folder, by_reference=by_reference)
    return network.with_contents(contents.document, weights)


def as_sent(data: bytes, folder: WeightsFolder) -> Ready:
    """Give a network's file as a node without torch can run it.

    Parameters
    ----------
    data
        The file.
    folder
        As of `converted`.

    Raises
    ------
    preread.errors.PrereadError
        If it is no network, cannot be converted, or is signed and would have to be.
    """
    network = decode(data)
    if not isinstance(network.DnnArchitecture, TorchSaved) and not isinstance(
        network.DnnWeights, TorchSaved
    ):
        return Ready(data, network.DnnUID, "")
    found = recognise(data)
    if found is not None and signature_in(found):
        raise PrereadError(
            "it is signed, and torch.save wrote what must be written anew for a node; run "
            "`preread iodeep convert`, and sign what that writes"
        )
    made = converted(network, folder)
    written = encode(made)
    return Ready(written, made.DnnUID, note_of(made, written))


def note_of(network: IODeep, data: bytes) -> str:
    """Say of a converted network what a site may have to change.

    Parameters
    ----------
    network
        What `converted` gave.
    data
        Its file.
    """
    found = recognise(data)
    digest = "" if found is None else f", its digest is now {digest_of(found)}"
    note = f"what torch.save wrote was converted{digest}"
    if isinstance(network.DnnWeights, HashOfFile):
        note += (
            f"; its weights lie in the models folder as {FOLDER}/{network.DnnWeights.sha256}"
            ".safetensors, which every node that runs it needs"
        )
    return note


def _has_torch_weights(network: IODeep) -> bool:
    weights = network.DnnWeights
    if isinstance(weights, PathOfFile):
        return weights.path.endswith(_TORCH_SUFFIXES)
    return isinstance(weights, TorchSaved)
