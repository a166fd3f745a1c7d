"""What the times of a series might have been, had its blocks been other ones.

Blocks are drawn with replacement, each with all its cells: what slowed a whole block stays with it
(B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7, 1979). The mean of
so few blocks strays further than their draws do. So each draw's distance from the mean is
stretched to that of Student's t (A. C. Davison & D. V. Hinkley, "Bootstrap Methods and their
Application", 1997, 2.5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.stats import FINEST
from core.student import quantile

LEVEL = 0.9
"""How often an interval of a fitted number holds the true one."""
DRAWS = 1000
_MANY = 10_000
"""Degrees of freedom with which Student's t is the normal distribution."""
_ROUNDS = 100
_STILL = 1e-12
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a series over numbers of nodes.

    Attributes:
        nodes: the numbers, rising.
        logs: logarithm of the geometric mean of each number's ms, what a block did to all removed.
        residuals: blocks by numbers: logarithm of each time less that of its mean.
        trials: how many were measured on each number; the other residuals follow from the rest.
    """

    nodes: tuple[int, ...]
    logs: Floats
    residuals: Floats
    trials: tuple[int, ...]

    @property
    def ms(self) -> Floats:
        """Geometric mean of each number's times in ms."""
        return np.exp(self.logs)

    def distances(self, seed: int, draws: int = DRAWS, level: float = LEVEL) -> Floats:
        """How far the logarithms of other blocks' means are from these: draws by numbers.

        Apart from what blocks did to all, no number of nodes is steadier than `FINEST`: trials
        that are alike to the digit are luck, or a clock that counts whole milliseconds.

        Args:
            seed: the same one gives the same draws.
            draws: how many.
            level: of the interval that is read off them: its ends are as far out as Student's t.
        """
        rng = np.random.default_rng(seed)
        blocks = len(self.residuals)
        drawn = rng.integers(blocks, size=(draws, blocks)) + blocks * np.arange(draws)[:, None]
        times = np.bincount(drawn.ravel(), minlength=draws * blocks).reshape(draws, blocks)
        moved: Floats = times.astype(np.float64) @ self.residuals / blocks
        own = self.residuals - self.residuals.mean(axis=1, keepdims=True)
        spreads = own.std(axis=0, ddof=1)
        lacking = np.sqrt(np.maximum(FINEST**2 - spreads**2, 0) / blocks)
        moved += lacking * rng.normal(size=moved.shape)
        return moved * self._stretch(level)

    def _stretch(self, level: float) -> Floats:
        blocks = len(self.residuals)
        trials: Floats = np.asarray(self.trials, dtype=np.float64)
        student = quantile(level, min(self.trials) - 1) / quantile(level, _MANY)
        lost: Floats = blocks / trials  # what is filled in has no noise of its own
        return lost * (student * math.sqrt(blocks / (blocks - 1)))


def times_of(measured: Mapping[int, Mapping[int, float]]) -> Times:
    """Make the times of a series.

    A block that lacks a trial counts with what it has: what it did to all numbers of nodes is
    known from the others (two factors, cell and block, by least squares).

    Args:
        measured: number of nodes to block to ms, two blocks or more each, all above 0.
    """
    nodes = tuple(sorted(measured))
    blocks = sorted({block for own in measured.values() for block in own})
    logs = np.array(
        [[math.log(measured[n].get(block, math.nan)) for n in nodes] for block in blocks]
    )
    gaps = np.isnan(logs)
    filled = _completed(logs, gaps) if gaps.any() else logs
    means = filled.mean(axis=0)
    return Times(nodes, means, filled - means, tuple(len(measured[n]) for n in nodes))


def _completed(logs: Floats, gaps: npt.NDArray[np.bool_]) -> Floats:
    """Fill gaps with what their row and their column let expect."""
    filled = np.where(gaps, np.nanmean(logs, axis=0), logs)
    for _ in range(_ROUNDS):
        rows, columns = filled.mean(axis=1, keepdims=True), filled.mean(axis=0, keepdims=True)
        better = np.where(gaps, rows + columns - filled.mean(), logs)
        if float(np.abs(better - filled).max()) < _STILL:
            break
        filled = better
    return filled
