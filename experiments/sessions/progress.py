"""What a run shows while it goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from core.foreign import one_line
from core.progress import spoken_time
from core.terminal import print_note, shown

NARROWEST_BAR = 6
WIDEST_BAR = 24
BESIDES = 72
"""Columns next to the bar, in the longest run."""


@dataclass(frozen=True, slots=True)
class RunningTrial:
    """A trial that is being measured.

    Attributes:
        cell: the cell in a few words.
        trial: position of the trial among all of the run, from 1.
        trials: how many the run has.
        attempt: from 1; 0 for a warm-up.
    """

    cell: str
    trial: int
    trials: int
    attempt: int


class Progress(Protocol):
    """Hears from the runner what happens."""

    def begin(self, run: str, counts: Mapping[str, int], left_s: float | None) -> None:
        """A run begins or continues. `left_s`: estimated time left in seconds."""

    def step(self, step: RunningTrial) -> None:
        """A trial begins."""

    def live(self, tokens_per_s: float | None) -> None:
        """What the root says while it works; None when it prints nothing."""

    def settled(self, counts: Mapping[str, int], left_s: float | None) -> None:
        """A trial came to an end."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def end(self) -> None:
        """No more is coming; the terminal is the caller's again."""


def make_progress(console: Console) -> Progress:
    """A live display on a terminal, plain lines elsewhere."""
    return TerminalProgress(console) if console.is_terminal else LineProgress(console)


def _told(counts: Mapping[str, int]) -> str:
    return f"{counts['done']} done, {counts['failed']} failed, {counts['unavailable']} unavailable"


def _settled(counts: Mapping[str, int]) -> int:
    return counts["planned"] - counts["pending"]


class _TwoLines(Bar):
    """What is measured on one line, and below it how far the run is."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Both lines."""
        for task in self.tasks:
            yield shown(f"{task.fields['cell']}  {task.fields['rate']}".rstrip(), style="bold")
        yield self.make_tasks_table(self.tasks)


class TerminalProgress:
    """The cell with live tokens/s, and a bar with the trial, the counts and the time left."""

    def __init__(self, console: Console) -> None:
        self._bar = _TwoLines(
            BarColumn(bar_width=max(NARROWEST_BAR, min(WIDEST_BAR, console.width - BESIDES))),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}", markup=False),
            TextColumn("time left: {task.fields[left]}", markup=False),
            console=console,
            refresh_per_second=4,  # a display must not cost what it measures
        )
        self._task: TaskID | None = None

    def begin(self, run: str, counts: Mapping[str, int], left_s: float | None) -> None:
        """Show the bar."""
        self._bar.console.print(shown(f"run {run}"))
        self._task = self._bar.add_task(
            run,
            total=counts["planned"],
            completed=_settled(counts),
            cell="",
            rate="",
            counts=_told(counts),
            left=spoken_time(left_s),
        )
        self._bar.start()

    def step(self, step: RunningTrial) -> None:
        """Name the cell and the attempt."""
        again = {0: " warm-up", 1: ""}.get(step.attempt, f" attempt {step.attempt}")
        self._update(cell=one_line(f"{step.cell}{again}"), rate="")

    def live(self, tokens_per_s: float | None) -> None:
        """Show the rate."""
        self._update(rate="" if tokens_per_s is None else f"{tokens_per_s:.1f} tokens/s")

    def settled(self, counts: Mapping[str, int], left_s: float | None) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.update(
                self._task,
                total=counts["planned"],
                completed=_settled(counts),
                counts=_told(counts),
                left=spoken_time(left_s),
            )

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        print_note(self._bar.console, text)

    def end(self) -> None:
        """Take the bar off."""
        self._bar.stop()

    def _update(self, **fields: str) -> None:
        if self._task is not None:
            self._bar.update(self._task, **fields)  # type: ignore[arg-type] # fields of the columns


class LineProgress:
    """A line for every trial that ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step: RunningTrial | None = None
        self._since = time.monotonic()
        self._rate = ""

    def begin(self, run: str, counts: Mapping[str, int], left_s: float | None) -> None:
        """Say which run it is."""
        self._print(
            f"run {run}: {counts['planned']} trials, {_told(counts)}, time left: "
            f"{spoken_time(left_s)}"
        )

    def step(self, step: RunningTrial) -> None:
        """Remember what is being measured."""
        self._step, self._since, self._rate = step, time.monotonic(), ""

    def live(self, tokens_per_s: float | None) -> None:
        """Remember the last rate for the line."""
        if tokens_per_s is not None:
            self._rate = f", {tokens_per_s:.1f} tokens/s"

    def settled(self, counts: Mapping[str, int], left_s: float | None) -> None:
        """Print the line."""
        if self._step is None:
            return
        took_s = time.monotonic() - self._since
        self._print(
            f"[{_settled(counts)}/{counts['planned']}] {self._step.cell}: {took_s:.1f} "
            f"s{self._rate}; {_told(counts)}, time left: {spoken_time(left_s)}"
        )

    def note(self, text: str) -> None:
        """Print it."""
        self._print(text)

    def end(self) -> None:
        """Nothing to take away."""

    def _print(self, text: str) -> None:
        self._console.print(shown(text), soft_wrap=True)
