from __future__ import annotations

from pathlib import Path

import pytest

from preread.training.data_set import DataSet
from preread.training.patients import token_of, tokens_in, tokens_of_header, without_identifiers
from preread.training.split_file import write_split
from preread.training.splits import Split
from tests.unit.training.conftest import TwoSets, refused

TOKEN = token_of(b"Doe-4711")


def test_a_token_says_nothing_and_stays_as_it_is() -> None:
    assert "Doe" not in TOKEN
    assert len(TOKEN) == len("sha256:") + 16
    assert tokens_in("Doe-4711") == tokens_in(f" {TOKEN} ") == (TOKEN,)
    assert tokens_in("") == tokens_in(" ") == ()
    other = token_of(b"other")
    assert tokens_in(f"{TOKEN} {other} {TOKEN}") == (TOKEN, other)
    # What only looks like tokens in part is an identifier.
    for name in (f"{TOKEN} Doe", "Doe Jane", TOKEN.upper(), TOKEN.removeprefix("sha256:")):
        assert tokens_in(name) == (token_of(name.encode()),)


def test_a_header_that_cannot_be_read_names_nobody() -> None:
    assert tokens_of_header(b"\0" * 128 + b"DICM" + b"\xff" * 40) == ()


def test_a_listing_that_names_nobody_is_left_as_it_is() -> None:
    for listing in (
        "file,class,sha256,group,part\r\na.png, x ,00,1,test\r\n\r\n",
        f"file,patient,class\na.png,{TOKEN},x\nb.png,,y",
        f"\ufefffile,class,patient\na.png,x,{TOKEN} {token_of(b'2')}\n",
    ):
        assert without_identifiers(listing.encode()) == listing.encode()


def test_a_listing_that_names_patients_is_given_without() -> None:
    listing = '\ufefffile,patient,class\r\n"a, 1.png",Doe-4711,x\r\n\r\nb.png, ,y\r\n'
    hidden = f'file,patient,class\n"a, 1.png",{TOKEN},x\nb.png,,y\n'
    assert without_identifiers(listing.encode()) == hidden.encode()
    assert without_identifiers(hidden.encode()) == hidden.encode()


@pytest.mark.parametrize("patient", ["Doe-4711", TOKEN])
def test_no_split_beside_weights_names_a_patient(
    patient: str,
    two_sets: TwoSets,
    two_set_data: DataSet,
    two_set_split: Split,
    tmp_path: Path,
) -> None:
    listing = tmp_path / "divided.csv"
    write_split(listing, two_set_data, two_set_split)
    columns, *rows = listing.read_text().splitlines()
    named = [f"{columns},patient", *(f"{row},{patient}" for row in rows)]
    listing.write_bytes("\r\n".join(named).encode())
    weights = tmp_path / "wrong.safetensors"
    weights.write_bytes(b"no weights")
    # It is refused once the split lies there.
    told = refused(
        listing, *two_sets.descriptions, "--output", tmp_path / "net", "--pretrained", weights,
        "--size", 32,
    )  # fmt: skip
    assert "wrong.safetensors: not a safetensors file" in told
    split = (tmp_path / ".net.training" / "net.split.csv").read_bytes()
    assert split.count(TOKEN.encode()) == 60
    assert (split == listing.read_bytes()) == (patient == TOKEN)
    assert b"Doe" not in split
