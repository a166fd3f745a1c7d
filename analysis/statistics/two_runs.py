"""One run against another: means of independent trials, and how far two runs of the same differ.

Trials of two runs are not paired: a day, another temperature or another kernel is between them. So
the error of a ratio has two parts. Within the runs it is Welch's (B. L. Welch, Biometrika 34, 1947;
degrees of freedom by F. E. Satterthwaite, Biometrics Bull. 2, 1946). Between the runs it cannot be
computed from the two alone: it is measured on further runs of the same, or assumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from analysis.statistics.alike import neighbours_alike, widening
from analysis.statistics.floor import NORMAL_END
from analysis.statistics.stats import FEWEST, FINEST, LEVEL, Ratio
from core.student import quantile, two_sided_p

ASSUMED = 0.03
"""By how much two runs of the same differ at most in 95 % of cases, where nothing is measured."""
"""Of the normal distribution, for 95 %."""
MOST_DEGREES = 200
"""Degrees of freedom from which Student's t is the normal one for all that is shown."""
ENOUGH_RUNS = 4
"""Runs of the same from which their spread alone counts; with fewer, at least what is assumed."""
FEWEST_OF_A_MEAN = 3
"""Trials of a cell from which its mean shows how runs differ."""
Logs = Mapping[int, float]
"""Block of trials to the logarithm of a speed."""


@dataclass(frozen=True, slots=True)
class Between:
    """How far two runs of the same differ.

    Attributes:
        spread: standard deviation of the logarithm of the ratio of two runs, without what their
            trials explain.
        bound: by how much two runs of the same differ at most in 95 % of cases, all included,
            such as 0.03.
        doubt: variance of the square of the spread, times a half; 0 of what is assumed.
        runs: how many runs of the same it was measured on; 0 where there are none.
        is_assumed: what is assumed counts, because it is larger or little was measured.
    """

    spread: float
    bound: float
    doubt: float = 0.0
    runs: int = 0
    is_assumed: bool = True


