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


class PredictionError(PrereadError):
    """A network that cannot say where something is in an image, whatever the image."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"IODeep: {reason}")
        self.reason = reason
