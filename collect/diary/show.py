"""A week or a day of the research log as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from datetime import date

from collect.diary.entries import Entry, entries_of
from collect.diary.log import Log, Task
from collect.diary.week import WeekOfLog


def week_lines(week: WeekOfLog, today: date) -> Iterator[str]:
    """Print a week: goals, days, findings, questions."""
    yield f"{week.week}: {week.week.first} to {week.week.last}"
    yield from _tasks("Goals of the week", week.goals, today)
    yield from _tasks("Left from earlier weeks", week.left, today)
    yield from _tasks("Final and intermediate goals", week.larger, today)
    for day, entries in week.days:
        yield from ("", f"{day} ({day:%a})", *_entries(entries))
    if week.findings:
        yield from ("", "Findings")
        yield from (f"  {one.day} {one.text}" for one in week.findings)
    yield from _tasks("Questions", week.questions, today)
    yield from _tasks("Goals of the next week", week.upcoming, today)


def day_lines(log: Log, day: date) -> Iterator[str]:
    """Print what was written about a day."""
    yield f"{day} ({day:%a})"
    yield from _entries(entries_of(log, day)) or ("  nothing yet",)


def task_line(task: Task, today: date) -> str:
    """Print a goal or a question on one line."""
    number = f"#{task.number} " if task.number is not None else ""
    notes = [f"since {task.since}"] if task.since and not task.is_done else []
    notes += [f"by {task.due}"] if task.due else []
    notes += ["overdue"] if task.due and task.due < today and not task.is_done else []
    notes += [f"done {task.done}"] if task.done and task.is_done else []
    told = f" ({', '.join(notes)})" if notes else ""
    return f"[{'x' if task.is_done else ' '}] {number}{task.text}{told}"


def _tasks(title: str, tasks: Iterable[Task], today: date) -> Iterator[str]:
    found = [f"  {task_line(task, today)}" for task in tasks]
    if found:
        yield from ("", title, *found)


def _entries(entries: Iterable[Entry]) -> list[str]:
    lines: list[str] = []
    for entry in entries:
        if entry.sort == "code":
            lines += textwrap.indent(entry.text, "      ").split("\n")
        else:
            mark = "- " if entry.sort == "item" else ""
            lines.append(f"  {'  ' * entry.depth}{mark}{entry.text}")
    return lines
