"""Preread: de-identify each image that reaches Orthanc, read it with neural networks, store both.

The folders follow the way of an image: ``hooks``, ``deidentify``, ``ledger``, ``runner``,
``imaging``, ``models``, ``results``. Nothing here imports torch or Orthanc when it is imported.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("preread")
except PackageNotFoundError:  # a bare checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
