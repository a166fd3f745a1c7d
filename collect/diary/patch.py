"""Changes to the text of a log: places in it, and what is put there. Nothing else changes.

Each function takes a log and returns patches. A person's words stay as they are: a patch inserts,
or replaces the character in a box, or a date or a number that `fab log` itself writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from collect.diary.dates import Week
from collect.diary.log import Log, Region, Task
from collect.diary.notes import spelled
from collect.diary.outline import LEFT_BELOW
from collect.diary.words import KINDS, PARTS, Kind, Part, Words, part_of
from core.errors import HerdError

COUNTER = "<!-- fab log: last number {} -->"


@dataclass(frozen=True, slots=True, order=True)
class Patch:
    """A change of a text.

    Attributes:
        begin: offset of what is replaced.
        end: where that ends; `begin` for an insertion.
        text: what is there afterwards.
    """

    begin: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Wish:
    """A goal that is to be added.

    Attributes:
        week: of a goal of a week; None for others.
        due: by when; None where no one said.
    """

    kind: Kind
    text: str
    week: Week | None = None
    due: date | None = None


def patched(text: str, patches: Iterable[Patch]) -> str:
    """Return the text with the patches, which do not overlap; two at a place keep their order."""
    made, at = [], 0
    for patch in sorted(patches, key=lambda one: (one.begin, one.end)):
        made += [text[at : patch.begin], patch.text]
        at = patch.end
    return "".join([*made, text[at:]])


def new_log(words: Words) -> str:
    """Return the text of a log without entries."""
    lines = [f"# {words.title}", "", COUNTER.format(0), "", f"## {words.parts['goals']}", ""]
    for kind in KINDS:
        lines += [f"### {words.kinds[kind]}", ""]
    for part in PARTS[1:]:
        lines += [f"## {words.parts[part]}", ""]
    return "\n".join(lines[:-1]) + "\n"


def numbered(log: Log) -> Iterator[Patch]:
    """Give a number to each goal and question that has none, and note the last one."""
    number = log.next_number
    for task in log.tasks:
        if task.number is None:
            at = task.item.begin + task.marks.number_place
            yield Patch(at, at, f"#{number} ")
            number += 1
    yield from counter_patches(log, number - 1)


def counter_patches(log: Log, last: int) -> Iterator[Patch]:
    """Note the last number that was given, where the log has a place for it."""
    if log.counter and log.counter[0] != last:
        yield Patch(*log.counter[1], str(last))


def goal_patches(log: Log, wish: Wish, words: Words, today: date) -> list[Patch]:
    """Add a goal with the next number.

    Args:
        log: is added to.
        wish: the goal.
        words: of the log's language.
        today: day since when it is a goal.
    """
    region, has_kinds = _region_of_goals(log, wish)
    dates = [words.week.format(wish.week)] if wish.week else []
    if not has_kinds and wish.kind != "weekly":
        dates.insert(0, words.kinds[wish.kind].lower())
    dates.append(words.since.format(today))
    dates += [words.by.format(wish.due)] if wish.due else []
    number = log.next_number
    line = f"[ ] #{number} {wish.text}{spelled(dates)}"
    patches = [*counter_patches(log, number)]
    if region is not None:
        return [*patches, _listed(log, region, line)]
    if all(one.place.part != "goals" for one in log.regions):
        head = [f"## {words.parts['goals']}", "", f"### {words.kinds[wish.kind]}"]
        return [*patches, _at_end(log, [*head, "", f"- {line}"])]
    last = [one for one in log.regions if one.place.part == "goals"][-1]
    level = max([3, *(one.heading.level for one in _kinds(log) if one.heading)][-1:])
    head = [f"{'#' * level} {words.kinds[wish.kind]}"]
    return [*patches, _below(log, last, [*head, "", f"- {line}"])]


def _kinds(log: Log) -> list[Region]:
    """The regions whose headings say the kind of the goals in them."""
    return [one for one in log.regions if one.place.part == "goals" and one.place.kind]


def _region_of_goals(log: Log, wish: Wish) -> tuple[Region | None, bool]:
    """Where a goal belongs, and whether a heading there says its kind; None: there is no place."""
    same = [one for one in _kinds(log) if one.place.kind == wish.kind]
    for week in (wish.week, None):
        if fit := [one for one in same if one.place.week == week]:
            return fit[0], True
    if _kinds(log):
        return None, True
    flat = [one for one in log.regions if one.place.part == "goals" and one.items]
    return (flat[0], False) if flat else (None, True)


def question_patches(log: Log, text: str, words: Words, today: date) -> list[Patch]:
    """Add an open question with the next number.

    Args:
        log: is added to.
        text: one line of Markdown.
        words: of the log's language.
        today: day since when it is open.
    """
    number = log.next_number
    line = f"[ ] #{number} {text}{spelled([words.since.format(today)])}"
    return [*counter_patches(log, number), _in_part(log, "questions", line, words)]


def finding_patch(log: Log, text: str, links: Sequence[str], words: Words, today: date) -> Patch:
    """Add a finding.

    Args:
        log: is added to.
        text: one line of Markdown.
        links: to runs, as Markdown.
        words: of the log's language.
        today: day of the finding.
    """
    return _in_part(log, "findings", f"{today} {text}{spelled(links)}", words)


def entry_patch(log: Log, text: str, words: Words, day: date, clock: str = "") -> Patch:
    """Add an entry to a day, below what was written about it and above what it is divided into.

    Args:
        log: is added to.
        text: one line of Markdown.
        words: of the language in which a new heading is written.
        day: whose entry it is.
        clock: when, such as `14:05`; empty for no time.
    """
    line = f"{clock} {text}" if clock else text
    if there := log.headed(day):
        return _listed(log, there[-1], line)
    weekday = words.weekdays[day.weekday()]
    days = [one for one in log.regions if one.place.day]
    if not days:
        return _first_day(log, f"{day} ({weekday})", line, words)
    level = min(one.heading.level for one in days if one.heading)
    lines = [f"{'#' * level} {day} ({weekday})", "", f"- {line}"]
    return _among_days(log, day, lines)


def _first_day(log: Log, title: str, line: str, words: Words) -> Patch:
    """Put the first day below the heading for days; the whole log may be called so, too."""
    named = [
        (one.heading.level, one)
        for one in log.regions
        if one.heading and one.place.part == "diary" and part_of(one.heading.title) == "diary"
    ]
    if not named:
        head = [f"## {words.parts['diary']}", "", f"### {title}"]
        return _at_end(log, [*head, "", f"- {line}"])
    level, own = max(named, key=lambda one: one[0])
    lines = [f"{'#' * min(6, level + 1)} {title}", "", f"- {line}"]
    return _at_end(log, lines) if level == 1 else _below(log, own, lines)


def _among_days(log: Log, day: date, lines: list[str]) -> Patch:
    """Put a new day where it belongs: days may be in either order."""
    known = log.days
    is_newest_first = known[0] > known[-1]
    before = [one for one in known if one < day]
    after = [one for one in known if one > day]
    if is_newest_first and not after:
        return _above(log, log.regions_of(known[0])[0], lines)
    neighbour = min(after) if is_newest_first else max(before, default=None)
    if neighbour is None:
        return _above(log, log.regions_of(min(after))[0], lines)
    return _below(log, log.regions_of(neighbour)[-1], lines)


def done_patches(task: Task, words: Words, day: date) -> list[Patch]:
    """Tick the box of a goal or a question, and note the day."""
    begin, marks = task.item.begin, task.marks
    if marks.box >= 0:
        ticked = Patch(begin + marks.box, begin + marks.box + 1, "x")
    else:
        ticked = Patch(begin, begin, "[x] ")
    told = words.done.format(day)
    if marks.note.done_place:
        first, last = (begin + place for place in marks.note.done_place)
        return [ticked, Patch(first, last, str(day))]
    if marks.note.place >= 0:
        return [ticked, Patch(begin + marks.note.place, begin + marks.note.place, f", {told}")]
    return [ticked, Patch(task.item.end, task.item.end, f" ({told})")]


def open_task(log: Log, number: int, file: str) -> Task:
    """Return the open goal or question of a number.

    Raises:
        HerdError: there is none, it is done, or two have the number; with what would be right.
    """
    found = [task for task in log.tasks if task.number == number]
    if len(found) > 1:
        lines = " and ".join(str(task.line) for task in found)
        raise HerdError(
            f"#{number} is two things in {file}, on lines {lines}. Delete the number of one of "
            "them: it gets another with the next `fab log`."
        )
    if not found:
        raise HerdError(f"There is no #{number} in {file}. {_open(log)}")
    (task,) = found
    if task.is_done:
        when = f" on {task.done}" if task.done else ""
        again = (
            " To open it again, write `[ ]` instead of `[x]` there." if task.marks.is_ticked else ""
        )
        raise HerdError(
            f"#{number} was done{when} ({file}, line {task.line}): {task.text}.{again} {_open(log)}"
        )
    return task


def _open(log: Log) -> str:
    found = sorted((one.number, one.text) for one in log.tasks if one.number and not one.is_done)
    told = "; ".join(f"#{number} {text}" for number, text in found)
    return f"Open: {told}" if told else "No goal and no question is open."


def _in_part(log: Log, part: Part, line: str, words: Words) -> Patch:
    there = [one for one in log.regions if one.place.part == part]
    with_items = [one for one in there if one.items]
    if there:
        return _listed(log, (with_items or there)[0], line)
    return _at_end(log, [f"## {words.parts[part]}", "", f"- {line}"])


def _listed(log: Log, region: Region, line: str) -> Patch:
    """Add an item to the list that a region ends with, or a list where it ends otherwise."""
    body = [block for block in region.blocks if block.kind not in LEFT_BELOW]
    if body and body[-1].items:
        last = body[-1].items[-1]
        return _lines_at(log, last.after, [f"{last.lead}{line}"])
    return _below(log, replace(region, blocks=tuple(body)), [f"- {line}"])


def _below(log: Log, region: Region, lines: list[str]) -> Patch:
    """Put lines below the last block of a region, with a blank line before them."""
    body = [block for block in region.blocks if block.kind not in LEFT_BELOW]
    at = body[-1].after if body else region.first
    return _lines_at(log, at, ["", *lines], is_apart=True)


def _above(log: Log, region: Region, lines: list[str]) -> Patch:
    """Put lines above the heading of a region."""
    at = region.heading.first if region.heading else 0
    return _lines_at(log, at, [*lines, ""])


def _at_end(log: Log, lines: list[str]) -> Patch:
    at = len(log.outline.lines)
    while at and log.outline.is_blank(at - 1):
        at -= 1
    return _lines_at(log, at, ["", *lines] if at else lines)


def _lines_at(log: Log, at: int, lines: list[str], *, is_apart: bool = False) -> Patch:
    """Insert lines before a line, with the line ends of the file.

    Args:
        log: is added to.
        at: the line, from 0.
        lines: without their ends.
        is_apart: what follows is kept apart by a blank line.
    """
    outline = log.outline
    newline, place = outline.newline, outline.starts[at]
    if is_apart and not outline.is_blank(at):
        lines = [*lines, ""]
    before = outline.lines[at - 1] if at else newline
    opening = "" if before.endswith(("\n", "\r")) else newline
    return Patch(place, place, opening + "".join(f"{line}{newline}" for line in lines))
