"""How long a run will still take, with its uncertainty, from the trials that it has.

A trial costs the wall time of all its attempts. Within a cell, the logarithms of these times vary
by one common standard deviation; the means of cells that have no trial yet vary as those of the
others do. Both spreads begin with an assumption that weighs as much as two trials. What is pending
is drawn many times: cells, then trials. The interval holds 90 % of the draws.
`tests/benchmarks/time_left.py` compares it with runs of known truth.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from collect.account import Account, TrialState
from collect.attempt import AttemptRecord

LEVEL = 0.90
DRAWS = 400
LONGEST = 0.975
"""Share of a cell's trials that take no longer than its longest time."""
SEED = 1
ASSUMED_SPREAD = 0.25
"""Of a cell's trials, as a standard deviation of logarithms; about 25 %."""
ASSUMED_BETWEEN = 0.7
"""Of the cells' means: one takes twice as long as another."""
ASSUMED_WEIGHT = 2.0
"""Trials that an assumption weighs as much as."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Left:
    """Seconds from the beginning of the next trial to the end of the run.

    Attributes:
        low: the lower end of the interval.
        likely: as likely too long as too short.
        high: the upper end.
        trials: from how many trials that is known.
        unseen: pending cells without a trial.
        longest: id of a pending cell to what a trial of it hardly ever exceeds.
        is_late: the trial at work exceeds that.
    """

    low: float
    likely: float
    high: float
    trials: int
    unseen: int
    longest: Mapping[str, float] = field(default_factory=dict)
    is_late: bool = False

    def after(self, elapsed_s: float, cell_id: str) -> Left:
        """The same when a trial of a cell began so long ago."""
        longest_s = self.longest.get(cell_id, elapsed_s)
        spent_s = min(elapsed_s, longest_s)
        low, likely, high = (
            max(0.0, value - spent_s) for value in (self.low, self.likely, self.high)
        )
        is_late = elapsed_s > longest_s
        return replace(self, low=low, likely=likely, high=high, is_late=is_late)


@dataclass(frozen=True, slots=True)
class Pending:
    """What is left of a run.

    Attributes:
        seen: seconds of each settled trial, a list a cell.
        left: trials that are left of a cell, warm-ups included.
        gap_s: between the end of an attempt and the beginning of the next.
    """

    seen: Mapping[str, Sequence[float]]
    left: Mapping[str, int]
    gap_s: float = 0.0


def time_left_of(account: Account, since: float) -> Left | None:
    """Estimate how long a run will still take; None before its first trial has ended.

    Args:
        account: of the run.
        since: when this session of the runner began; cells are warmed up once in each.
    """
    return time_left(pending_of(account, since))


def pending_of(account: Account, since: float) -> Pending:
    """What is left of a run, and what its trials took."""
    seen: dict[str, list[float]] = {}
    left: Counter[str] = Counter()
    for trial in account.trials:
        if trial.state in ("done", "failed"):
            walls = [record.trial_wall_s for record in _records(trial)]
            if sum(walls) > 0:
                seen.setdefault(trial.cell.cell_id, []).append(sum(walls))
        elif trial.state == "pending":
            left[trial.cell.cell_id] += 1
    records = sorted(
        (record for trial in account.trials for record in _records(trial)),
        key=lambda record: record.started_at,
    )
    warmed = {record.cell_id for record in records if record.started_at >= since}
    for cell_id in left.keys() - warmed:
        left[cell_id] += account.manifest.warmup
    return Pending(seen, left, _gap_s(records, since))


def _records(trial: TrialState) -> list[AttemptRecord]:
    return [attempt.record for attempt in trial.attempts if attempt.record]


def _gap_s(records: Sequence[AttemptRecord], since: float) -> float:
    """The median time between two attempts of this session, without those with a warm-up."""
    gaps, warmed = [], set[str]()
    own = [record for record in records if record.started_at >= since]
    for before, after in zip([None, *own], own, strict=False):
        if before is not None and after.cell_id in warmed:
            gaps.append(max(0.0, after.started_at - before.started_at - before.trial_wall_s))
        warmed.add(after.cell_id)
    return statistics.median(gaps) if gaps else 0.0


def time_left(pending: Pending) -> Left | None:
    """Draw what is left many times; None where nothing is known."""
    cells = [cell for cell, count in pending.left.items() if count]
    trials = sum(map(len, pending.seen.values()))
    if not trials:
        return None
    if not cells:
        return Left(0.0, 0.0, 0.0, trials, 0)
    logs = {cell: [math.log(s) for s in seconds] for cell, seconds in pending.seen.items()}
    random = np.random.default_rng(SEED)
    spread = _spreads(random, _within(logs), sum(len(of) - 1 for of in logs.values()))
    counts = np.array([pending.left[cell] for cell in cells], dtype=float)
    means = _means(random, logs, cells, spread)
    each = np.exp(means + spread**2 / 2)
    deviation = each * np.sqrt(np.expm1(spread**2) * counts)
    sums = counts * each + deviation * random.standard_normal(each.shape)
    totals = np.maximum(sums, 0.0).sum(axis=1) + pending.gap_s * counts.sum()
    low, likely, high = np.quantile(totals, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    unseen = sum(cell not in logs for cell in cells)
    one = np.exp(means + spread * random.standard_normal(means.shape))
    longest = dict(zip(cells, np.quantile(one, LONGEST, axis=0).tolist(), strict=True))
    return Left(float(low), float(likely), float(high), trials, unseen, longest)


def _within(logs: Mapping[str, Sequence[float]]) -> float:
    """Sum of squares of the trials around their cell's mean."""
    return sum(sum((x - statistics.fmean(of)) ** 2 for x in of) for of in logs.values())


def _spreads(
    random: np.random.Generator, squares: float, freedom: int, assumed: float = ASSUMED_SPREAD
) -> Array:
    """Draw standard deviations that such squares may come from; a column."""
    weight = ASSUMED_WEIGHT + freedom
    total = squares + ASSUMED_WEIGHT * assumed**2
    return np.sqrt(total / random.chisquare(weight, size=(DRAWS, 1)))


def _means(
    random: np.random.Generator,
    logs: Mapping[str, Sequence[float]],
    cells: Sequence[str],
    spread: Array,
) -> Array:
    """Draw the mean of each pending cell; a row a draw."""
    known = [statistics.fmean(of) for of in logs.values()]
    centre, freedom = statistics.fmean(known), len(known) - 1
    squares = sum((mean - centre) ** 2 for mean in known)
    between = _spreads(random, squares, freedom, ASSUMED_BETWEEN)
    of_unseen = centre + between / math.sqrt(len(known)) * random.standard_normal((DRAWS, 1))
    columns = []
    for cell in cells:
        normal = random.standard_normal((DRAWS, 1))
        if cell in logs:
            own, n = statistics.fmean(logs[cell]), len(logs[cell])
            # The last term keeps sums right: the exponential of a noisy mean is too large.
            columns.append(own + spread / math.sqrt(n) * normal - spread**2 / n)
        else:
            columns.append(of_unseen + between * normal)
    return np.hstack(columns)
