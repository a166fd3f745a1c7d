"""How far raters agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST_FOR_KAPPA = 10
"""Answers that two raters must share. With fewer, a single score turns the figure over."""


def weighted_kappa(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Compute Cohen's kappa with quadratic weights: 1 for full agreement, 0 for that of chance.

    It is 1 - D / E with D the mean squared difference of the scores, and E what D would be if each
    rater's scores were dealt out at random: the variances of both and the squared difference of
    their means. (Cohen, "Weighted kappa", Psychological Bulletin 70(4), 1968.)

    Args:
        first: scores of a rater.
        second: another's of the same answers, in the same order.

    Returns:
        None with fewer than ten answers, and where both gave one and the same score to all, for
        then chance agrees completely, too.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.size < FEWEST_FOR_KAPPA:
        return None
    by_chance = one.var() + other.var() + (one.mean() - other.mean()) ** 2
    if by_chance == 0:
        return None
    return float(1.0 - np.mean((one - other) ** 2) / by_chance)
