"""What a training shows while it goes."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from core.foreign import visible
from core.progress import spoken_time
from core.terminal import print_note, shown
from models.tuned import CurvePoint

BESIDES = 76
"""Columns next to the bar, at most."""
_NARROWEST_BAR, _WIDEST_BAR = 6, 24


class TrainingProgress(Protocol):
    """Hears from the trainer what happens."""

    def begin(self, step: int, steps: int) -> None:
        """Training begins, or continues after `step` of `steps` steps."""

    def step(self, step: int, loss: float, tokens_per_s: float) -> None:
        """A step is done: the mean loss of its tokens in nats, and tokens read a second."""

    def evaluated(self, point: CurvePoint) -> None:
        """The held-out part was evaluated."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def end(self) -> None:
        """No more is coming; the terminal is the caller's again."""


def training_progress(console: Console) -> TrainingProgress:
    """A live display on a terminal, a line for each evaluation elsewhere."""
    return TrainingBar(console) if console.is_terminal else TrainingLines(console)


class _Clock:
    """Estimates the time left from the steps of this process."""

    def __init__(self, step: int, steps: int) -> None:
        self._first, self._steps = step, steps
        self._began_s = time.monotonic()

    def left(self, step: int) -> str:
        done = step - self._first
        if not done:
            return spoken_time(None)
        return spoken_time((time.monotonic() - self._began_s) / done * (self._steps - step))


def _losses(point: CurvePoint) -> str:
    told = [] if point.loss is None else [f"loss {point.loss:.3f}"]
    if point.held_out_loss is not None:
        told.append(f"held-out loss {point.held_out_loss:.3f}")
    return ", ".join(told)


class TrainingBar:
    """A bar with step, losses, tokens/s and time left."""

    def __init__(self, console: Console) -> None:
        width = max(_NARROWEST_BAR, min(_WIDEST_BAR, console.width - BESIDES))
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=width),
            TextColumn("{task.fields[told]}", markup=False),
            console=console,
            refresh_per_second=4,
        )
        self._task: TaskID | None = None
        self._clock = _Clock(0, 0)
        self._held_out = ""

    def begin(self, step: int, steps: int) -> None:
        """Show the bar."""
        self._clock = _Clock(step, steps)
        self._task = self._bar.add_task("", total=steps, completed=step, told="")
        self._bar.start()

    def step(self, step: int, loss: float, tokens_per_s: float) -> None:
        """Move it."""
        if self._task is not None:
            told = (
                f"loss {loss:.3f}{self._held_out}  {tokens_per_s:.0f} tokens/s  "
                f"time left: {self._clock.left(step)}"
            )
            self._bar.update(self._task, completed=step, told=told)

    def evaluated(self, point: CurvePoint) -> None:
        """Keep the held-out loss on the line."""
        if point.held_out_loss is not None:
            self._held_out = f"  held-out {point.held_out_loss:.3f}"

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        print_note(self._bar.console, text)

    def end(self) -> None:
        """Take the bar off."""
        self._bar.stop()


class TrainingLines:
    """A line when training begins, and for each evaluation."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = _Clock(0, 0)
        self._steps = 0

    def begin(self, step: int, steps: int) -> None:
        """Say how far it is."""
        self._clock, self._steps = _Clock(step, steps), steps
        self.note(f"training continues after step {step}" if step else f"training {steps} steps")

    def step(self, step: int, loss: float, tokens_per_s: float) -> None:
        """Say nothing: an evaluation shows the mean."""

    def evaluated(self, point: CurvePoint) -> None:
        """Say the losses, the rate and the time left."""
        rate = "" if point.tokens_per_s is None else f", {point.tokens_per_s:.0f} tokens/s"
        left = self._clock.left(point.step)
        self.note(f"step {point.step} of {self._steps}: {_losses(point)}{rate}, time left: {left}")

    def note(self, text: str) -> None:
        """Print the line."""
        self._console.print(shown(visible(text)), soft_wrap=True)

    def end(self) -> None:
        """Nothing is to be taken off."""
