"""A research log as its text says it: goals, questions, findings, days. Reading changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from collect.diary.dates import DAY_FORM, WEEK_FORM, Week, as_day, as_week
from collect.diary.notes import Marked, taken_apart
from collect.diary.outline import Block, Heading, Item, Outline, plain_text
from collect.diary.words import Kind, Part, kind_of, part_of

_COUNTER = re.compile(r"<!-- fab log: last number ([0-9]{1,6}) -->")
_DAY_TITLE = re.compile(rf"\W{{0,20}}({DAY_FORM})(?![0-9])(?!.{{0,300}}(?:{DAY_FORM}))")
"""A heading that begins with a day and names no second one."""
_LINKED = re.compile(r"\[([^\[\]\s]*)\]\(")
_REPORT = re.compile(r"\[([^\[\]\s/]{1,200})\]\((?:[^()\s]{0,300}/)?\1/[^()\s/]{1,100}\)")
_LINKS_AT_END = re.compile(r"\s{0,9}\((?:\[[^\[\]\s]{1,200}\]\([^()\s]{0,300}\)(?:, )?){1,20}\)$")
"""As `fab log finding --run` writes them."""
_CODED = re.compile(r"`([^`\s]+)`")
_LEADING_DAY = re.compile(
    rf"\W{{0,20}}({DAY_FORM})(?![0-9])[*_~`)\]:.,]{{0,9}}\s{{1,9}}(?:[-\u2013\u2014:|]\s{{1,9}})?"
)


@dataclass(frozen=True, slots=True)
class LogPlace:
    """What part of the log a heading and what follows it belong to.

    Attributes:
        part: None for a part of the user's own.
        kind: of goals; None where headings do not say it.
        week: of goals, where a heading names it.
        day: of entries.
    """

    part: Part | None = None
    kind: Kind | None = None
    week: Week | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A heading with what follows it up to the next heading.

    Attributes:
        heading: None for what is before the first one.
        first: the line after the heading, from 0.
        after: the line of the next heading, or that after the last one.
        blocks: in their order.
    """

    heading: Heading | None
    place: LogPlace
    first: int
    after: int
    blocks: tuple[Block, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """The items of its lists."""
        return tuple(item for block in self.blocks for item in block.items)


@dataclass(frozen=True, slots=True)
class Task:
    """A goal or a question.

    Attributes:
        number: None where none was given yet.
        text: as a reader sees it.
        is_done: its box is ticked; without a box, its note has a date of it.
        place: the part and the kind; the week only of a goal of a week.
        since: when it was set or asked; None where the log does not say.
        due: by when.
        done: when it was done.
        line: from 1.
        item: where it is.
        marks: its text, taken apart.
    """

    number: int | None
    text: str
    is_done: bool
    place: LogPlace
    since: date | None
    due: date | None
    done: date | None
    line: int
    item: Item
    marks: Marked


@dataclass(frozen=True, slots=True)
class NotedFinding:
    """Something that was found.

    Attributes:
        day: None where the log does not say.
        text: as a reader sees it.
        named: what it links to or writes as code: names of runs may be among them.
        line: from 1.
        reports: names among them that link to a folder of that name, as reports of runs are.
    """

    day: date | None
    text: str
    named: tuple[str, ...]
    line: int
    reports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """A log.

    Attributes:
        outline: its text.
        regions: in their order.
        goals: in their order.
        questions: in their order.
        findings: in their order.
        counter: the last number that was given, where the text says it, and where; None if not.
        wrong: what cannot be read, a sentence each, with its line.
    """

    outline: Outline
    regions: tuple[Region, ...]
    goals: tuple[Task, ...]
    questions: tuple[Task, ...]
    findings: tuple[NotedFinding, ...]
    counter: tuple[int, tuple[int, int]] | None
    wrong: tuple[str, ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Goals and questions: they share their numbers."""
        return (*self.goals, *self.questions)

    @property
    def next_number(self) -> int:
        """The smallest number above all that were ever given."""
        given = [task.number for task in self.tasks if task.number is not None]
        return max([*given, self.counter[0] if self.counter else 0]) + 1

    def regions_of(self, day: date) -> list[Region]:
        """What was written about a day."""
        return [region for region in self.regions if region.place.day == day]

    def headed(self, day: date) -> list[Region]:
        """What is below the headings of a day themselves, without what they are divided into."""
        return [
            region
            for region in self.regions_of(day)
            if region.heading and _day_in(region.heading.title) == day
        ]

    @property
    def days(self) -> tuple[date, ...]:
        """The days with a heading, each once, in the order of the text."""
        return tuple(dict.fromkeys(one.place.day for one in self.regions if one.place.day))


def log_of(text: str, file: str = "log.md") -> Log:
    """Read the text of a log.

    Args:
        text: without a byte order mark.
        file: what sentences on its lines call it.
    """
    outline = Outline(text)
    regions = tuple(_regions(outline))
    tasks = [task for region in regions for task in _tasks(outline, region)]
    counter = next((found for one in outline.blocks if (found := _counter_in(outline, one))), None)
    return Log(
        outline=outline,
        regions=regions,
        goals=tuple(task for task in tasks if task.place.part == "goals"),
        questions=tuple(task for task in tasks if task.place.part == "questions"),
        findings=tuple(one for region in regions for one in _findings(outline, region)),
        counter=counter,
        wrong=tuple(_wrong(tasks, regions, file)),
    )


def _counter_in(outline: Outline, block: Block) -> tuple[int, tuple[int, int]] | None:
    if block.kind != "html_block":
        return None
    found = _COUNTER.search(outline.text, outline.starts[block.first], outline.starts[block.after])
    return (int(found[1]), found.span(1)) if found else None


def _regions(outline: Outline) -> Iterator[Region]:
    ends = [*(heading.first for heading in outline.headings), len(outline.lines)]
    above: list[tuple[int, LogPlace]] = []
    yield _region(outline, None, LogPlace(), 0, ends[0])
    for heading, after in zip(outline.headings, ends[1:], strict=True):
        while above and above[-1][0] >= heading.level:
            above.pop()
        place = _place_of(heading.title, above[-1][1] if above else LogPlace())
        above.append((heading.level, place))
        yield _region(outline, heading, place, heading.after, after)


def _region(
    outline: Outline, heading: Heading | None, place: LogPlace, first: int, after: int
) -> Region:
    blocks = tuple(block for block in outline.blocks if first <= block.first < after)
    return Region(heading, place, first, after, blocks)


def _place_of(title: str, above: LogPlace) -> LogPlace:
    """Return what a heading begins, below what it is."""
    day = _day_in(title)
    if above.day and not day:  # what a day is divided into, such as goals and results, is its own
        return above
    kind, is_of_goals = kind_of(title)
    if kind and (is_of_goals or above.part == "goals"):
        return LogPlace("goals", kind, _week_in(title))
    if day and above.part in (None, "diary"):
        return LogPlace("diary", day=day)
    if part := part_of(title):
        return LogPlace(part)
    if above.part == "goals":
        week = _week_in(title)
        return replace(above, kind="weekly", week=week) if week else above
    return above


def _week_in(title: str) -> Week | None:
    found = re.search(rf"(?<![\w-])({WEEK_FORM})(?![0-9])", title)
    try:
        return as_week(found[1]) if found else None
    except ValueError:
        return None


def _day_in(title: str) -> date | None:
    found = _DAY_TITLE.match(title)
    return _existing_day(found[1]) if found else None


def _existing_day(text: str) -> date | None:
    try:
        return as_day(text)
    except ValueError:
        return None


def _tasks(outline: Outline, region: Region) -> Iterator[Task]:
    if region.place.part not in ("goals", "questions"):
        return
    for item in region.items:
        marks = taken_apart(outline.text[item.begin : item.end])
        if not marks.words:
            continue
        note, place = marks.note, region.place
        if place.part == "goals":
            week = note.week or place.week
            place = replace(place, kind=note.kind or ("weekly" if week else place.kind), week=week)
        yield Task(
            number=marks.number,
            text=plain_text(marks.words),
            is_done=marks.is_ticked or (marks.box < 0 and note.done is not None),
            place=place,
            since=note.since,
            due=note.due,
            done=note.done,
            line=item.first + 1,
            item=item,
            marks=marks,
        )


def _findings(outline: Outline, region: Region) -> Iterator[NotedFinding]:
    if region.place.part != "findings":
        return
    for item in region.items:
        text = outline.text[item.begin : item.end]
        whole = outline.text[item.begin : outline.starts[item.after]]
        leading = _LEADING_DAY.match(text)
        day = _existing_day(leading[1]) if leading else None
        words = text[leading.end() :] if leading and day else text
        if words.strip():
            words = _LINKS_AT_END.sub("", words.rstrip()) or words
            named = (*_LINKED.findall(whole), *_CODED.findall(whole))
            shown = plain_text(" ".join(words.split()))
            reports = tuple(_REPORT.findall(whole))
            yield NotedFinding(day, shown, named, item.first + 1, reports)


def _wrong(tasks: list[Task], regions: tuple[Region, ...], file: str) -> Iterator[str]:
    for task in tasks:
        for told in task.marks.note.wrong:
            yield f"{file}, line {task.line}: {told}."
    for region in regions:
        title = region.heading.title if region.heading else ""
        found = _DAY_TITLE.match(title)
        if found and region.heading and region.place.part in (None, "diary") and not _day_in(title):
            yield f"{file}, line {region.heading.first + 1}: {found[1]} is not a day."
    lines: dict[int, list[int]] = {}
    for task in tasks:
        if task.number is not None:
            lines.setdefault(task.number, []).append(task.line)
    for number, found_on in lines.items():
        if len(found_on) > 1:
            told = " and ".join(map(str, found_on))
            yield (
                f"{file}, lines {told}: both are #{number}. Delete the number of one of them: it "
                "gets another with the next `fab log`."
            )
