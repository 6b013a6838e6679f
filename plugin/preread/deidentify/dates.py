"""Dates moved by one distance per patient, so that intervals stay (PS3.15 E.3.6, code 113107).

What is moved, and how far:

1. The distance is in whole minutes, the same for everything of a patient.
2. A date with its time, and a DT that has at least hours, move by the whole distance: the interval
   between any two of them is the same before and after, to the last digit of the fraction.
3. A date that has no time moves by the whole days of the distance. So the interval between two lone
   dates is the same before and after, and a lone date stays within a day of the date that the same
   moment has with its time.
4. A time that has no date moves by what the whole days leave, around the clock.
5. A DT of a year, of a year and a month, or of a whole date moves by the whole days too, counted
   from the middle of what it can mean, and is cut to the precision it had. So the interval between
   two such values is off by one unit of the coarser one at most.
6. Digits of fractions, the suffix of DT that tells the time zone, and the precision stay; a time of
   an hour alone gets minutes if the distance is not in whole hours. Forms of before 1993
   (``YYYY.MM.DD``, ``HH:MM:SS``) are read and written in today's form.
7. A leap second (``60``) stays one: what is moved is its minute.
8. What is no value of its VR, or would leave the years 1 to 9999, has no answer: what would have
   been done with it without this option must be done.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
from dataclasses import dataclass
from typing import Final

_MINUTES_A_DAY: Final = 24 * 60
_LEAST: Final = 30 * _MINUTES_A_DAY
_MOST: Final = 3650 * _MINUTES_A_DAY

_PADDING: Final = " \0"
_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})|([0-9]{4})\.([0-9]{2})\.([0-9]{2})")
_TIME: Final = re.compile(
    r"(?P<hour>[0-9]{2})(?:(?P<old>:?)(?P<minute>[0-9]{2})"
    r"(?:(?P=old)(?P<second>[0-9]{2})(?P<fraction>\.[0-9]{1,6})?)?)?"
)
_DATETIME: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:(?P<month>[0-9]{2})(?:(?P<day>[0-9]{2})(?P<time>[0-9]{2}"
    r"(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?)?)?)?(?P<zone>[+-][0-9]{4})?"
)
_ZONES: Final = range(-12 * 60, 14 * 60 + 1)


@dataclass(frozen=True, slots=True)
class _Time:
    """A time of day: minutes since midnight, and what stands behind them and is not moved."""

    minutes: int
    has_minutes: bool
    seconds: str

    def moved(self, minutes: int) -> str:
        """Return the time at other minutes of the day."""
        hour, minute = divmod(minutes, 60)
        if not self.has_minutes and not minute:
            return f"{hour:02}"
        return f"{hour:02}{minute:02}{self.seconds}"


def _read_time(value: str) -> _Time | None:
    match = _TIME.fullmatch(value)
    if match is None:
        return None
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    second = match["second"] or ""
    # PS3.5 Table 6.2-1 allows 60 for leap seconds, which come at the end of any hour of local time.
    if hour > 23 or minute > 59 or int(second or 0) > 60:
        return None
    return _Time(
        60 * hour + minute, match["minute"] is not None, second + (match["fraction"] or "")
    )


def _read_date(value: str) -> dt.datetime | None:
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    return _day(*(int(group) for group in match.groups() if group is not None))


def _day(year: int, month: int, day: int) -> dt.datetime | None:
    try:
        return dt.datetime(year, month, day, tzinfo=dt.UTC)
    except ValueError:
        return None


def _written(day: dt.datetime) -> str:
    return f"{day.year:04}{day.month:02}{day.day:02}"


@dataclass(frozen=True, slots=True)
class DateShift:
    """How far the dates and times of one patient are moved.

    Every method takes one value without backslash, padded or not, and returns it moved and without
    padding; an empty one stays empty. None is returned for what is no value of its VR, and for what
    would leave the years 1 to 9999.

    Parameters
    ----------
    minutes
        The distance; 0 leaves all where it is, less is into the past.

    >>> DateShift(-90).date_and_time("20240301", "010000.5")
    ('20240229', '233000.5')
    """

    minutes: int

    @property
    def days(self) -> int:
        """Whole days of the distance, the rest cut off: how far lone dates are moved."""
        # Not rounded down, or the opposite distance would not lead back.
        return int(self.minutes / _MINUTES_A_DAY)

    def date_and_time(self, date: str, time: str) -> tuple[str, str] | None:
        """Move a date (DA) together with its time (TM).

        Parameters
        ----------
        date, time
            If one of them is empty the other is moved as if alone.

        >>> DateShift(30).date_and_time("20231231", "2345")
        ('20240101', '0015')
        """
        date, time = date.strip(_PADDING), time.strip(_PADDING)
        if not date or not time:
            lone_date, lone_time = self.date(date), self.time(time)
            if lone_date is None or lone_time is None:
                return None
            return lone_date, lone_time
        day, clock = _read_date(date), _read_time(time)
        if day is None or clock is None:
            return None
        return self._moved(day, clock)

    def date(self, value: str) -> str | None:
        """Move a date (DA) that has no time, by whole days.

        >>> DateShift(-2 * 24 * 60).date("2024.03.01")
        '20240228'
        """
        value = value.strip(_PADDING)
        if not value:
            return ""
        day = _read_date(value)
        moved = None if day is None else self._by_days(day)
        return None if moved is None else _written(moved)

    def time(self, value: str) -> str | None:
        """Move a time (TM) that has no date, around the clock.

        >>> DateShift(-90).time("00:10:05.25")
        '224005.25'
        """
        value = value.strip(_PADDING)
        if not value:
            return ""
        clock = _read_time(value)
        if clock is None:
            return None
        return clock.moved((clock.minutes + self.minutes) % _MINUTES_A_DAY)

    def datetime(self, value: str) -> str | None:
        """Move a date with time (DT) of any precision.

        >>> DateShift(-90).datetime("20240301010000.123456+0200")
        '20240229233000.123456+0200'
        >>> DateShift(-30 * 24 * 60).datetime("202403")
        '202402'
        """
        value = value.strip(_PADDING)
        if not value:
            return ""
        match = _DATETIME.fullmatch(value)
        if match is None or not _is_zone(match["zone"]):
            return None
        zone = match["zone"] or ""
        day = _day(int(match["year"]), int(match["month"] or 7), int(match["day"] or 15))
        if day is None:
            return None
        if match["time"]:
            clock = _read_time(match["time"])
            both = None if clock is None else self._moved(day, clock)
            return None if both is None else "".join(both) + zone
        moved = self._by_days(day)
        if moved is None:
            return None
        digits = len(value) - len(zone)
        return _written(moved)[:digits] + zone

    def _by_days(self, day: dt.datetime) -> dt.datetime | None:
        try:
            return day + dt.timedelta(days=self.days)
        except OverflowError:
            return None

    def _moved(self, day: dt.datetime, clock: _Time) -> tuple[str, str] | None:
        days, minutes = divmod(clock.minutes + self.minutes, _MINUTES_A_DAY)
        try:
            moved = day + dt.timedelta(days=days)
        except OverflowError:
            return None
        return _written(moved), clock.moved(minutes)


def _is_zone(zone: str | None) -> bool:
    """Tell whether a suffix is one that PS3.5 Table 6.2-1 allows: -1200 to +1400, no -0000."""
    if zone is None:
        return True
    hours, minutes = int(zone[1:3]), int(zone[3:])
    offset = (60 * hours + minutes) * (-1 if zone[0] == "-" else 1)
    return minutes < 60 and offset in _ZONES and zone != "-0000"


def shift_of(key: bytes, patient: str) -> DateShift:
    """Return how far everything of a patient is moved: always into the past.

    Parameters
    ----------
    key
        32 bytes, used for nothing else.
    patient
        What tells patients apart, such as the pseudonym.

    Returns
    -------
    DateShift
        By 30 days to ten years, in whole minutes: HMAC-SHA256 (RFC 2104) of the patient decides.

    >>> shift_of(bytes(32), "a") == shift_of(bytes(32), "a")
    True
    """
    drawn = int.from_bytes(hmac.digest(key, patient.encode(), "sha256"), "big")
    return DateShift(-(_LEAST + drawn % (_MOST - _LEAST + 1)))
