"""Pseudonyms: recognised with the key, meaningless without it."""

import uuid

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from preread.deidentify import Pseudonyms, Secret

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=70)


def test_a_key_gives_the_same_in_every_version() -> None:
    pseudonyms = Pseudonyms(Secret(bytes(range(32))))
    assert pseudonyms.uid("1.2.3") == "2.25.249655291276771681143330437836774986030"
    assert pseudonyms.patient("4711", "ADM") == "PRCMGY3AKZ7IY277KKTKRP2YUVI"
    assert pseudonyms.derived_uid("1.2.3", "seg") == "2.25.9704723799277802846932262008047311502"


@given(TEXTS)
def test_a_uid_is_a_uuid_that_is_recognised(original: str) -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    issued = pseudonyms.uid(original)
    number = uuid.UUID(int=int(issued.removeprefix("2.25.")))
    assert (number.version, number.variant) == (8, uuid.RFC_4122)
    assert UID(issued).is_valid
    assert pseudonyms.is_ours_uid(issued)
    assert pseudonyms.uid(issued) == issued
    assert pseudonyms.uid(f"{original} \0") == issued
    assert not Pseudonyms(Secret(b"\1" * 32)).is_ours_uid(issued)


@given(TEXTS, TEXTS)
def test_different_uids_stay_different(one: str, other: str) -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    same = one.strip(" \0") == other.strip(" \0")
    assert (pseudonyms.uid(one) == pseudonyms.uid(other)) is same


@given(st.integers(0, 2**129))
def test_nobody_makes_our_uids_by_chance(number: int) -> None:
    assert not Pseudonyms(Secret(bytes(32))).is_ours_uid(f"2.25.{number}")


@given(st.integers(0, 121))
def test_a_changed_uid_is_not_ours(bit: int) -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    number = int(pseudonyms.uid("1.2.3").removeprefix("2.25."))
    assert not pseudonyms.is_ours_uid(f"2.25.{number ^ 1 << bit}")
    assert not pseudonyms.is_ours_uid(f"2.25.0{number}")
    assert not pseudonyms.is_ours_uid(f"2.25.{number + (1 << 128)}")


def test_what_is_derived_depends_on_the_purpose_and_not_on_the_name() -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    derived = pseudonyms.derived_uid("1.2.3", "predictions")
    assert derived == pseudonyms.derived_uid(pseudonyms.uid("1.2.3"), "predictions")
    assert pseudonyms.is_ours_uid(derived)
    assert len({derived, pseudonyms.derived_uid("1.2.3", "heat map"), pseudonyms.uid("1.2.3")}) == 3


@given(TEXTS)
def test_what_is_derived_is_told_from_what_stands_for_something(uid: str) -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    derived = pseudonyms.derived_uid(uid, "proposal")
    assert pseudonyms.is_result_uid(derived)
    assert not pseudonyms.is_result_uid(pseudonyms.uid(uid))
    assert not pseudonyms.is_result_uid(uid)
    assert not Pseudonyms(Secret(bytes([1] * 32))).is_result_uid(derived)
    # What refers to a result still refers to it after de-identification.
    assert pseudonyms.uid(derived) == derived


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_a_patient_is_recognised(identifier: str, issuer: str, name: str, born: str) -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    issued = pseudonyms.patient(identifier, issuer, name, born, "1.2.3")
    assert pseudonyms.is_ours_patient(issued)
    assert pseudonyms.patient(issued, "", "", "", "1.2.9") == issued
    assert pseudonyms.patient("", "", issued, "", "1.2.9") == issued
    assert pseudonyms.patient(identifier, issuer, name, born, pseudonyms.uid("1.2.3")) == issued
    assert len(issued) <= 64
    assert issued.isascii()
    assert not Pseudonyms(Secret(b"\1" * 32)).is_ours_patient(issued)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_an_identifier_and_its_issuer_do_not_run_into_each_other(
    one: str, issuer: str, other: str, second: str
) -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))
    first = (one.strip(" \0"), issuer.strip(" \0"))
    then = (other.strip(" \0"), second.strip(" \0"))
    if not first[0] or not then[0]:
        return
    same = pseudonyms.patient(*first) == pseudonyms.patient(*then)
    assert same is (first == then)


def test_names_are_compared_without_what_does_not_matter() -> None:
    pseudonyms = Pseudonyms(Secret(bytes(32)))

    def named(name: str) -> str:
        return pseudonyms.patient("", "", name, "19610203", "1.2.3")

    assert named("Doe^Jane") == named("DOE^JANE^^^") == named("doe^jane ") == named("Doe^Jane==")
    assert named("Doe^Jane") != named("Doe^Jane^M")
    assert named("^^") == pseudonyms.patient("", "", "", "", "1.2.3")
