from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from preread.iodeep.selection import NO_NETWORK, ImageFacts, NetworkFacts, Selection, select
from preread.models.anatomy import code_of

CT_CHEST = NetworkFacts("1.1", "CT", 1, "CHEST")
MR_HEAD = NetworkFacts("1.2", "MR", 1, "HEAD")
MR_HEAD_RGB = NetworkFacts("1.3", "MR", 3, "HEAD")
CT_ABDOMEN = NetworkFacts("1.4", "CT", 1, "ABDOMEN")
CT_LUNG = NetworkFacts("1.5", "CT", 1, "LUNG")
ALL = (CT_CHEST, MR_HEAD, MR_HEAD_RGB, CT_ABDOMEN, CT_LUNG)


def _select(*networks: NetworkFacts, **facts: Any) -> Selection:
    given: dict[str, Any] = {"Modality": "CT", "SamplesPerPixel": 1} | facts
    return select(ImageFacts(**given), networks or ALL)


def _code(part: str) -> str:
    code = code_of(part)
    assert code is not None
    return code


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"BodyPartExamined": "CHEST"}, "1.1"),
        ({"BodyPartExamined": "ABDOMEN"}, "1.4"),
        ({"Modality": "MR", "BodyPartExamined": "HEAD"}, "1.2"),
        ({"Modality": "MR", "SamplesPerPixel": 3, "BodyPartExamined": "HEAD"}, "1.3"),
        ({"StudyDescription": "CT CHEST W/O"}, "1.1"),
        ({"Modality": "MR", "StudyDescription": "HEAD"}, "1.2"),
        # What the image says of itself counts before what is said of the study.
        ({"BodyPartExamined": "ABDOMEN", "StudyDescription": "CT CHEST"}, "1.4"),
    ],
)
def test_the_articles_rule(facts: dict[str, Any], expected: str) -> None:
    selection = _select(**facts)
    assert selection.DnnUID == expected
    assert selection.candidates[0].by_the_article
    assert selection.warning == ""


@pytest.mark.parametrize(
    ("facts", "failed_on"),
    [
        ({"Modality": "US", "BodyPartExamined": "CHEST"}, {"Modality"}),
        ({"SamplesPerPixel": 3, "BodyPartExamined": "CHEST"}, {"SamplesPerPixel", "Modality"}),
        ({"BodyPartExamined": "FOOT"}, {"BodyPartExamined", "Modality"}),
        (
            {"BodyPartExamined": "FOOT", "StudyDescription": "CHEST"},
            {"BodyPartExamined", "Modality"},
        ),
        ({"StudyDescription": "FOLLOW-UP"}, {"StudyDescription", "Modality"}),
        ({"AnatomicRegionSequence": ("56459004",)}, {"AnatomicRegionSequence", "Modality"}),
        ({"body_parts": (code_of("FOOT"),)}, {"BodyPartExamined", "Modality"}),
        ({}, {"BodyPartExamined", "Modality"}),
    ],
)
def test_none_is_chosen_with_a_warning_and_the_reasons(
    facts: dict[str, Any], failed_on: set[str]
) -> None:
    selection = _select(**facts)
    assert selection.DnnUID is None
    assert selection.warning == NO_NETWORK
    assert {candidate.failed_on for candidate in selection.candidates} == failed_on
    assert {candidate.DnnUID for candidate in selection.candidates} == {n.DnnUID for n in ALL}
    assert all(candidate.reason.startswith("expected ") for candidate in selection.candidates)
    assert "FOLLOW" not in str(selection)


def test_no_network_at_all_is_a_warning() -> None:
    image = ImageFacts(Modality="CT", SamplesPerPixel=1)
    assert select(image, []) == Selection(None, (), NO_NETWORK)


