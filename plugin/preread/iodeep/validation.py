"""Whether a network can be built and its weights fit it, before anything runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from preread.iodeep.architecture import Architecture, parse_architecture
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.opening import Contents, contents
from preread.iodeep.weights import TorchSaved
from preread.models.card import LARGEST_WEIGHTS, InvalidModelError
from preread.models.weights import check_fit

if TYPE_CHECKING:
    from preread.iodeep.architecture import Limits
    from preread.iodeep.iod import IODeep
    from preread.iodeep.opening import WeightsFolder


class Validated(NamedTuple):
    """A network of which all is known to fit.

    Attributes
    ----------
    architecture
        As its document says.
    contents
        Its document and weights.
    """

    architecture: Architecture
    contents: Contents


def validate(network: IODeep, folder: WeightsFolder, limits: Limits | None = None) -> Validated:
    """Check that a network can be built and that its weights are those of its layers.

    For the runner and the command. Nothing is allocated for the network, and torch is needed only
    for weights that it wrote itself.

    Parameters
    ----------
    network
        In any layout.
    folder
        Where references to weights lead.
    limits
        Of what a network may take; None for the defaults.

    Raises
    ------
    InvalidIODeepError
        Naming DnnWeights, if they cannot be read or do not fit.
    preread.iodeep.architecture.ArchitectureError
        If the architecture cannot be built.
    """
    # First: it is judged by numbers alone, and no weights need be read for what cannot be built.
    if not isinstance(network.DnnArchitecture, TorchSaved):
        parse_architecture(network.document, limits)
    opened = contents(network, folder, LARGEST_WEIGHTS)
    architecture = parse_architecture(opened.document, limits)
    try:
        check_fit(opened.arrays, architecture.weight_shapes, "expected those of the layers")
    except InvalidModelError as error:
        raise InvalidIODeepError("DnnWeights", str(error)) from None
    return Validated(architecture, opened)
