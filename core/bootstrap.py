"""How far a mean change might have been another one, had other documents been looked at.

Documents are drawn with replacement, the same ones before and after (B. Efron, "Bootstrap methods:
another look at the jackknife", Ann. Statist. 7, 1979). What is read off the draws is not the mean
but its distance from the true one in standard errors, so skew is allowed for (the "bootstrap-t":
Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, 12.5). The standard error is the
jackknife's, which is careful where one document has much of the text (J. Shao & D. Tu, "The
Jackknife and Bootstrap", 1995, 2.1). No end is nearer than Student's, with as many degrees of
freedom as documents of one length would have that say as much (L. Kish, "Survey Sampling", 1965,
11.7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.student import quantile, two_sided_p

RESAMPLES = 10_000
FEWEST_TO_DRAW = 6
"""Documents from which there is an interval; the draws of fewer are too much alike."""
_LEVEL = 0.95
_VALUES_AT_ONCE = 2_000_000
_NOTHING = 1e-6
"""Part of the usual spread below which there is none: rounding leaves so much."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """A mean change as the draws show it.

    Attributes:
        low: lower end of the 95 % interval, in the unit of the values.
        high: its upper end.
        p_value: how often chance alone gives such a change, to either side.
    """

    low: float
    high: float
    p_value: float


def paired_change(
    before: Sequence[float],
    after: Sequence[float],
    sizes: Sequence[float] | None = None,
    seed: int = 1,
) -> Found | None:
    """The 95 % interval of a mean change, and how surprising the change would be by chance.

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
    weights = weights / weights.sum()
    mean = float(changes @ weights)
    off = (changes - mean) * weights
    error = math.sqrt((count - 1) / count * float(np.sum((off / (1 - weights)) ** 2)))
    if error <= _NOTHING * float(np.abs(changes).max()):
        return Found(mean, mean, 1.0 if mean == 0 else 0.0)
    degrees = max(1.0, 1 / float(weights @ weights) - 1)
    distances = _distances(off, weights, error, np.random.default_rng(seed))
    least = quantile(_LEVEL, degrees)
    below, above = np.quantile(distances, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    found = mean / error
    as_far = np.sum(distances >= found) if found > 0 else np.sum(distances <= found)
    return Found(
        low=mean - max(float(above), least) * error,
        high=mean + max(-float(below), least) * error,
        p_value=max(two_sided_p(found, degrees), min(1.0, 2 * (1 + int(as_far)) / (1 + RESAMPLES))),
    )


def paired_shares(
    before: Sequence[float], after: Sequence[float], owners: Sequence[str] | None = None
) -> tuple[float, float] | None:
    """The 95 % interval of the change of a share, from -1 to 1.

    One made-up case that is lost and one that is gained are drawn with the others. Where few or
    none of the real ones differ, their draws alone would promise too much (D. Bonett & R. Price,
    "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", J. Educ. Behav. Statist. 37, 2012).

    Args:
        before: 1 for each case that is right, 0 for each that is wrong.
        after: the same cases afterwards, in the same order.
        owners: what each case is from, such as the document of a line: cases of one owner are
            alike and are drawn together; None where each stands for itself.

    Returns:
        None with fewer than six owners.
    """
    names = [str(place) for place in range(len(before))] if owners is None else owners
    changes: dict[str, list[float]] = {}
    for name, old, new in zip(names, before, after, strict=True):
        changes.setdefault(name, []).append(new - old)
    if len(changes) < FEWEST_TO_DRAW:
        return None
    means = [*(sum(own) / len(own) for own in changes.values()), 1.0, -1.0]
    sizes = [*(float(len(own)) for own in changes.values()), 1.0, 1.0]
    found = paired_change([0.0] * len(means), means, sizes)
    return (max(found.low, -1.0), min(found.high, 1.0)) if found else None


def _distances(
    off: Floats, weights: Floats, error: float, generator: np.random.Generator
) -> Floats:
    """How far the mean of each draw is from that of all, in standard errors of the draw.

    Args:
        off: how far each document moves the mean of all; they add up to 0.
        weights: share of each document; they add up to 1.
        error: standard error of the mean of all, for draws without any spread.
        generator: of the draws.
    """
    count = len(off)
    moments = np.stack([off, weights, off**2, off * weights, weights**2], axis=1)
    found = np.empty(RESAMPLES)
    step = max(1, _VALUES_AT_ONCE // count)
    for start in range(0, RESAMPLES, step):
        draws = min(step, RESAMPLES - start)
        drawn = generator.integers(count, size=(draws, count))
        drawn += count * np.arange(draws)[:, None]
        times = (
            np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count).astype(float)
        )
        moved, size, squares, mixed, sizes = (times @ moments).T
        mean = moved / size
        spread = np.maximum(squares - 2 * mean * mixed + mean**2 * sizes, 0.0)
        own = np.sqrt(spread * count / (count - 1)) / size
        found[start : start + draws] = mean / np.where(own > _NOTHING * error, own, error)
    return found
