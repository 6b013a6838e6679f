"""Who a request is from, by Orthanc's word or a proxy's."""

from __future__ import annotations

import base64
import importlib
from types import ModuleType
from typing import Any

import pytest

BASIC = {"authorization": "Basic " + base64.b64encode(b"roe:secret").decode()}


def accounts(orthanc: ModuleType, **options: Any) -> Any:
    return importlib.import_module("preread.hooks.accounts").Accounts(**options)


@pytest.mark.parametrize(
    ("options", "headers", "expected"),
    [
        ({"checked": True}, BASIC, "roe"),
        # Where Orthanc does not check it, anybody may send it.
        ({"checked": False}, BASIC, ""),
        ({"checked": False}, {}, ""),
        ({"checked": False, "header": "X-User"}, {"x-user": " doe "}, "doe"),
        ({"checked": True, "header": "X-User"}, BASIC | {"X-USER": "doe"}, "doe"),
        ({"checked": True, "header": "X-User"}, BASIC, "roe"),
        # A header that the site has not named is a stranger's.
        ({"checked": True}, BASIC | {"x-user": "doe"}, "roe"),
    ],
)
def test_who_is_authenticated(
    orthanc: ModuleType, options: dict[str, Any], headers: dict[str, str], expected: str
) -> None:
    assert accounts(orthanc, **options).of(headers) == expected


@pytest.mark.parametrize(
    "headers", [{}, {"x-user": ""}, {"x-user": "a" * 65}, {"x-user": "a\nb"}, BASIC]
)
def test_a_proxy_that_names_nobody_is_refused(orthanc: ModuleType, headers: Any) -> None:
    error = importlib.import_module("preread.hooks.rest").RestError
    with pytest.raises(error) as caught:
        accounts(orthanc, checked=False, header="X-User").of(headers)
    assert caught.value.status == 403


def test_it_is_known_where_nobody_is_authenticated(orthanc: ModuleType) -> None:
    assert accounts(orthanc, checked=False).knows_nobody
    assert not accounts(orthanc, checked=True).knows_nobody
    assert not accounts(orthanc, checked=False, header="X-User").knows_nobody
