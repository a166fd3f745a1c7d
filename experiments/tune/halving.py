"""Successive halving: all settings get a few trials, the better half twice as many, and so on.

Fixed rules and no sampler: what comes next follows from what was measured, so nothing but the runs
and the list of settings must survive a kill. docs/tune.md says why this is no library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from experiments.tune.ranking import Speeds, Standing, merged, rank_settings

FIRST_TRIALS = 2
MOST_TRIALS = 8
"""Of a setting, in the first rung and in any."""
FEWEST_RUNGS = 3
"""For settings that are alike, also where these are few: so each gets 14 trials."""
FORGIVEN = 1
"""Attempts of a setting that may fail, in the whole search; a cable may be pulled once."""
MOST_CRASHES = 0.25
"""Share of its attempts that may fail of a setting that is left."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rung came to.

    Attributes:
        run: name of its run.
        speeds: setting to block to speed, of trials that are done.
        crashes: setting to how many attempts failed.
        failed: setting to why a trial of it failed for good.
        causes: setting to why its last attempt failed.
        wall_s: setting to what a trial of it takes, in seconds.
        spent_s: what all trials took.
        cells: setting to the id of its cell.
    """

    run: str
    speeds: Speeds
    crashes: Mapping[int, int] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    causes: Mapping[int, str] = field(default_factory=dict)
    wall_s: Mapping[int, float] = field(default_factory=dict)
    spent_s: float = 0.0
    cells: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchBudget:
    """How much may be spent on the search, without the confirmation.

    Attributes:
        most: trials, or seconds.
        in_seconds: which of both.
    """

    most: float
    in_seconds: bool = False

    def left(self, outcomes: Sequence[Outcome]) -> float:
        """What is left of it."""
        if self.in_seconds:
            return self.most - sum(one.spent_s for one in outcomes)
        return self.most - sum(len(b) for one in outcomes for b in one.speeds.values())

    def price(self, outcomes: Sequence[Outcome], setting: int) -> float:
        """What a trial of a setting costs of it."""
        if not self.in_seconds:
            return 1.0
        return next((o.wall_s[setting] for o in reversed(outcomes) if setting in o.wall_s), 0.0)


@dataclass(frozen=True, slots=True)
class RungStep:
    """A rung and what was decided after it.

    Attributes:
        number: from 1.
        trials: of each setting.
        began: the settings that it measured.
        failed: those that crashed, with the cause.
        kept: those that are left, fastest first.
        undecided: those left out that the noise cannot distinguish from the best.
        is_short_of_budget: fewer were kept than the rules would keep.
    """

    number: int
    trials: int
    began: tuple[int, ...]
    outcome: Outcome
    failed: Mapping[int, str]
    kept: tuple[int, ...]
    undecided: tuple[int, ...]
    is_short_of_budget: bool


Measure = Callable[[int, tuple[int, ...], int], Outcome]
"""Measures a rung: its number, its settings, trials of each."""


def _silent(_step: RungStep) -> None:
    """Say nothing."""


def rungs_for(settings: int) -> int:
    """How many rungs there are at most for so many settings; few ones may need as many trials."""
    return max(FEWEST_RUNGS, math.ceil(math.log2(max(2, settings))))


def trials_in(rung: int) -> int:
    """Trials of each setting in a rung."""
    return int(min(MOST_TRIALS, FIRST_TRIALS * 2 ** (rung - 1)))


def plain_trials(settings: int) -> int:
    """Trials of a search in which every rung halves."""
    return sum(left * trials_in(rung) for rung, left in plain_rungs(settings))


def plain_rungs(settings: int) -> Iterator[tuple[int, int]]:
    """Give number and settings of each rung of a search in which every rung halves."""
    rung, left = 1, settings
    while rung == 1 or left > 1:
        yield rung, left
        rung, left = rung + 1, math.ceil(left / 2)


def halve(
    settings: int,
    budget: SearchBudget,
    measure: Measure,
    tell: Callable[[RungStep], None] = _silent,
) -> list[RungStep]:
    """Search until one setting is left, or none.

    Args:
        settings: how many there are; the first is the default.
        budget: of the search.
        measure: measures a rung; what it raises ends the search.
        tell: gets each rung after it.

    Returns:
        The rungs; the first that the last one kept is the best.
    """
    alive = tuple(range(settings))
    steps: list[RungStep] = []
    last = rungs_for(settings)
    for number in range(1, last + 1):
        outcome = measure(number, alive, trials_in(number))
        steps.append(_decided(number, alive, [*(s.outcome for s in steps), outcome], budget, last))
        tell(steps[-1])
        alive = steps[-1].kept
        if len(alive) <= 1:
            break
    return steps


def _decided(
    number: int,
    began: tuple[int, ...],
    outcomes: Sequence[Outcome],
    budget: SearchBudget,
    last: int,
) -> RungStep:
    failed = _failed(began, outcomes)
    whole = merged([one.speeds for one in outcomes])
    found = rank_settings({name: whole.get(name, {}) for name in began if name not in failed})
    wanted = _wanted(found, is_last=number == last)
    paid = len(wanted)
    if number < last:
        paid = _paid_for(wanted, outcomes, budget, number, last)
    kept = wanted[:paid]
    return RungStep(
        number=number,
        trials=trials_in(number),
        began=began,
        outcome=outcomes[-1],
        failed=failed,
        kept=kept,
        undecided=tuple(n for n in found.order if n in found.like_the_best and n not in kept),
        is_short_of_budget=paid < len(wanted),
    )


def _failed(began: Sequence[int], outcomes: Sequence[Outcome]) -> dict[int, str]:
    """The settings that crash too often, with the cause."""
    found = {}
    for name in began:
        crashes = sum(one.crashes.get(name, 0) for one in outcomes)
        done = sum(len(one.speeds.get(name, {})) for one in outcomes)
        cause = next((o.failed[name] for o in outcomes if name in o.failed), None)
        is_frail = crashes > FORGIVEN and crashes > MOST_CRASHES * (crashes + done)
        if cause is not None or is_frail or not done:
            last = next((o.causes[name] for o in reversed(outcomes) if name in o.causes), None)
            found[name] = cause or last or "no trial of it was measured"
    return found


def _wanted(found: Standing, *, is_last: bool) -> tuple[int, ...]:
    """The settings that the rules keep: the better half, and what may be as good as the best."""
    half = found.order[: 1 if is_last else math.ceil(len(found.order) / 2)]
    return tuple(
        name
        for name in found.order
        if name in half or (name in found.like_the_best and not is_last)
    )


def _paid_for(
    wanted: Sequence[int], outcomes: Sequence[Outcome], budget: SearchBudget, number: int, last: int
) -> int:
    """How many of the fastest the next rung's part of the budget pays for; one in any case."""
    part = budget.left(outcomes) / (last - number)
    spent, paid = 0.0, 0
    for name in wanted:
        spent += budget.price(outcomes, name) * trials_in(number + 1)
        if spent > part:
            break
        paid += 1
    return max(1, paid)
