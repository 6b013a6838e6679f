"""What is wrong with a network that came as a DICOM object."""

from __future__ import annotations

from preread.errors import PrereadError


class InvalidIODeepError(PrereadError):
    """An IODeep instance, or what it refers to, that cannot be used.

    Attributes
    ----------
    attribute
        Keyword of the attribute that is at fault, such as ``DnnWeights``.
    reason
        What is wrong with it and what was expected.
    """

    def __init__(self, attribute: str, reason: str) -> None:
        super().__init__(f"IODeep: {attribute}: {reason}")
        self.attribute = attribute
        self.reason = reason


class TorchMissingError(InvalidIODeepError):
    """A network that torch.save wrote, where torch is not installed.

    Parameters
    ----------
    attribute
        Keyword of the attribute that it wrote.
    DnnUID
        Of the network; empty where it is not known.
    """

    def __init__(self, attribute: str, DnnUID: str = "") -> None:  # noqa: N803 - its own name
        which = f" of the network {DnnUID}" if DnnUID else ""
        super().__init__(
            attribute,
            f"that{which} was written by torch.save, which torch alone reads, and torch is not "
            "installed here; have `preread iodeep convert` write the object anew where it is, or "
            "install it here, in the folder of Preread's source: pip install '.[torch]'",
        )


class PredictionError(PrereadError):
    """A network that cannot say where something is in an image, whatever the image."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"IODeep: {reason}")
        self.reason = reason
