"""How far a mean change might have been another one, had other documents been looked at.

Documents are drawn with replacement, the same ones before and after (B. Efron, "Bootstrap methods:
another look at the jackknife", Ann. Statist. 7, 1979). The ends are those percentiles that allow
for few documents, as Student's t does: T. Hesterberg, "What teachers should know about the
bootstrap", The American Statistician 69, 2015, "expanded percentile interval".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from core.student import quantile

RESAMPLES = 10_000
FEWEST_TO_DRAW = 6
"""Documents from which there is an interval; the draws of fewer are too much alike."""
_LEVEL = 0.95
_VALUES_AT_ONCE = 2_000_000


def paired_interval(
    before: Sequence[float],
    after: Sequence[float],
    sizes: Sequence[float] | None = None,
    seed: int = 1,
) -> tuple[float, float] | None:
    """The 95 % interval of a mean change: its lower and upper end, in the unit of the values.

    Args:
        before: a value a document (or line, or question).
        after: the same ones afterwards, in the same order.
        sizes: how much each counts in the mean, such as its bytes where values are bits per byte;
            None for all the same.
        seed: of the draws; the same one gives the same ends.

    Returns:
        None with fewer than six of them.

    Raises:
        ValueError: the lengths differ, or a size is not above 0.
    """
    changes = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    weights = np.ones_like(changes) if sizes is None else np.asarray(sizes, dtype=np.float64)
    if weights.shape != changes.shape or not (weights > 0).all():
        raise ValueError("each value needs a size above 0")
    count = len(changes)
    if count < FEWEST_TO_DRAW:
        return None
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    step = max(1, _VALUES_AT_ONCE // count)
    for start in range(0, RESAMPLES, step):
        drawn = generator.integers(count, size=(min(step, RESAMPLES - start), count))
        totals = (changes * weights)[drawn].sum(axis=1)
        means[start : start + step] = totals / weights[drawn].sum(axis=1)
    wider = quantile(_LEVEL, count - 1) * math.sqrt(count / (count - 1))
    tail = NormalDist().cdf(-wider)
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)
