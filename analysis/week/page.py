"""The page of a week: goals, what was done, findings, runs with their charts, questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from analysis.blocks import (
    Block,
    Bullets,
    Code,
    Figure,
    Figures,
    Part,
    Prose,
    Section,
    Tabled,
    note,
)
from analysis.cells.tabulate import Text, table
from analysis.text.sentence import say, verbatim
from analysis.text.wording import DASH, NOTHING, plural
from analysis.week.runs_of_week import RunOfWeek
from collect.diary.entries import Entry
from collect.diary.log import NotedFinding, Task
from collect.diary.week import WeekOfLog

TITLE = "Week {week}, {first} to {last}"
NO_GOALS = "No goal was set for this week."
NO_DAYS = "Nothing was written on the days of this week."
NO_RUNS = "No run was measured in this week."
NO_FINDINGS = "No finding was written down in this week."
NO_QUESTIONS = "No question is open."
NO_UPCOMING = "No goal is set for the next week yet."
UNDATED = "{findings} of the log have no date, so they are on no page of a week."
MEASURED = "{done} of {planned} trials done"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAY = "{day} ({weekday})"


def week_sections(week: WeekOfLog, runs: Sequence[RunOfWeek], today: date) -> Iterator[Section]:
    """Make the sections of the page."""
    title = say(TITLE, week=week.week, first=week.week.first, last=week.week.last)
    yield Section("week", title, (Figures(tuple(_figures(week, runs))),))
    yield Section("goals", "Goals", tuple(_goals(week, today)), "Goals")
    yield Section("done", "What was done", tuple(_days(week)), "What was done")
    yield Section("findings", "Findings", tuple(_findings(week, runs)), "Findings")
    if runs:
        yield from (run.section for run in runs)
    else:
        yield Section("runs", "Runs", (Prose((say(NO_RUNS),)),))
    yield Section("questions", "Open questions", tuple(_questions(week, today)), "Open questions")
    yield Section("next", "Goals of the next week", tuple(_upcoming(week, today)), "Next week")


def _figures(week: WeekOfLog, runs: Sequence[RunOfWeek]) -> Iterator[Figure]:
    done = sum(task.is_done for task in week.goals)
    yield Figure(
        say("Goals of the week"),
        say("{done} of {all}", done=done, all=len(week.goals)) if week.goals else NOTHING,
        "",
        say("done"),
    )
    yield Figure(say("Days"), str(len(week.days)), "", say("with entries"))
    trials = say(
        MEASURED, done=sum(run.done for run in runs), planned=sum(run.planned for run in runs)
    )
    yield Figure(say("Runs"), str(len(runs)), "", trials if runs else "")
    is_open = sum(not task.is_done for task in week.questions)
    yield Figure(say("Questions"), str(is_open), "", say("unanswered"))


def _goals(week: WeekOfLog, today: date) -> Iterator[Block]:
    if week.goals:
        yield _tasks("Goals of the week", week.goals, today)
    else:
        yield Prose((say(NO_GOALS),))
    if week.left:
        made = _tasks("Left from earlier weeks", week.left, today)
        yield Part("Left from earlier weeks", (made,))
    if week.larger:
        made = _tasks("Final and intermediate goals", week.larger, today, with_kind=True)
        yield Part("Final and intermediate goals", (made,))


def _tasks(caption: str, tasks: Iterable[Task], today: date, *, with_kind: bool = False) -> Tabled:
    kind = ["Kind"] if with_kind else []
    rows = [
        [
            _named(task),
            *([_kind(task)] if with_kind else []),
            str(task.due or NOTHING),
            _state(task, today),
        ]
        for task in tasks
    ]
    return Tabled(caption, table(["Goal", *kind, "Due", "State"], rows))


def _named(task: Task) -> str:
    """A goal or a question with its number."""
    return verbatim(f"#{task.number} {task.text}" if task.number is not None else task.text)


def _kind(task: Task) -> str:
    if task.place.kind is None:
        return NOTHING
    return say("final") if task.place.kind == "final" else say("intermediate")


def _state(task: Task, today: date) -> str:
    if task.is_done:
        return say("done on {day}", day=task.done) if task.done else say("done")
    if task.due and task.due < today:
        return say("overdue")
    return say("unanswered") if task.place.part == "questions" else say("open")


def _days(week: WeekOfLog) -> Iterator[Block]:
    if not week.days:
        yield Prose((say(NO_DAYS),))
    for day, entries in week.days:
        title = say(DAY, weekday=say(WEEKDAYS[day.weekday()]), day=day)
        yield Part(title, tuple(_entries(entries)))


def _entries(entries: Iterable[Entry]) -> Iterator[Block]:
    items: list[str] = []
    for entry in entries:
        if entry.sort == "item":
            items.append(verbatim(f"{f'{DASH} ' * entry.depth}{entry.text}"))
            continue
        if items:
            yield Bullets(tuple(items))
            items = []
        yield Code(entry.text) if entry.sort == "code" else Prose((verbatim(entry.text),))
    if items:
        yield Bullets(tuple(items))


def _findings(week: WeekOfLog, runs: Sequence[RunOfWeek]) -> Iterator[Block]:
    if week.findings:
        anchors = {run.name: run.section.anchor for run in runs}
        rows = [
            (Text(verbatim(one.text)), Text(str(one.day)), _run_of(one, anchors))
            for one in week.findings
        ]
        yield Tabled("Findings", table(["Finding", "Day", "Run"], rows))
    else:
        yield Prose((say(NO_FINDINGS),))
    if week.undated:
        yield note(say(UNDATED, findings=plural(week.undated, "finding")))


def _run_of(finding: NotedFinding, anchors: dict[str, str]) -> Text:
    """The runs that show a finding: a link to the first one that is on this page."""
    known = (name for name in finding.named if name in anchors or name in finding.reports)
    runs = tuple(dict.fromkeys(known))
    here = next((anchors[name] for name in runs if name in anchors), "")
    return Text(verbatim(", ".join(runs)) if runs else NOTHING, anchor=here)


def _questions(week: WeekOfLog, today: date) -> Iterator[Block]:
    if not week.questions:
        yield Prose((say(NO_QUESTIONS),))
        return
    rows = [
        [_named(task), str(task.since or NOTHING), _state(task, today)] for task in week.questions
    ]
    yield Tabled("Open questions", table(["Question", "Since", "State"], rows))


def _upcoming(week: WeekOfLog, today: date) -> Iterator[Block]:
    if week.upcoming:
        yield _tasks("Goals of the next week", week.upcoming, today)
    else:
        yield Prose((say(NO_UPCOMING),))
