"""Storage commitment for UIDs that were replaced."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from preread.deidentify import Pseudonyms, Secret

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def commitment(orthanc: Any) -> Any:
    orthanc.answers["LookupInstance"] = "an-id"
    orthanc.answers["RestApiGet"] = CT.encode()
    module = importlib.import_module("preread.hooks.commitment")
    return module.Commitment(Pseudonyms(Secret(bytes(32))))


def test_the_pseudonym_of_a_uid_is_looked_for(commitment: Any, orthanc: Any) -> None:
    reasons, stored = (
        orthanc.StorageCommitmentFailureReason,
        Pseudonyms(Secret(bytes(32))).uid("1.2"),
    )
    for uid in ("1.2", "1.2\0", stored):
        assert commitment.look(CT, uid, None) == reasons.SUCCESS
        assert orthanc.called("LookupInstance")[-1] == (stored,)


def test_what_was_stored_before_preread_is_found_under_its_own_uid(
    commitment: Any, orthanc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orthanc, "LookupInstance", lambda uid: "an-id" if uid == "1.2" else None)
    assert commitment.look(CT, "1.2 ", None) == orthanc.StorageCommitmentFailureReason.SUCCESS


def test_what_is_not_stored_or_is_something_else_is_not_committed(
    commitment: Any, orthanc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = orthanc.StorageCommitmentFailureReason
    assert commitment.look(f"{CT}.1", "1.2", None) == reasons.CLASS_INSTANCE_CONFLICT

    def gone(_: str) -> bytes:
        raise orthanc.OrthancException

    monkeypatch.setattr(orthanc, "RestApiGet", gone)
    assert commitment.look(CT, "1.2", None) == reasons.NO_SUCH_OBJECT_INSTANCE
    orthanc.answers["LookupInstance"] = None
    assert commitment.look(CT, "1.2", None) == reasons.NO_SUCH_OBJECT_INSTANCE
    monkeypatch.setattr(orthanc, "LookupInstance", lambda _: 1 / 0)
    assert commitment.look(CT, "1.2", None) == reasons.PROCESSING_FAILURE


def test_where_orthanc_cannot_ask_it_answers_itself(commitment: Any) -> None:
    assert commitment.register() is False
