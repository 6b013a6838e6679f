from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts

from preread.models.anatomy import BY_CODE, REGIONS, body_parts, code_of, codes_in_text, covers

CHEST, ABDOMEN, HEAD, LUNG = "816094009", "818981001", "69536005", "39607008"


def test_all_of_cid_4031_is_there_with_its_codes() -> None:
    snomed: dict[str, Any] = concepts["SCT"]
    cid_4031 = {
        code for entry in snomed.values() for code, (_, cids) in entry.items() if 4031 in cids
    }
    assert len(cid_4031) > 100
    assert cid_4031 <= BY_CODE.keys()
    known = {code for entry in snomed.values() for code in entry}
    assert BY_CODE.keys() <= known


def test_no_code_or_meaning_is_there_twice() -> None:
    assert len({region.code for region in REGIONS}) == len(REGIONS)
    assert len({region.meaning for region in REGIONS}) == len(REGIONS)
    former = [code for region in REGIONS for code in region.former]
    assert len(set(former)) == len(former)


@pytest.mark.parametrize(
    ("term", "meaning"),
    [
        ("CHEST", "Chest"),
        ("Thorax", "Chest"),
        ("T-D3000", "Chest"),
        ("51185008", "Chest"),
        ("LUNG", "Lung"),
        ("CSPINE", "Cervical spine"),
        ("CHESTABDPELVIS", "Chest, Abdomen and Pelvis"),
        ("CHEST, ABDOMEN AND PELVIS", "Chest, Abdomen and Pelvis"),
        ("Entire body", "Entire body"),
        ("WHOLEBODY", "Entire body"),
    ],
)
def test_terms_have_codes(term: str, meaning: str) -> None:
    code = code_of(term)
    assert code is not None
    assert BY_CODE[code].meaning == meaning


@pytest.mark.parametrize(
    ("description", "region"),
    [
        ("CT lung screening", "CHEST"),
        ("Torax simple", "CHEST"),
        ("MAMMOGRAPHY BREAST L", "CHEST"),
        ("THORAX^01_ThorRoutine (Adult)", "CHEST"),
        ("MRI brain w/wo", "HEAD"),
        ("cerebellum", "HEAD"),
        ("US liver", "ABDOMEN"),
        ("kidney stones", "ABDOMEN"),
        ("CT colon", "ABDOMEN"),
        ("CT CAP with contrast", "CHEST"),
    ],
)
def test_descriptions_match_regions(description: str, region: str) -> None:
    code = code_of(region)
    assert code is not None
    assert covers([code], body_parts("", (), description))


@pytest.mark.parametrize("description", ["", "e+1", "follow up", "chestnut street clinic"])
def test_descriptions_without_a_part(description: str) -> None:
    assert codes_in_text(description) == ()


def test_the_image_itself_counts_before_its_study() -> None:
    assert body_parts("HEAD", (), "CT chest") == (HEAD,)
    assert body_parts("", ("T-D4000",), "CT chest") == (ABDOMEN,)
    assert body_parts("UNHEARD OF", ("no code",), "CT chest") == (CHEST,)
    assert body_parts("CHEST/ABDOMEN", (), "") == (code_of("CHESTABDOMEN"),)
    assert set(body_parts("ABDOMEN_SPECIAL LUNG", (), "")) == {ABDOMEN, LUNG}


def test_a_larger_part_is_not_within_a_smaller() -> None:
    assert covers([CHEST], [LUNG])
    assert not covers([LUNG], [CHEST])
    assert not covers([CHEST], ["not a code"])
    assert not covers([CHEST], ())


@given(st.text(max_size=2000))
def test_any_text_gives_known_codes_alone(text: str) -> None:
    found = codes_in_text(text)
    assert set(found) <= BY_CODE.keys()
    assert len(set(found)) == len(found)
