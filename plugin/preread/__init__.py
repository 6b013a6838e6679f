"""Preread: de-identify each image that reaches Orthanc, read it with neural networks, store both.

The folders follow the way of an image: ``hooks``, ``deidentify``, ``ledger``, ``runner``,
``imaging``, ``models``, ``results``. Nothing here imports torch or Orthanc when it is imported.
"""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: inside Orthanc, the path is not complete before."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return version("preread")
    except PackageNotFoundError:  # a bare checkout that was never installed
        return "0+unknown"
