"""What an item of the log says about itself: its box, its number, and a note with dates.

`- [ ] #3 Measure eight nodes (week 2026-W48, since 2026-11-23)`
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date

from collect.diary.dates import DAY_FORM, WEEK_FORM, Week, as_day, as_week
from collect.diary.words import KIND_TITLES, KINDS, Kind

_BOX = re.compile(r"\[([ xX])\](?:[ \t]+|$)")
_NUMBER = re.compile(r"[*_~`]{0,3}#([0-9]{1,6})[*_~`]{0,3}(?![\w-])[.:)]?[ \t]*")
_BRACKETS = re.compile(r"\(([^()]*)\)")
_FORMS = {
    "due": (rf"(?:by|due|until|기한:?|마감:?)\s*({DAY_FORM})", rf"({DAY_FORM})\s*까지"),
    "done": (
        rf"(?:done|finished|answered|closed|완료:?|해결:?)\s*({DAY_FORM})",
        rf"({DAY_FORM})\s*(?:에\s*)?(?:완료|해결)",
    ),
    "since": (rf"(?:since|set|asked|from|시작:?)\s*({DAY_FORM})", rf"({DAY_FORM})\s*부터"),
    "week": (rf"(?:week|주간)?\s*({WEEK_FORM})\s*(?:주간?)?",),
}
"""Attribute of a note to the ways in which people write it; the group is the day or the week."""


@dataclass(frozen=True, slots=True)
class Note:
    """The dates and the kind in the brackets of an item.

    Attributes:
        due: by when.
        done: when it was done.
        since: when it was set or asked.
        week: whose goal it is.
        kind: of goal.
        place: offset of its closing bracket in the item's text; -1 where there is no note.
        done_place: offsets between which the date of `done` is; None where there is none.
        wrong: what in it is no date or no week, with the reason.
    """

    due: date | None = None
    done: date | None = None
    since: date | None = None
    week: Week | None = None
    kind: Kind | None = None
    place: int = -1
    done_place: tuple[int, int] | None = None
    wrong: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Marked:
    """The text of an item, taken apart. Offsets are within the text.

    Attributes:
        box: offset of the character in its box; -1 where it has no box.
        is_ticked: the box has a cross.
        number: None where it has none.
        number_place: where a number is, or would be put.
        words: what is left: neither box nor number nor note.
        note: the note.
    """

    box: int
    is_ticked: bool
    number: int | None
    number_place: int
    words: str
    note: Note


def taken_apart(text: str) -> Marked:
    """Take the text of an item apart; it may go over several lines."""
    box = _BOX.match(text)
    at = box.end() if box else 0
    number = _NUMBER.match(text, at)
    begin = number.end() if number else at
    note, opening = _note_of(text, begin)
    words = text[begin:] if note.place < 0 else text[begin:opening] + text[note.place + 1 :]
    return Marked(
        box=box.start() + 1 if box else -1,
        is_ticked=bool(box and box[1] in "xX"),
        number=int(number[1]) if number else None,
        number_place=at,
        words=" ".join(words.split()),
        note=note,
    )


def _note_of(text: str, begin: int) -> tuple[Note, int]:
    """Find the last brackets that hold nothing but forms of a note, and where they open."""
    for found in reversed(list(_BRACKETS.finditer(text, begin))):
        note: Note | None = Note(place=found.end() - 1)
        for part in re.finditer(r"[^,;、]+", found[1]):
            offset = found.start(1) + part.start() + len(part[0]) - len(part[0].lstrip())
            note = note and _with(note, part[0].strip(), offset)
        if note and found[1].strip():
            return note, found.start()
    return Note(), -1


def _with(note: Note, part: str, offset: int) -> Note | None:
    """Add a part of the brackets to a note; None if it is none."""
    for kind in KINDS:
        if part.casefold() in KIND_TITLES[kind]:
            return replace(note, kind=kind)
    for name, forms in _FORMS.items():
        for form in forms:
            if found := re.fullmatch(form, part, re.IGNORECASE):
                return _dated(note, name, found, offset)
    return None


def _dated(note: Note, name: str, found: re.Match[str], offset: int) -> Note:
    try:
        if name == "week":
            return replace(note, week=as_week(found[1]))
        day = as_day(found[1])
    except ValueError as error:
        return replace(note, wrong=(*note.wrong, f"{found[1]}: {error}"))
    if name == "due":
        return replace(note, due=day)
    if name == "since":
        return replace(note, since=day)
    place = (offset + found.start(1), offset + found.end(1))
    return replace(note, done=day, done_place=place)


def spelled(parts: Iterable[str]) -> str:
    """Write a note with a blank before it; nothing of no parts."""
    told = ", ".join(parts)
    return f" ({told})" if told else ""