def assumed(bound: float = ASSUMED) -> Between:
    """What is assumed: two runs of the same differ by at most so much in 95 % of cases."""
    return Between(math.log1p(bound) / NORMAL_END, bound)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean logarithm of a cell's speed in a run.

    Attributes:
        error: its standard error, as far as the trials show it.
        degrees: of freedom of that.
        n: trials.
    """

    value: float
    error: float
    degrees: float
    n: int


def mean_of(logs: Logs, alike: float = 0.0) -> Mean:
    """The mean of a cell's trials.

    Args:
        logs: of its trials, one at least.
        alike: correlation of neighbouring blocks of its run.
    """
    values, n = list(logs.values()), len(logs)
    spread = math.sqrt(variance(values)) if n > 1 else 0.0
    wider = widening(alike, n) if alike and n > 1 else 1.0
    return Mean(fmean(values), wider * max(spread, FINEST) / math.sqrt(n), max(1, n - 1), n)


def alike_of(cells: Sequence[Logs]) -> float:
    """The correlation of neighbouring blocks of a run, 0 where none was found."""
    return neighbours_alike(cells)


@dataclass(frozen=True, slots=True)
class TwoMeans:
    """A cell's speed in one run against that in another.

    Attributes:
        log: logarithm of the contender's speed over the baseline's.
        error: standard error of it, both parts.
        degrees: of freedom of that.
        n: trials on the side that has fewer; of answers, questions that both have.
        fewest: of `n`, from which something may be said.
    """

    log: float
    error: float
    degrees: int
    n: int
    fewest: int = FEWEST

    @property
    def is_tried(self) -> bool:
        """There are enough trials on both sides, or questions that both answered."""
        return self.n >= self.fewest

    @property
    def ratio(self) -> Ratio:
        """The ratio with its 95 % interval; without one with too few trials."""
        value = math.exp(self.log)
        if not self.is_tried:
            return Ratio(value, None, None, (value,), 0.0)
        half = quantile(LEVEL, self.degrees) * self.error
        low, high = math.exp(self.log - half), math.exp(self.log + half)
        return Ratio(value, low, high, (value,), LEVEL)

    @property
    def p_value(self) -> float | None:
        """How often two runs of the same show such a ratio; None with too few trials."""
        return two_sided_p(self.log / self.error, self.degrees) if self.is_tried else None

    def p_slower(self, share: float) -> float | None:
        """How often a contender that is slower by just this share looks slower by so much.

        Args:
            share: from 0 on, below 1: 0.05 is 5 % slower.

        Returns:
            One-sided; None with too few trials.
        """
        if not self.is_tried:
            return None
        t = (self.log - math.log1p(-share)) / self.error
        half = two_sided_p(t, self.degrees) / 2
        return half if t < 0 else 1 - half


def two_means(contender: Mean, baseline: Mean, between: Between) -> TwoMeans:
    """Compare the means of two runs."""
    trials = [(one.error**2, one.degrees) for one in (contender, baseline)]
    whole = math.fsum(part for part, _ in trials) + between.spread**2
    doubt = math.fsum(part**2 / degrees for part, degrees in trials) + between.doubt
    degrees = max(1, math.floor(min(whole**2 / doubt, MOST_DEGREES)))
    n = min(contender.n, baseline.n)
    return TwoMeans(contender.value - baseline.value, math.sqrt(whole), degrees, n)


def over_questions(
    contender: Mapping[str, float], baseline: Mapping[str, float], between: Between, fewest: int
) -> TwoMeans | None:
    """Compare logarithms question by question: what both answered is paired.

    Returns:
        None where they share no question.
    """
    shared = sorted(contender.keys() & baseline.keys())
    if not shared:
        return None
    logs = {place: contender[name] - baseline[name] for place, name in enumerate(shared)}
    found = mean_of(logs)
    whole = found.error**2 + between.spread**2
    doubt = found.error**4 / found.degrees + between.doubt
    degrees = max(1, math.floor(min(whole**2 / doubt, MOST_DEGREES)))
    return TwoMeans(found.value, math.sqrt(whole), degrees, found.n, fewest)


Repeated = Sequence[Mapping[str, Mean]]
"""Runs of the same: for each, cell to its mean."""


def between_runs(groups: Sequence[Repeated], bound: float = ASSUMED) -> Between:
    """Estimate how far two runs of the same differ.

    What all cells of a run have in common, such as the heat of a day, and what each has for itself
    are two parts with their own degrees of freedom.

    Args:
        groups: runs of the same, for each thing that was measured repeatedly.
        bound: assumed where too little was measured: as for `assumed`.
    """
    found = [one for group in groups if (one := _spread_of(group))]
    otherwise = assumed(bound)
    runs = sum(one.runs for one in found)
    if not found:
        return otherwise
    degrees = runs - len(found)
    common = math.fsum(one.common for one in found) / degrees
    own = math.fsum(one.own for one in found) / degrees
    own_degrees = sum((one.runs - 1) * (one.cells - 1) for one in found)
    explained = math.fsum(one.explained * one.runs for one in found) / runs
    doubt = common**2 / degrees + (own**2 / own_degrees if own_degrees else 0.0)
    whole = max(common + own, FINEST**2)
    known = whole**2 / doubt if doubt else degrees
    known = max(1, math.floor(min(known, MOST_DEGREES)))
    spread = math.sqrt(2 * max(0.0, whole - explained))
    if degrees + 1 < ENOUGH_RUNS:
        is_assumed = spread <= otherwise.spread
        return Between(max(spread, otherwise.spread), bound, 0.0, runs, is_assumed)
    measured = math.expm1(quantile(LEVEL, known) * math.sqrt(2 * whole))
    return Between(spread, measured, 4 * doubt, runs, is_assumed=False)


@dataclass(frozen=True, slots=True)
class _Spread:
    """How runs of the same differ.

    Attributes:
        common: sum of squares of what all cells of a run have in common.
        own: sum of squares of the rest, a cell's share of it.
        explained: squared error of a mean, by its trials.
    """

    common: float
    own: float
    explained: float
    cells: int
    runs: int


def _spread_of(group: Repeated) -> _Spread | None:
    """None where fewer than two runs have a cell in common."""
    shared = set.intersection(*(set(run) for run in group)) if group else set()
    if len(group) <= 1 or not shared:
        return None
    means = {cell: fmean(run[cell].value for run in group) for cell in shared}
    away = [[run[cell].value - means[cell] for cell in shared] for run in group]
    levels = [fmean(values) for values in away]
    rest = [
        (value - level) ** 2 for values, level in zip(away, levels, strict=True) for value in values
    ]
    return _Spread(
        common=math.fsum(level**2 for level in levels),
        own=math.fsum(rest) / len(shared),
        explained=fmean(run[cell].error ** 2 for run in group for cell in shared),
        cells=len(shared),
        runs=len(group),
    )
