"""Modified dates: intervals stay to the microsecond, and nothing leaves the calendar."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preread.deidentify.dates import DateShift, shift_of

DAY = 24 * 60
MOMENTS = st.datetimes(
    min_value=dt.datetime.fromisoformat("1900-01-01"),
    max_value=dt.datetime.fromisoformat("2100-01-01"),
)
SHIFTS = st.integers(-3650 * DAY, 3650 * DAY).map(DateShift)


def written(moment: dt.datetime) -> tuple[str, str]:
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")


def read(date: str, time: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{date}T{time}")


@given(MOMENTS, MOMENTS, SHIFTS)
def test_intervals_stay_to_the_microsecond(
    one: dt.datetime, other: dt.datetime, shift: DateShift
) -> None:
    moved_one = shift.date_and_time(*written(one))
    moved_other = shift.date_and_time(*written(other))
    assert moved_one is not None
    assert moved_other is not None
    assert read(*moved_one) - read(*moved_other) == one - other
    assert read(*moved_one) - one == dt.timedelta(minutes=shift.minutes)


@given(MOMENTS, SHIFTS)
def test_dt_moves_as_date_and_time_do(moment: dt.datetime, shift: DateShift) -> None:
    date, time = written(moment)
    both = shift.date_and_time(date, time)
    assert both is not None
    assert shift.datetime(f"{date}{time}-0530") == "".join(both) + "-0530"


@given(MOMENTS, SHIFTS)
def test_the_opposite_shift_leads_back(moment: dt.datetime, shift: DateShift) -> None:
    back = DateShift(-shift.minutes)
    date, time = written(moment)
    both = shift.date_and_time(date, time)
    assert both is not None
    assert back.date_and_time(*both) == (date, time)
    assert back.date(shift.date(date) or "") == date
    assert back.time(shift.time(time) or "") == time
    assert back.datetime(shift.datetime(date + time) or "") == date + time
    assert back.datetime(shift.datetime(date) or "") == date


@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), SHIFTS)
def test_lone_dates_all_move_by_the_same_whole_days(day: dt.date, shift: DateShift) -> None:
    moved = shift.date(day.strftime("%Y%m%d"))
    assert moved is not None
    distance = dt.date.fromisoformat(moved) - day
    assert distance.days == shift.days
    assert abs(distance.days * DAY - shift.minutes) < DAY


@given(MOMENTS, SHIFTS, st.sampled_from([4, 6]))
def test_coarse_dt_moves_within_its_precision(
    moment: dt.datetime, shift: DateShift, digits: int
) -> None:
    value = written(moment)[0][:digits]
    moved = shift.datetime(value)
    assert moved is not None
    assert len(moved) == digits
    before, after = (dt.date(int(text[:4]), int(text[4:] or 1), 1) for text in (value, moved))
    assert abs((after - before).days - shift.days) <= (366 if digits == 4 else 31)


@given(st.integers(0, DAY - 1), SHIFTS)
def test_lone_times_move_around_the_clock(minutes: int, shift: DateShift) -> None:
    moved = shift.time(f"{minutes // 60:02}{minutes % 60:02}")
    assert moved is not None
    assert len(moved) == 4
    assert (60 * int(moved[:2]) + int(moved[2:]) - minutes - shift.minutes) % DAY == 0


@pytest.mark.parametrize(
    ("minutes", "before", "after"),
    [
        (-1, ("20240301", "000030.5"), ("20240229", "235930.5")),
        (-1, ("20230301", "0000"), ("20230228", "2359")),
        (1, ("20231231", "235959.999999"), ("20240101", "000059.999999")),
        (-60, ("20240101", "00"), ("20231231", "23")),
        (-61, ("20240101", "00"), ("20231231", "2259")),
        (0, ("2024.01.31", "10:20:30.25"), ("20240131", "102030.25")),
        (-20, ("20170101", "005960"), ("20170101", "003960")),
        (5, ("20240229 ", "1015 "), ("20240229", "1020")),
        (-DAY, ("20240301", ""), ("20240229", "")),
        (-DAY - 1, ("", "0000"), ("", "2359")),
        (-DAY, ("", ""), ("", "")),
        (-1, ("00010101", "0001"), ("00010101", "0000")),
        (1, ("99991231", "2358"), ("99991231", "2359")),
    ],
)
def test_dates_with_times(minutes: int, before: tuple[str, str], after: tuple[str, str]) -> None:
    assert DateShift(minutes).date_and_time(*before) == after


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("20240301", "20240229"),
        ("2024030100", "202402292230"),
        ("202403010000", "202402292230"),
        ("20240301000000.1+0100 ", "20240229223000.1+0100"),
        ("20240301010060", "20240229233060"),
    ],
)
def test_dt_of_every_precision(value: str, after: str) -> None:
    minutes = -90 if len(value) > 8 else -DAY - 90
    assert DateShift(minutes).datetime(value) == after


@pytest.mark.parametrize(
    "value",
    [
        "20230229",
        "20241301",
        "2024",
        "2024-03-01",
        "20240301a",
        "00000101",
        "٢٠٢٤٠٣٠١",
        "2024.0301",
    ],
)
def test_what_is_no_date_has_no_answer(value: str) -> None:
    assert DateShift(-DAY).date(value) is None
    assert DateShift(-DAY).date_and_time(value, "10") is None


@pytest.mark.parametrize(
    "value", ["24", "1060", "101061", "1", "10:1", "1010.5", "101010.1234567", "101010.", "10:1010"]
)
def test_what_is_no_time_has_no_answer(value: str) -> None:
    assert DateShift(-DAY).time(value) is None
    assert DateShift(-DAY).date_and_time("20240301", value) is None


@pytest.mark.parametrize(
    "value",
    ["202", "20241", "20240230", "2024030124", "20240301+1500", "20240301-0000", "20240301+0060"],
)
def test_what_is_no_dt_has_no_answer(value: str) -> None:
    assert DateShift(-DAY).datetime(value) is None


def test_what_leaves_the_calendar_has_no_answer() -> None:
    past, future = DateShift(-DAY), DateShift(DAY)
    assert past.date("00010101") is None
    assert past.date_and_time("00010101", "1200") is None
    assert past.datetime("00010101") is None
    assert DateShift(-3650 * DAY).datetime("0001") is None
    assert future.date("99991231") is None
    assert future.datetime("99991231120000") is None


@given(st.binary(min_size=32, max_size=32), st.text(st.characters(codec="utf-8")))
def test_everything_moves_into_the_past_by_a_month_to_ten_years(key: bytes, patient: str) -> None:
    shift = shift_of(key, patient)
    assert -3650 * DAY <= shift.minutes <= -30 * DAY
    assert shift == shift_of(key, patient)


def test_distances_differ_by_key_and_patient_and_are_spread() -> None:
    of_patients = {shift_of(bytes(32), str(number)).minutes for number in range(500)}
    of_keys = {shift_of(number.to_bytes(32, "big"), "a").minutes for number in range(500)}
    assert len(of_patients) > 495
    assert len(of_keys) > 495
    tenths = {-minutes // (365 * DAY) for minutes in of_patients}
    assert tenths == set(range(10))


def test_the_distance_of_a_patient_is_the_same_in_every_release() -> None:
    """A change here moves what was stored before apart from what comes later."""
    assert shift_of(bytes(range(32)), "PSEUDONYM").minutes == -4494145
