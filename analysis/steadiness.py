"""Whether repeated trials belong together: a trend, two speeds, one that stands apart.

All is judged on logarithms, so that half and twice as fast are equally far, and against what
independent normal values of the same number do (20 000 simulated samples, always the same ones).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SAMPLES = 20_000
SEED = 1
LEAST_CHANGE = 0.10
"""Distances below a tenth are no finding for single trials, however regular they are."""
LEAST_TREND = 0.03
"""Nor is a trend that changes less than this from the first block to the last."""
FEWEST_FOR_TREND, FEWEST_FOR_MODES, FEWEST_FOR_APART = 5, 4, 3
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
    """The value that stands farthest from the median.

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
    rho = float(_rhos(logs[None, :])[0])
    place = np.asarray(blocks, dtype=np.float64)
    slopes = [
        (logs[j] - logs[i]) / (place[j] - place[i])
        for i in range(len(logs))
        for j in range(i + 1, len(logs))
    ]
    change = float(np.expm1(np.median(slopes) * (place[-1] - place[0])))
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
    samples = np.random.default_rng(SEED).standard_normal((SAMPLES, n))
    if kind == "trend":
        return np.sort(np.abs(_rhos(samples)))
    if kind == "modes":
        return np.sort(_gaps(np.sort(samples, axis=1)).max(axis=1))
    return np.sort(_scores(samples).max(axis=1))


def _rhos(samples: Floats) -> Floats:
    """Spearman's correlation with its position for each row; equal values share their rank."""
    n = samples.shape[1]
    ranks = (samples[:, :, None] > samples[:, None, :]).sum(axis=2).astype(np.float64)
    ranks += ((samples[:, :, None] == samples[:, None, :]).sum(axis=2) - 1) / 2
    ranks -= ranks.mean(axis=1, keepdims=True)
    place = np.arange(n) - (n - 1) / 2
    spread = np.sqrt((ranks**2).sum(axis=1) * (place**2).sum())
    rhos: Floats = np.divide(ranks @ place, spread, out=np.zeros(len(samples)), where=spread > 0)
    return rhos


def _gaps(ordered: Floats) -> Floats:
    """For each split of ascending rows: the gap over the standard deviation within both sides."""
    n = ordered.shape[1]
    scores = []
    for split in range(2, n - 1):
        left, right = ordered[:, :split], ordered[:, split:]
        squares = left.var(axis=1) * split + right.var(axis=1) * (n - split)
        within = np.sqrt(squares / (n - 2))
        gap = ordered[:, split] - ordered[:, split - 1]
        scores.append(np.divide(gap, within, out=np.where(gap > 0, np.inf, 0.0), where=within > 0))
    return np.stack(scores, axis=1)


def _scores(samples: Floats) -> Floats:
    """Modified z-score of each value in its row."""
    off = np.abs(samples - np.median(samples, axis=1, keepdims=True))
    spread = np.median(off, axis=1, keepdims=True)
    far = np.where(off > 0, np.inf, 0.0)
    return np.divide(MAD_TO_SIGMA * off, spread, out=far, where=spread > 0)
