"""Medians, means and ratios of few values, with intervals that hold at few.

The unit is the trial, never a token within one: tokens of a trial share its machine state, so
an interval over them would be too narrow (Hoefler & Belli, "Scientific Benchmarking of Parallel
Computing Systems", SC'15, rules 5-8).

A median has the exact interval of order statistics, which assumes nothing about how values are
spread (H. A. David & H. N. Nagaraja, "Order Statistics", 3rd ed. 2003, 7.1). A ratio has Student's
interval of the mean of its logarithms. With fewer than six values no interval of a median can
cover 95 %: then the range of the values is given instead, with what it does cover.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from core import median
from core.student import quantile, two_sided_p

LEVEL = median.LEVEL
FEWEST = median.FEWEST
"""Values from which there is an interval, and from which two sides may be compared."""
FINEST = 0.001
"""Least relative spread that a ratio is taken to have: no engine reports times more exactly."""

Block = TypeVar("Block", int, str)
"""What two systems have in common: a block of trials by its number, a question by its id."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure made of several values.

    Attributes:
        value: the figure, in the unit of the values.
        low: lower end of its interval or range; None with one value.
        high: upper end; None with one value.
        values: what it was made of, in the order given.
        coverage: how often such ends hold the true figure, 0 to 1: `LEVEL` or more is an interval,
            less is the range of the values; 0 with one value.
    """

    value: float
    low: float | None
    high: float | None
    values: tuple[float, ...]
    coverage: float = LEVEL

    @property
    def n(self) -> int:
        """How many values."""
        return len(self.values)

    @property
    def minimum(self) -> float:
        """Smallest value."""
        return min(self.values)

    @property
    def maximum(self) -> float:
        """Largest value."""
        return max(self.values)

    @property
    def variation(self) -> float | None:
        """Coefficient of variation: sample standard deviation over mean; None for one value."""
        mean = float(np.mean(self.values))
        if self.n <= 1 or mean == 0:
            return None
        return float(np.std(self.values, ddof=1)) / abs(mean)

    @property
    def has_interval(self) -> bool:
        """Return whether there were enough values for an interval, and so for a comparison."""
        return self.low is not None and self.coverage >= LEVEL


@dataclass(frozen=True, slots=True)
class Ratio(Estimate):
    """How many times the one the other is: the geometric mean over what both have.

    Attributes:
        blocks: where both were measured, in order; `values` are their ratios. None of them: the
            value is the ratio of two medians.
        spread: standard deviation of the logarithms; None with one block.
    """

    blocks: tuple[int | str, ...] = ()
    spread: float | None = None

    def p_value(self, least_spread: float = FINEST, wider: float = 1.0) -> float | None:
        """How often chance alone gives such a ratio where the truth is 1: Student's t, two-sided.

        Args:
            least_spread: a smaller spread is taken to be luck, and counts as this one.
            wider: how many times its error by the t the mean has.

        Returns:
            None with fewer than six blocks: they are too few.
        """
        if self.n < FEWEST or self.spread is None:
            return None
        error = wider * max(self.spread, least_spread) / math.sqrt(self.n)
        return two_sided_p(math.log(self.value) / error, self.n - 1)

    def inverse(self) -> Ratio:
        """The ratio turned round."""
        return Ratio(
            value=1 / self.value,
            low=None if self.high is None else 1 / self.high,
            high=None if self.low is None else 1 / self.low,
            values=tuple(1 / value for value in self.values),
            coverage=self.coverage,
            blocks=self.blocks,
            spread=self.spread,
        )


@lru_cache(maxsize=1024)
def range_coverage(n: int) -> float:
    """Return the probability that the range of n values holds the true median: 1 - 2^(1-n)."""
    return 1.0 - 2.0 ** (1 - n)


def estimate(values: Sequence[float], *, of_rates: bool = False) -> Estimate | None:
    """Median with its interval of order statistics, or the range of few values.

    Args:
        values: one a trial.
        of_rates: they are rates. The median of an even number then is that of their times, turned
            round: an arithmetic mean of two rates belongs to no time (Hoefler & Belli, rule 3).

    Returns:
        None without values.
    """
    if not values:
        return None
    told = tuple(float(value) for value in values)
    ordered = sorted(told)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2], ordered[n // 2])
    value = sum(middle) / 2
    if of_rates and min(middle) > 0:
        value = 2 / (1 / middle[0] + 1 / middle[1])
    if n == 1:
        return Estimate(value, None, None, told, 0.0)
    if n < FEWEST:
        return Estimate(value, ordered[0], ordered[-1], told, range_coverage(n))
    rank, coverage = median.interval_rank(n)
    return Estimate(value, ordered[rank - 1], ordered[n - rank], told, coverage)


def mean(values: Sequence[float], *, least_spread: float = 0.0) -> Estimate | None:
    """Arithmetic mean with Student's interval, or the range of few values.

    Args:
        values: one a question.
        least_spread: a smaller standard deviation is taken to be this one.

    Returns:
        None without values.
    """
    if not values:
        return None
    told = tuple(float(value) for value in values)
    n = len(told)
    value = float(np.mean(told))
    if n == 1:
        return Estimate(value, None, None, told, 0.0)
    if n < FEWEST:
        return Estimate(value, min(told), max(told), told, range_coverage(n))
    half = _half_width(max(float(np.std(told, ddof=1)), least_spread), n)
    return Estimate(value, value - half, value + half, told, LEVEL)


def paired_ratio(
    numerator: Mapping[Block, float], denominator: Mapping[Block, float]
) -> Ratio | None:
    """Compute numerator over denominator, paired by block: 2.0 if the numerator is twice as large.

    Within a block, anything that slowed the machine cancels. The mean is taken of log ratios and
    turned back: a ratio and its inverse are treated alike (Hoefler & Belli, SC'15, rule 4).

    Args:
        numerator: block to a positive value.
        denominator: block to a positive value.

    Returns:
        A plain ratio of medians, of no block and without an interval, where no block holds both;
        None if one side has nothing above 0.
    """
    shared = sorted(
        block
        for block in numerator.keys() & denominator.keys()
        if numerator[block] > 0 and denominator[block] > 0
    )
    if not shared:
        return _unpaired(list(numerator.values()), list(denominator.values()))
    values = tuple(numerator[block] / denominator[block] for block in shared)
    logs = [math.log(value) for value in values]
    n = len(shared)
    middle = math.fsum(logs) / n
    if n == 1:
        return Ratio(math.exp(middle), None, None, values, 0.0, tuple(shared))
    spread = math.sqrt(math.fsum((log - middle) ** 2 for log in logs) / (n - 1))
    if n < FEWEST:
        ends, coverage = (min(values), max(values)), range_coverage(n)
    else:
        half = _half_width(spread, n)
        ends, coverage = (math.exp(middle - half), math.exp(middle + half)), LEVEL
    return Ratio(math.exp(middle), *ends, values, coverage, tuple(shared), spread)


def _unpaired(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio | None:
    one, other = (float(np.median(side)) if side else 0.0 for side in (numerator, denominator))
    if one <= 0 or other <= 0:
        return None
    return Ratio(one / other, None, None, (one / other,), 0.0)


def _half_width(spread: float, n: int) -> float:
    return quantile(LEVEL, n - 1) * spread / math.sqrt(n)


def karp_flatt(speed_up: float, nodes: int) -> float | None:
    """Serial fraction that would explain a speed-up: (1/S - 1/n) / (1 - 1/n).

    A fraction that rises with n is a sign of overhead that grows with the nodes rather than of
    work that cannot be split (Karp & Flatt, CACM 33(5), 1990). None for one node.
    """
    if nodes == 1:
        return None
    return (1.0 / speed_up - 1.0 / nodes) / (1.0 - 1.0 / nodes)
