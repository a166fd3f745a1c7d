"""Days and ISO weeks, as people and the research log write them. All dates are local."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from core.errors import HerdError

DAY_FORM = (
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{4}\. ?[0-9]{1,2}\. ?[0-9]{1,2}\.?"
    r"|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}|[0-9]{4}년 ?[0-9]{1,2}월 ?[0-9]{1,2}일"
)
"""A day with its year, in the orders that ISO 8601 and Korean have."""
WEEK_FORM = r"[0-9]{4}-?[Ww][0-9]{1,2}"
_WEEK = re.compile(r"(?:([0-9]{4})-?)?[Ww]([0-9]{1,2})")
_SHIFTS = {"this": 0, "next": 1, "last": -1}
_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}


@dataclass(frozen=True, slots=True, order=True)
class Week:
    """A week by ISO 8601: it begins on Monday, and belongs to the year of its Thursday.

    Attributes:
        year: which need not be the calendar year of all its days.
        number: from 1 to 52 or 53.
    """

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year:04}-W{self.number:02}"

    @property
    def days(self) -> tuple[date, ...]:
        """Monday to Sunday."""
        return tuple(date.fromisocalendar(self.year, self.number, day) for day in range(1, 8))

    @property
    def first(self) -> date:
        """Its Monday."""
        return self.days[0]

    @property
    def last(self) -> date:
        """Its Sunday."""
        return self.days[-1]

    def shifted(self, weeks: int) -> Week:
        """Return the week so many weeks later."""
        return week_of(self.first + timedelta(weeks=weeks))


def week_of(day: date) -> Week:
    """Return the ISO week that a day is in."""
    year, number, _ = day.isocalendar()
    return Week(year, number)


def weeks_in(year: int) -> int:
    """How many ISO weeks a year has: that of its 28 December, 52 or 53."""
    return date(year, 12, 28).isocalendar().week


def local_day(moment: float) -> date:
    """Return the local date of a Unix time in seconds, by this machine's time zone at that time."""
    return datetime.fromtimestamp(moment).astimezone().date()


def as_day(text: str) -> date:
    """Read a day with its year. Raises ValueError: there is no such day, or it is written so."""
    numbers = [int(one) for one in re.findall(r"[0-9]+", text)]
    if not re.fullmatch(DAY_FORM, text.strip()):
        raise ValueError("it must be a day, such as 2026-11-25")
    return date(*numbers)


def as_week(text: str) -> Week:
    """Read a week with its year. Raises ValueError: there is no such week."""
    found = _WEEK.fullmatch(text.strip())
    if not found or not found[1]:
        raise ValueError("it must be a week, such as 2026-W48")
    return _existing(int(found[1]), int(found[2]))


def _existing(year: int, number: int) -> Week:
    if year < 1 or not 1 <= number <= weeks_in(year):
        raise ValueError(f"the weeks of {year} are {year}-W01 to {year}-W{weeks_in(max(year, 1))}")
    return Week(year, number)


def is_week(word: str) -> bool:
    """Whether a word of a command line can only mean a week."""
    return word in _SHIFTS or _WEEK.fullmatch(word) is not None


def is_day(word: str) -> bool:
    """Whether a word of a command line can only mean a day."""
    return word in _DAYS or re.fullmatch(DAY_FORM, word) is not None


def asked_week(text: str, today: date) -> Week:
    """Read a week as `--week` has it: `2026-W48`, `W48` of this year, `this`, `next`, `last`.

    Raises:
        HerdError: it is none, or that year does not have it.
    """
    this = week_of(today)
    if text in _SHIFTS:
        return this.shifted(_SHIFTS[text])
    found = _WEEK.fullmatch(text)
    try:
        if found:
            return _existing(int(found[1] or this.year), int(found[2]))
    except ValueError as error:
        raise HerdError(f"--week {text}: {error}.") from None
    raise HerdError(f"--week {text}: give a week such as {this}, or this, next, last.")


def asked_day(text: str, today: date, flag: str = "day") -> date:
    """Read a day as a flag has it: `2026-11-25`, `today`, `yesterday`, `tomorrow`.

    Raises:
        HerdError: it is none, or there is no such day.
    """
    if text in _DAYS:
        return today + timedelta(days=_DAYS[text])
    try:
        return as_day(text)
    except ValueError as error:
        told = str(error)
    raise HerdError(f"--{flag} {text}: give a day such as {today} ({told}).")
