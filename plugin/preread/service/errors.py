"""What a service answers when it does not do what was asked."""

from __future__ import annotations

import http
from typing import Any

from preread.errors import PrereadError


class ServiceError(PrereadError):
    """An error with a status of its own.

    Parameters
    ----------
    status
        The HTTP status, 400 to 599.
    details
        What was expected and what to do.
    """

    def __init__(self, status: int, details: str) -> None:
        super().__init__(details)
        self.status = status


def told(status: int, details: str, method: str, uri: str) -> dict[str, Any]:
    """Give an error as Orthanc does."""
    phrase = http.HTTPStatus(status).phrase
    return {
        "Details": details,
        "HttpError": phrase,
        "HttpStatus": status,
        "Message": phrase,
        "Method": method,
        "Uri": uri,
    }
