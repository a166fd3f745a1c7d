"""What `fab log` does to a log: goals, questions, findings, entries, and what is done."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from urllib.parse import quote

from collect.diary import patch
from collect.diary.dates import asked_day, asked_week
from collect.diary.file import LogFile, words_of_link
from collect.diary.log import Log, LogPlace, Task
from collect.diary.patch import Patch, Wish
from collect.diary.words import Kind, Words
from core.errors import HerdError
from core.foreign import visible

_BLOCK = re.compile(r"[-+*](\s|$)|#{1,6}(\s|$)|>|`{3}|~{3}|<|[-*_=]{3}")
"""Beginnings of what is more than text in Markdown, where an item begins with it."""
_NUMBERED = re.compile(r"([0-9]{1,9})(?=[.)](\s|$))")
_CODE = re.compile(r"(`{1,9}[^`]{1,4000}`{1,9})")
_PRODUCT = re.compile(r"(?<=[0-9])\*(?=[0-9])")
"""A product of numbers, which Markdown takes for emphasis."""
LONGEST = 4000
"""Characters of one item."""


@dataclass(frozen=True, slots=True)
class RunLink:
    """A run or another thing that was made, as a log links to it.

    Attributes:
        name: what it is called.
        page: its report; it need not exist.
    """

    name: str
    page: Path


def said(words: Sequence[str], what: str) -> str:
    """Return the words of a command line as one line.

    Raises:
        HerdError: there are none, or they hold what a text cannot.
    """
    text = " ".join(" ".join(words).split())
    if not text:
        raise HerdError(f'fab log {what}: write the text behind it, as in fab log {what} "…"')
    if visible(text) != text:
        raise HerdError(f"fab log {what}: the text has control characters: {visible(text)[:200]}")
    if len(text) > LONGEST:
        raise HerdError(
            f"fab log {what}: the text has {len(text)} characters; at most {LONGEST} are one item. "
            "Write longer texts into the file itself."
        )
    parts = _CODE.split(text)
    parts[::2] = [_PRODUCT.sub(r"\\*", part) for part in parts[::2]]
    return "".join(parts)


def task_numbers(words: Sequence[str]) -> list[int]:
    """Read the numbers of `fab log done`. Raises HerdError for anything else."""
    found = [re.fullmatch(r"#?([0-9]{1,6}),?", word) for word in words]
    if not found or not all(found):
        told = " ".join(words)
        raise HerdError(
            f"fab log done {told}".rstrip() + ": give numbers of goals or questions, as in fab "
            "log done 3. `fab log show` prints them."
        )
    return [int(one[1]) for one in found if one]


def wish_of(
    text: str,
    *,
    week: str | None,
    is_final: bool,
    is_intermediate: bool,
    by: str | None,
    today: date,
) -> Wish:
    """Make a goal of what a command line gives.

    Args:
        text: one line of Markdown.
        week: as `--week` has it; None: the goal is not for a week.
        is_final: of the whole study.
        is_intermediate: a step towards a final goal.
        by: day by which it is to be reached, as typed; None: no day.
        today: from which `next`, `last` and a past day are judged.

    Raises:
        HerdError: no kind, several, or a date that does not exist or is past.
    """
    kinds: dict[Kind, bool] = {
        "weekly": week is not None, "final": is_final, "intermediate": is_intermediate
    }  # fmt: skip
    chosen = [kind for kind, is_given in kinds.items() if is_given]
    if len(chosen) != 1:
        raise HerdError("fab log goal: give one of --week, --intermediate and --final.")
    due = asked_day(by, today, "by") if by else None
    if due and due < today:
        raise HerdError(f"--by {by}: that day is past; today is {today}.")
    return Wish(chosen[0], text, asked_week(week, today) if week else None, due)


def add_entry(file: LogFile, text: str, day: date, clock: str = "") -> Log:
    """Add an entry to a day, and return the log with it.

    Args:
        file: of the log.
        text: one line of Markdown.
        day: that it is about.
        clock: time of day as HH:MM; empty: none is written.

    Raises:
        HerdError: as `LogFile.change`.
    """
    if not clock:  # it is shown as it was typed, and begins no list or heading
        text = _NUMBERED.sub(r"\1\\", text, count=1) if _NUMBERED.match(text) else text
        text = f"\\{text}" if _BLOCK.match(text) else text

    def make(log: Log, words: Words) -> list[Patch]:
        return [patch.entry_patch(log, text, words, day, clock)]

    return file.change(make, LogPlace("diary", day=day))


def add_goal(file: LogFile, wish: Wish, today: date) -> Task:
    """Add a goal, and return it with its number. Raises HerdError as `LogFile.change`."""
    changed = file.change(
        lambda log, words: patch.goal_patches(log, wish, words, today),
        LogPlace("goals", kind=wish.kind),
    )
    return max(changed.goals, key=lambda task: task.number or 0)


def add_question(file: LogFile, text: str, today: date) -> Task:
    """Add a question, and return it with its number. Raises HerdError as `LogFile.change`."""
    changed = file.change(
        lambda log, words: patch.question_patches(log, text, words, today), LogPlace("questions")
    )
    return max(changed.questions, key=lambda task: task.number or 0)


def add_finding(file: LogFile, text: str, links: Iterable[RunLink], today: date) -> Log:
    """Add a finding, and return the log with it.

    Args:
        file: of the log.
        text: one line of Markdown.
        links: the runs that show it.
        today: day of the finding.

    Raises:
        HerdError: as `LogFile.change`.
    """
    linked = [link_to(file, link) for link in links]
    return file.change(
        lambda log, words: [patch.finding_patch(log, text, linked, words, today)],
        LogPlace("findings"),
    )


def finish(file: LogFile, numbers: Sequence[int], day: date) -> list[Task]:
    """Tick goals and questions, all of them or none.

    Raises:
        HerdError: a number is unknown or finished; also as `LogFile.change`.
    """
    file.read()  # a log that is not there is not begun for this

    def make(log: Log, words: Words) -> list[Patch]:
        tasks = [patch.open_task(log, number, file.path.name) for number in dict.fromkeys(numbers)]
        return [one for task in tasks for one in patch.done_patches(task, words, day)]

    changed = file.change(make)
    return [task for task in changed.tasks if task.number in numbers]


def add_run(file: LogFile, link: RunLink, label: str, text: str, moment: datetime) -> bool:
    """Add the line of a run to the day when it ended, unless it ever had one.

    Args:
        file: the log.
        link: its name and report.
        label: what it is: `run`, `tuning` or `model`.
        text: what it asked and found, one line of Markdown.
        moment: when it ended, in local time.

    Returns:
        Whether the line was added now.
    """
    day = moment.date()

    def make(log: Log, words: Words) -> list[Patch]:
        line = f"{getattr(words, label)} {link_to(file, link)}: {text}"
        return [patch.entry_patch(log, line, words, day, f"{moment:%H:%M}")]

    return file.record(link.name, make, LogPlace("diary", day=day))


def link_to(file: LogFile, link: RunLink) -> str:
    """Return a link to a report as Markdown, relative to the log where that is possible."""
    target = os.path.relpath(link.page.resolve(), file.path.resolve().parent)
    return f"[{words_of_link(link.name)}]({quote(Path(target).as_posix())})"
