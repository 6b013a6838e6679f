from __future__ import annotations

from typing import Any

import pytest

from preread.ledger.arrival import Arrival, ArrivalError


def test_an_arrival_comes_back_from_json_as_it_was(arrival_of: Any) -> None:
    arrival = arrival_of(7)
    assert Arrival.from_json(arrival.to_json()) == arrival


def test_a_field_of_a_later_version_is_ignored(arrival_of: Any) -> None:
    text = arrival_of().to_json()
    assert Arrival.from_json(text[:-1] + ',"later":1}') == arrival_of()


@pytest.mark.parametrize("field", ["instance", "series", "study", "patient"])
def test_what_is_not_an_orthanc_id_is_refused(arrival_of: Any, field: str) -> None:
    with pytest.raises(ArrivalError, match=f"{field} is not an Orthanc id"):
        arrival_of(**{field: "1.2.3"})


def test_models_without_work_are_refused(arrival_of: Any) -> None:
    with pytest.raises(ArrivalError, match="there must be work"):
        arrival_of(work=False)


def test_malformed_texts_are_made_harmless(arrival_of: Any) -> None:
    arrival = arrival_of(
        SOPInstanceUID="1.2\x00.3\ud800", Modality="C" * 5000, body_parts=("x\n",) * 1000
    )
    assert arrival.SOPInstanceUID == "1.2\ufffd.3\ufffd"
    assert arrival.Modality == "C" * 256
    assert arrival.body_parts == ("x\ufffd",) * 64


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"instance": 1}'])
def test_a_record_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArrivalError):
        Arrival.from_json(text)
