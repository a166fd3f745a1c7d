"""Student's t distribution: how surprising a t is, and how large it may be by chance.

The tail is the regularised incomplete beta function, by the series that has positive terms only
and so loses no digits (Abramowitz & Stegun, "Handbook of Mathematical Functions", 26.5.4, 26.7.1).
"""

from __future__ import annotations

import math
from functools import lru_cache

PRECISION = 1e-13


def two_sided_p(t: float, degrees: float) -> float:
    """How often chance alone gives a t at least so far from 0, to either side.

    Args:
        t: any number, also infinite.
        degrees: of freedom, 1 or more, whole or not.
    """
    if math.isinf(t):
        return 0.0
    x = degrees / (degrees + t * t)
    a, b = degrees / 2, 0.5
    if x < (a + 1) / (a + b + 2):
        return _beta(x, a, b)
    return 1.0 - _beta(1.0 - x, b, a)


@lru_cache(maxsize=1024)
def quantile(level: float, degrees: float) -> float:
    """The t that chance stays below, to both sides, with that probability: 2.571 for 0.95 and 5."""
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > 1.0 - level:
        high *= 2.0
    for _ in range(60):
        middle = (low + high) / 2
        is_short = two_sided_p(middle, degrees) > 1.0 - level
        low, high = (middle, high) if is_short else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0.0:
        return 0.0
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    term = total = 1.0
    k = 0
    while term > PRECISION * total:
        term *= x * (a + b + k) / (a + 1 + k)
        total += term
        k += 1
    return math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a * total
