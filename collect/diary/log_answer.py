"""A week of the research log as `fab log show --json` prints it."""

from __future__ import annotations

from collect.diary.entries import Sort
from collect.diary.log import NotedFinding, Task
from collect.diary.week import WeekOfLog
from collect.diary.words import Kind
from core.json_answer import JsonAnswer, JsonPart


class LogTask(JsonPart):
    """A goal or a question. Days are as in ISO 8601.

    Attributes:
        number: which `fab log done` takes; null where none was given yet.
        kind: of a goal; null for a question, and where the log does not say it.
        week: of a goal of a week.
        since: when it was set or asked; null where the log does not say.
        due: by when.
        done_on: when it was done; null also where a person only ticked it.
        line: in the file, from 1.
    """

    number: int | None
    text: str
    kind: Kind | None
    week: str | None
    is_done: bool
    since: str | None
    due: str | None
    done_on: str | None
    line: int


class LogEntry(JsonPart):
    """A piece of a day: an item of a list, a paragraph, code, or a heading within the day."""

    sort: Sort
    text: str
    depth: int


class LogDay(JsonPart):
    """A day with what was written about it."""

    day: str
    entries: tuple[LogEntry, ...]


class LogFinding(JsonPart):
    """A finding.

    Attributes:
        named: what it links to or writes as code, such as names of runs.
    """

    day: str | None
    text: str
    named: tuple[str, ...]
    line: int


class LogAnswer(JsonAnswer):
    """A week of a research log, as the log is now.

    Attributes:
        file: the log.
        goals: of the week.
        left: goals of earlier weeks that are open or were done in the week.
        larger: final and intermediate goals.
        upcoming: goals of the next week.
        questions: those that are open or were answered in the week.
        unreadable: what cannot be read, a sentence each.
    """

    file: str
    week: str
    goals: tuple[LogTask, ...]
    left: tuple[LogTask, ...]
    larger: tuple[LogTask, ...]
    upcoming: tuple[LogTask, ...]
    days: tuple[LogDay, ...]
    findings: tuple[LogFinding, ...]
    questions: tuple[LogTask, ...]
    unreadable: tuple[str, ...]


def log_answer(file: str, week: WeekOfLog, wrong: tuple[str, ...]) -> LogAnswer:
    """Answer for a week."""
    days = tuple(
        LogDay(
            day=str(day),
            entries=tuple(
                LogEntry(sort=one.sort, text=one.text, depth=one.depth) for one in entries
            ),
        )
        for day, entries in week.days
    )
    return LogAnswer(
        file=file,
        week=str(week.week),
        goals=tuple(map(_task, week.goals)),
        left=tuple(map(_task, week.left)),
        larger=tuple(map(_task, week.larger)),
        upcoming=tuple(map(_task, week.upcoming)),
        days=days,
        findings=tuple(map(_finding, week.findings)),
        questions=tuple(map(_task, week.questions)),
        unreadable=wrong,
    )


def _task(task: Task) -> LogTask:
    return LogTask(
        number=task.number,
        text=task.text,
        kind=task.place.kind,
        week=_known(task.place.week),
        is_done=task.is_done,
        since=_known(task.since),
        due=_known(task.due),
        done_on=_known(task.done),
        line=task.line,
    )


def _finding(finding: NotedFinding) -> LogFinding:
    return LogFinding(
        day=_known(finding.day), text=finding.text, named=finding.named, line=finding.line
    )


def _known(value: object) -> str | None:
    return None if value is None else str(value)
