"""Find what is unsteady in repeated trials: a trend, two speeds, an outlier.

All is judged on logarithms, so that half and twice as fast are equally far, and against what
independent normal values of the same number do (20 000 simulated samples, always the same ones;
of more than a hundred values fewer, as many as make two million values).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SAMPLES = 20_000
MOST_SIMULATED = 2_000_000
"""Values in all samples of one number: many repeats need no finer null than few."""
AT_ONCE = 250_000
"""Of these, so many are in memory at a time."""
MOST_PAIRED = 500
"""The most values for which every pair makes a slope.

Of more, each makes a slope with the one that comes half of their number later.
"""
SEED = 1
LEAST_CHANGE = 0.10
"""Distances below a tenth are no finding for single trials, however regular they are."""
LEAST_TREND = 0.03
"""Nor is a trend that changes less than this from the first block to the last."""
FEWEST_FOR_TREND, FEWEST_FOR_MODES, FEWEST_FOR_APART = 5, 4, 3
ROUNDING = 1e-7
"""A share of a standard deviation that is none."""
MAD_TO_SIGMA = 0.6745
"""The median absolute deviation of normal values in standard deviations (Iglewicz & Hoaglin)."""


@dataclass(frozen=True, slots=True)
class Trend:
    """How values go with their order.

    Attributes:
        rho: Spearman's rank correlation of value and order, -1 to 1.
        change: from the first to the last by the median slope, as a share: -0.4 is 40 % less.
        p_value: how often values without order have such a correlation.
    """

    rho: float
    change: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Modes:
    """Values in two groups with a gap between them.

    Attributes:
        low: median of the lower group; `high` of the upper one.
        lower: how many are in the lower group; `upper` in the upper one.
    """

    low: float
    high: float
    lower: int
    upper: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Apart:
    """The value that is farthest from the median.

    Attributes:
        score: modified z-score, infinite where all others are equal.
    """

    value: float
    median: float
    score: float
    p_value: float


def trend(values: Mapping[int, float]) -> Trend | None:
    """The trend of positive values over blocks; None with fewer than five."""
    if len(values) < FEWEST_FOR_TREND:
        return None
    blocks = sorted(values)
    logs = np.log([values[block] for block in blocks])
    place = np.asarray(blocks, dtype=np.float64)
    change = float(np.expm1(np.median(_slopes(logs, place)) * (place[-1] - place[0])))
    rho = float(_rhos(_ranks(logs)[None, :])[0])
    return Trend(rho, change, _p_value(abs(rho), _null("trend", len(logs))))


def common_trend(cells: Sequence[Mapping[int, float]]) -> Trend | None:
    """The trend that all cells of a run share: that of the medians of each block over cells.

    Each cell counts relative to its own median, so that slow and fast ones count alike.
    """
    deviations: dict[int, list[float]] = {}
    for values in cells:
        middle = np.median(np.log(list(values.values()))) if values else 0.0
        for block, value in values.items():
            deviations.setdefault(block, []).append(float(np.log(value) - middle))
    return trend({block: float(np.exp(np.median(own))) for block, own in deviations.items()})


def modes(values: Sequence[float]) -> Modes | None:
    """The widest gap with two values or more on each side; None with fewer than four values."""
    if len(values) < FEWEST_FOR_MODES:
        return None
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    scores = _gaps(np.log(ordered)[None, :])[0]
    split = int(np.argmax(scores)) + 2
    return Modes(
        low=float(np.median(ordered[:split])),
        high=float(np.median(ordered[split:])),
        lower=split,
        upper=len(ordered) - split,
        p_value=_p_value(float(scores.max()), _null("modes", len(ordered))),
    )


def apart(values: Sequence[float]) -> Apart | None:
    """The value farthest from the median; None with fewer than three values."""
    if len(values) < FEWEST_FOR_APART:
        return None
    logs = np.log(np.asarray(values, dtype=np.float64))
    scores = _scores(logs[None, :])[0]
    farthest = int(np.argmax(scores))
    return Apart(
        value=float(values[farthest]),
        median=float(np.median(values)),
        score=float(scores[farthest]),
        p_value=_p_value(float(scores[farthest]), _null("apart", len(logs))),
    )


def _p_value(score: float, null: Floats) -> float:
    reached = len(null) - int(np.searchsorted(null, score * (1 - 1e-9)))
    return (1 + reached) / (1 + len(null))


@cache
def _null(kind: str, n: int) -> Floats:
    """The statistic of samples of n independent normal values, in ascending order."""
    generator = np.random.default_rng(SEED)
    samples = max(1, min(SAMPLES, MOST_SIMULATED // n))
    rows = max(1, AT_ONCE // n)
    parts = [
        _statistic(kind, generator.standard_normal((min(rows, samples - begun), n)))
        for begun in range(0, samples, rows)
    ]
    return np.sort(np.concatenate(parts))


def _statistic(kind: str, samples: Floats) -> Floats:
    """Of each row."""
    if kind == "trend":
        # The places of ascending values correlate with their order as the ranks do.
        return np.abs(_rhos(np.argsort(samples, axis=1).astype(np.float64)))
    if kind == "modes":
        highest: Floats = _gaps(np.sort(samples, axis=1)).max(axis=1)
        return highest
    farthest: Floats = _scores(samples).max(axis=1)
    return farthest


def _slopes(values: Floats, place: Floats) -> Floats:
    """From value to value, of every two (Theil), or of n / 2 pairs that share none."""
    n = len(values)
    half = (n + 1) // 2
    first, second = (
        np.triu_indices(n, 1) if n <= MOST_PAIRED else (np.arange(n - half), np.arange(half, n))
    )
    slopes: Floats = (values[second] - values[first]) / (place[second] - place[first])
    return slopes


def _ranks(values: Floats) -> Floats:
    """From 1; equal values share theirs."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(times) - (times - 1) / 2)[place]
    return ranks


def _rhos(ranks: Floats) -> Floats:
    """Spearman's correlation with its position for each row of ranks."""
    n = ranks.shape[1]
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    place = np.arange(n) - (n - 1) / 2
    spread = np.sqrt((ranks**2).sum(axis=1) * (place**2).sum())
    rhos: Floats = np.divide(ranks @ place, spread, out=np.zeros(len(ranks)), where=spread > 0)
    return rhos


def _gaps(ordered: Floats) -> Floats:
    """For each split of ascending rows: the gap over the standard deviation within both sides."""
    n = ordered.shape[1]
    ordered = ordered - ordered.mean(axis=1, keepdims=True)  # sums of squares stay exact
    size = np.arange(2, n - 1)
    sums = np.cumsum(ordered, axis=1)
    squares = (ordered**2).sum(axis=1, keepdims=True)
    left = sums[:, 1 : n - 2]
    right = sums[:, -1:] - left
    within = np.sqrt(np.maximum(squares - left**2 / size - right**2 / (n - size), 0) / (n - 2))
    gap = ordered[:, 2 : n - 1] - ordered[:, 1 : n - 2]
    # Sums of equal values leave a rounding error where there is no spread at all.
    spread = within > ROUNDING * np.sqrt(squares / n)
    scores: Floats = np.divide(gap, within, out=np.where(gap > 0, np.inf, 0.0), where=spread)
    return scores


def _scores(samples: Floats) -> Floats:
    """Modified z-score of each value in its row."""
    off = np.abs(samples - np.median(samples, axis=1, keepdims=True))
    spread = np.median(off, axis=1, keepdims=True)
    far = np.where(off > 0, np.inf, 0.0)
    return np.divide(MAD_TO_SIGMA * off, spread, out=far, where=spread > 0)
