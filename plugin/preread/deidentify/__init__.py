"""PS3.15 Annex E on bytes: Table E.1-1, its actions, keyed pseudonyms and UIDs.

What is here turns one complete file into another and knows nothing of Orthanc or networks.
No pixel data is decoded, no network is touched, nothing identifying is logged.
"""

from preread.deidentify.deidentified import Deidentified
from preread.deidentify.deidentifier import Deidentifier
from preread.deidentify.errors import DeidentificationError, SecretError
from preread.deidentify.options import LOOKING, DeidentifyOptions, Option
from preread.deidentify.pseudonyms import Pseudonyms
from preread.deidentify.secret import Secret

__all__ = [
    "LOOKING",
    "DeidentificationError",
    "Deidentified",
    "Deidentifier",
    "DeidentifyOptions",
    "Option",
    "Pseudonyms",
    "Secret",
    "SecretError",
]
