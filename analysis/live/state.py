"""What is known of a run at this moment: whether it is measured, and what its runner does."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from analysis.live.drawing import Drawn
from analysis.live.left import Left
from collect.account import Account
from collect.live import Live


class RunPhase(enum.Enum):
    """Where a run is."""

    READING = "reading"
    """What there is, is read for the first time."""
    WAITING = "waiting"
    """No run has begun."""
    MEASURING = "measuring"
    ENDING = "ending"
    """Its runner lives and measures no more: it writes the report."""
    STOPPED = "stopped"
    """Trials are left and no runner is at work."""
    FINISHED = "finished"
    DAMAGED = "damaged"
    """Its folder cannot be read, and no runner is at work."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """What the page shows.

    Attributes:
        phase: where the run is.
        version: grows whenever anything but the trial at work changed.
        folder: of the run; None while none has begun.
        account: of the run; None where there is none, or it cannot be read.
        live: what its runner does or did last; None if it is another run's, or there is none.
        problem: what cannot be read and why; None if all can.
        left: how long it will take; None where that is not known.
        report: where its report is, or will be.
        drawn: the charts so far; None before they are drawn.
        lacks_charts: a trial has ended that is not in them.
    """

    phase: RunPhase
    version: int
    folder: Path | None = None
    account: Account | None = None
    live: Live | None = None
    problem: str | None = None
    left: Left | None = None
    report: Path | None = None
    drawn: Drawn | None = None
    lacks_charts: bool = False

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to come."""
        return self.phase is RunPhase.FINISHED and not self.lacks_charts


def phase_of(account: Account | None, live: Live | None) -> RunPhase:
    """Find out where a run is.

    Args:
        account: of the run; None if it cannot be read.
        live: what its runner does or did last; None if it has none.
    """
    if live is not None and live.ended is None and live.runner.lives() is not False:
        return RunPhase.MEASURING
    if live is not None and live.runner.lives():
        return RunPhase.ENDING
    if account is None:
        return RunPhase.DAMAGED
    return RunPhase.STOPPED if account.counts()["pending"] else RunPhase.FINISHED
