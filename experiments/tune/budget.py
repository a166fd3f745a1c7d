"""What a search may cost, as the user says it, and how that is divided."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from core.errors import HerdError
from experiments.tune.halving import FEWEST_RUNGS, plain_rungs, plain_trials, trials_in

SLACK = 1.5
"""The usual budget, in searches that only halve: the rest is for settings that are alike."""
FEW = 4
"""Up to so many settings that are alike may each have the trials of `FEWEST_RUNGS`."""
SECONDS = {"s": 1, "min": 60, "h": 3600}
FORM = re.compile(r"(\d+(?:\.\d+)?) *(s|min|h|trials?)?")
FEWEST_PAIRS, MOST_PAIRS = 10, 1000


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the user allows, the confirmation included.

    Attributes:
        trials: None where time is the limit, or the usual budget is meant.
        seconds: None where trials are.
        words: as it was given.
    """

    trials: int | None = None
    seconds: float | None = None
    words: str = ""


def parse_budget(text: str | None) -> Allowed:
    """Read `--budget`: `30min`, `2h`, `900s`, or a number of trials.

    Raises:
        HerdError: it is none of these.
    """
    if text is None:
        return Allowed()
    found = FORM.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise HerdError(
            f"--budget {text}: give a time such as 30min or 2h, or a number of trials such as 200."
        )
    unit = found[2] or "trials"
    if unit in SECONDS:
        return Allowed(seconds=float(found[1]) * SECONDS[unit], words=f"{found[1]} {unit}")
    if not float(found[1]).is_integer():
        raise HerdError(f"--budget {text}: give a whole number of trials.")
    return Allowed(trials=int(float(found[1])), words=f"{found[1]} trials")


def parse_pairs(given: str | int) -> int:
    """Read `--pairs`.

    Raises:
        HerdError: it is no number, or too small or too large a one.
    """
    try:
        pairs = int(given)
    except ValueError:
        raise HerdError(f"--pairs {given}: give a whole number.") from None
    if not FEWEST_PAIRS <= pairs <= MOST_PAIRS:
        raise HerdError(
            f"--pairs {pairs}: give {FEWEST_PAIRS} to {MOST_PAIRS}; fewer cannot tell a gain from "
            "noise."
        )
    return pairs


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """How a budget is divided.

    Attributes:
        settings: how many can be tried.
        search: what the search may take, in trials or seconds.
        in_seconds: which of both.
    """

    settings: int
    search: float
    in_seconds: bool


def share_out(
    allowed: Allowed, settings: int, pairs: int, warmup: int, trial_s: float
) -> BudgetShare:
    """Divide a budget between the search and the confirmation.

    Args:
        allowed: by the user.
        settings: that can run.
        pairs: of the confirmation.
        warmup: unmeasured trials of either side of it.
        trial_s: what a trial takes, as far as is known.

    Raises:
        HerdError: it pays for no search.
    """
    last = 2 * (pairs + warmup)
    if allowed.seconds is not None:
        most, in_seconds, unit_cost = allowed.seconds / trial_s - last, True, trial_s
    elif allowed.trials is not None:
        most, in_seconds, unit_cost = float(allowed.trials - last), False, 1.0
    else:
        return BudgetShare(settings, usual_trials(settings), in_seconds=False)
    fits = [n for n in range(2, settings + 1) if plain_trials(n) <= most]
    if not fits:
        needs = plain_trials(2) + last
        time = f", about {needs * trial_s / 60:.0f} min" if in_seconds else ""
        raise HerdError(
            f"--budget {allowed.words}: the confirmation alone takes {last} trials, and the "
            f"smallest search {plain_trials(2)} more ({needs} trials{time}). Give a larger budget."
        )
    return BudgetShare(max(fits), most * unit_cost, in_seconds=in_seconds)


def usual_trials(settings: int) -> float:
    """Trials of the search of so many settings where the user sets no limit."""
    alike = min(settings, FEW) * sum(trials_in(rung + 1) for rung in range(FEWEST_RUNGS))
    return float(max(math.floor(SLACK * plain_trials(settings)), alike))


def schedule_lines(settings: int) -> list[str]:
    """The rungs of a search that only halves, a line each."""
    return [
        f"  rung {rung}: {left} settings, {trials_in(rung)} trials each"
        for rung, left in plain_rungs(settings)
    ]
