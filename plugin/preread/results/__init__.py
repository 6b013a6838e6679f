"""What was found, as DICOM: the private block in place or in a derived instance.

What is here turns bytes into bytes and knows nothing of Orthanc, the ledger or torch.
Pixel data passes through unchanged.
"""

from preread.results.block import (
    PRIVATE_CREATOR,
    UnwritablePredictionError,
    private_block,
    private_dictionary,
)
from preread.results.instance import derived_instance, with_predictions
from preread.results.reading import ClassPercentage, MalformedBlockError, ModelResult, read_block
from preread.results.splice import UnwritableInstanceError

__all__ = [
    "PRIVATE_CREATOR",
    "ClassPercentage",
    "MalformedBlockError",
    "ModelResult",
    "UnwritableInstanceError",
    "UnwritablePredictionError",
    "derived_instance",
    "private_block",
    "private_dictionary",
    "read_block",
    "with_predictions",
]
