"""The exact interval of a median by order statistics, for any distribution of the values.

H. A. David & H. N. Nagaraja, "Order Statistics", 3rd ed. 2003, 7.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

LEVEL = 0.95
FEWEST = 6
"""Values from which the range of all covers the median that often."""


@lru_cache(maxsize=1024)
def interval_rank(n: int) -> tuple[int, float]:
    """Which order statistics, from either end, are the interval of a median, and what it covers.

    The k-th smallest of n is above the true median as often as a fair coin shows fewer than k
    heads in n throws. With fewer than six the first already is too rarely right.
    """
    below = 0.5**n
    rank = 1
    while (wider := below + _coins(n, rank)) <= (1 - LEVEL) / 2:
        below = wider
        rank += 1
    return rank, 1.0 - 2.0 * below


def half_width(rates: Sequence[float]) -> float | None:
    """Half of the interval of a median rate, as a share of the median.

    Args:
        rates: positive; one a trial.

    Returns:
        None with fewer than six.
    """
    n = len(rates)
    if n < FEWEST:
        return None
    ordered = sorted(rates)
    rank, _ = interval_rank(n)
    # The median of an even number is that of the times, turned round, as in reports.
    middle = 2 / (1 / ordered[(n - 1) // 2] + 1 / ordered[n // 2])
    return (ordered[n - rank] - ordered[rank - 1]) / 2 / middle


def _coins(n: int, heads: int) -> float:
    """How often a fair coin shows so many heads in n throws."""
    ways = math.lgamma(n + 1) - math.lgamma(heads + 1) - math.lgamma(n - heads + 1)
    return math.exp(ways - n * math.log(2))
