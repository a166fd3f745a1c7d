"""Medians with bootstrap intervals over trials.

The unit is the trial, never a token within one: tokens of a trial share its machine state, so
an interval over them would be too narrow (Hoefler & Belli, "Scientific Benchmarking of Parallel
Computing Systems", SC'15, rules 5-8).

Intervals are percentile bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap",
1993, ch. 13), not BCa: BCa's acceleration comes from the jackknife, which is inconsistent for
the median (ibid., 10.6), and with few trials it would only look more exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST_FOR_INTERVAL = 3

Floats = npt.NDArray[np.float64]
Block = TypeVar("Block", int, str)
"""What two systems have in common: a block of trials by its number, a question by its id."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over trials.

    Attributes:
        value: the median, in the unit of the values.
        low: lower end of the 95 % interval; None with fewer than three values.
        high: upper end; None likewise.
        values: what it was made of, in the order given.
    """

    value: float
    low: float | None
    high: float | None
    values: tuple[float, ...]

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
        if self.n < 2 or mean == 0:  # noqa: PLR2004 - a deviation takes two
            return None
        return float(np.std(self.values, ddof=1)) / abs(mean)

    @property
    def has_interval(self) -> bool:
        """There were enough values for an interval, hence for a comparison."""
        return self.low is not None and self.high is not None

    @property
    def above_one(self) -> bool:
        """The interval is there and lies wholly above 1."""
        return self.low is not None and self.low > 1

    @property
    def below_one(self) -> bool:
        """The interval is there and lies wholly below 1."""
        return self.high is not None and self.high < 1


def range_coverage(n: int) -> float:
    """How surely the range of n values holds the true median: 1 - 2^(1-n).

    No bootstrap interval of a median is wider than the range, so with fewer than six trials none
    can really cover 95 %. (Order statistics; Efron & Tibshirani 1993, problem 13.4.)
    """
    return 1.0 - 2.0 ** (1 - n)


def estimate(values: Sequence[float], seed: int) -> Estimate | None:
    """Median of the values of trials with its 95 % percentile bootstrap interval.

    Args:
        values: one a trial.
        seed: of the resampling; the same values and seed give the same interval.

    Returns:
        None without values; no interval with fewer than three.
    """
    if not values:
        return None
    sample = np.asarray(values, dtype=np.float64)
    low, high = _percentile_interval(sample, seed)
    return Estimate(float(np.median(sample)), low, high, tuple(float(v) for v in sample))


def paired_ratio(
    numerator: Mapping[Block, float], denominator: Mapping[Block, float], seed: int
) -> Estimate | None:
    """How many times the numerator the denominator is, by blocks that hold both.

    Blocks are resampled whole, so that whatever slowed a machine during one block cancels. The
    median is taken of log ratios and turned back: a ratio and its inverse are treated alike
    (Hoefler & Belli, SC'15, rule 4: never average ratios).

    Args:
        numerator: block to a positive value.
        denominator: likewise.
        seed: of the resampling.

    Returns:
        The estimate, its `values` the ratios block by block; a plain ratio of medians without an
        interval when no block holds both; None if one side is empty.
    """
    if not numerator or not denominator:
        return None
    shared = sorted(numerator.keys() & denominator.keys())
    if not shared:
        ratio = float(np.median(list(numerator.values())) / np.median(list(denominator.values())))
        return Estimate(ratio, None, None, (ratio,))
    logs = np.log([numerator[block] / denominator[block] for block in shared])
    low, high = _percentile_interval(logs, seed)
    return Estimate(
        value=float(np.exp(np.median(logs))),
        low=None if low is None else float(np.exp(low)),
        high=None if high is None else float(np.exp(high)),
        values=tuple(float(v) for v in np.exp(logs)),
    )


def _percentile_interval(sample: Floats, seed: int) -> tuple[float | None, float | None]:
    if sample.size < FEWEST_FOR_INTERVAL:
        return None, None
    generator = np.random.default_rng(seed)
    resamples = sample[generator.integers(sample.size, size=(RESAMPLES, sample.size))]
    tail = (1.0 - LEVEL) / 2
    low, high = np.quantile(np.median(resamples, axis=1), [tail, 1 - tail])
    return float(low), float(high)


def karp_flatt(speed_up: float, nodes: int) -> float | None:
    """Serial fraction that would explain a speed-up: (1/S - 1/n) / (1 - 1/n).

    A fraction that rises with n tells of overhead that grows with the nodes rather than of work
    that cannot be split (Karp & Flatt, CACM 33(5), 1990). None for one node.
    """
    if nodes == 1:
        return None
    return (1.0 / speed_up - 1.0 / nodes) / (1.0 - 1.0 / nodes)
