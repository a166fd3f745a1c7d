"""A week of a research log: what its page and `fab log show` print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from collect.diary.dates import Week
from collect.diary.entries import Entry, entries_of
from collect.diary.log import Log, NotedFinding, Task


@dataclass(frozen=True, slots=True)
class WeekOfLog:
    """What a log says about a week, as it is now.

    Attributes:
        goals: those of the week.
        left: goals of earlier weeks that are open or were done in the week, and such goals
            without a week.
        larger: final and intermediate goals, and those of no kind, without those done before.
        upcoming: goals of the next week.
        days: each day that has entries.
        findings: those of the week.
        undated: how many findings of the log have no day.
        questions: those that are open or were answered in the week.
    """

    week: Week
    goals: tuple[Task, ...]
    left: tuple[Task, ...]
    larger: tuple[Task, ...]
    upcoming: tuple[Task, ...]
    days: tuple[tuple[date, tuple[Entry, ...]], ...]
    findings: tuple[NotedFinding, ...]
    undated: int
    questions: tuple[Task, ...]


def week_of_log(log: Log, week: Week) -> WeekOfLog:
    """Return what a log says about a week."""
    weekly = [task for task in log.goals if task.place.kind == "weekly"]
    others = [task for task in log.goals if task.place.kind != "weekly"]
    return WeekOfLog(
        week=week,
        goals=tuple(task for task in weekly if task.place.week == week),
        left=tuple(task for task in weekly if _is_left(task, week)),
        larger=tuple(task for task in others if _is_current(task, week)),
        upcoming=tuple(task for task in weekly if task.place.week == week.shifted(1)),
        days=tuple(_days(log, week)),
        findings=tuple(
            sorted(
                (one for one in log.findings if one.day and week.first <= one.day <= week.last),
                key=lambda one: one.day or week.first,
            )
        ),
        undated=sum(one.day is None for one in log.findings),
        questions=tuple(task for task in log.questions if _is_current(task, week)),
    )


def _is_left(task: Task, week: Week) -> bool:
    is_earlier = task.place.week is None or task.place.week < week
    return is_earlier and (not task.is_done or (task.done is not None and task.done in week.days))


def _is_current(task: Task, week: Week) -> bool:
    """Whether something was set by the end of a week and not done before it."""
    is_set = task.since is None or task.since <= week.last
    return is_set and (not task.is_done or (task.done is not None and task.done >= week.first))


def _days(log: Log, week: Week) -> Iterator[tuple[date, tuple[Entry, ...]]]:
    for day in week.days:
        if found := entries_of(log, day):
            yield day, found


def title_of_log(log: Log) -> str:
    """Return the heading that a log begins with; empty if it begins with something else."""
    first = log.regions[1].heading if len(log.regions) > 1 else None
    return first.title if first and first.level == 1 else ""