@pytest.mark.parametrize(
    "facts",
    [
        {"BodyPartExamined": " Chest "},
        {"BodyPartExamined": "chest"},
        {"Modality": "ct ", "BodyPartExamined": "CHEST"},
        {"BodyPartExamined": "THORAX"},
        {"BodyPartExamined": "BREAST"},
        {"StudyDescription": "ct  chest"},
        {"StudyDescription": "CT TÓRAX"},
        {"StudyDescription": "MAMMA/breast biopsy"},
        {"AnatomicRegionSequence": ("51185008",)},
        {"AnatomicRegionSequence": ("T-D3000",)},
        {"AnatomicRegionSequence": ("816094009",), "StudyDescription": "ABDOMEN?"},
        {"body_parts": (code_of("CHEST"),)},
        {"body_parts": (code_of("breast"),)},
    ],
)
def test_spelling_does_not_matter(facts: dict[str, Any]) -> None:
    selection = _select(CT_CHEST, MR_HEAD, **facts)
    assert selection.DnnUID == CT_CHEST.DnnUID


def test_spaces_and_underscores_within_a_part_do_not_matter() -> None:
    network = NetworkFacts("1.9", "CT", 1, "PART 7")
    for part in ("Part7", "PART_7", "part  7"):
        assert _select(network, BodyPartExamined=part).DnnUID == "1.9"
    assert _select(network, StudyDescription="ct part-7 follow-up").DnnUID == "1.9"
    assert _select(network, StudyDescription="ct part-77").DnnUID is None


def test_a_word_within_another_word_is_no_part() -> None:
    hip = NetworkFacts("1.9", "CT", 1, "HIP")
    assert _select(hip, StudyDescription="WHIPPLE PROCEDURE").DnnUID is None
    assert _select(hip, StudyDescription="LEFT HIP").DnnUID == "1.9"


def test_the_prototypes_grouping_of_the_cervical_spine() -> None:
    facts = {"Modality": "MR", "StudyDescription": "cervical spine"}
    assert _select(**facts).DnnUID == MR_HEAD.DnnUID
    # Where the image itself says so, a network for the head is not for it.
    assert _select(Modality="MR", BodyPartExamined="CSPINE").DnnUID is None


def test_the_most_specific_network_wins() -> None:
    assert _select(StudyDescription="lung, chest").DnnUID == CT_LUNG.DnnUID
    assert _select(BodyPartExamined="Lung").DnnUID == CT_LUNG.DnnUID
    assert _select(body_parts=(_code("CHEST"),)).DnnUID == CT_CHEST.DnnUID


def test_the_one_that_the_article_finds_wins_over_what_is_added() -> None:
    # By the parts of the body both fit, and the lung is the smaller one.
    selection = _select(StudyDescription="CHEST ct of the lung")
    assert selection.DnnUID == CT_CHEST.DnnUID
    assert [candidate.DnnUID for candidate in selection.candidates[:2]] == ["1.1", "1.5"]


def test_the_newest_wins_among_equals_in_any_order() -> None:
    networks = [
        CT_CHEST._replace(DnnUID="2.1", created=dt.datetime.fromisoformat("2025-01-01")),
        CT_CHEST._replace(DnnUID="2.2", created=dt.datetime.fromisoformat("2026-01-01")),
        CT_CHEST._replace(DnnUID="2.3", created=None),
    ]
    chosen = {
        _select(*order, BodyPartExamined="CHEST") for order in itertools.permutations(networks)
    }
    assert len(chosen) == 1
    assert [candidate.DnnUID for candidate in chosen.pop().candidates] == ["2.2", "2.1", "2.3"]


def test_being_new_does_not_outweigh_being_specific() -> None:
    new = CT_CHEST._replace(created=dt.datetime.fromisoformat("2026-01-01"))
    assert _select(new, CT_LUNG, BodyPartExamined="LUNGS").DnnUID == CT_LUNG.DnnUID


def test_a_network_without_a_part_of_the_body_is_for_nothing() -> None:
    network = NetworkFacts("1.9", "CT", 1, "")
    for facts in ({}, {"BodyPartExamined": "CHEST"}, {"StudyDescription": "CHEST"}):
        assert _select(network, **facts).DnnUID is None
