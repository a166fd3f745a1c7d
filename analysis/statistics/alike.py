"""Whether blocks are independent, and whether signs alone would make a mean of so few values.

A p-value of Student's t takes blocks for independent. If something lasts over several blocks and
affects one cell only, neighbouring blocks are alike and a mean varies more than the t says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analysis.statistics.floor import MOST_ALIKE, inflation
from analysis.statistics.stats import FEWEST

Floats = npt.NDArray[np.float64]
ORDERS = 399
"""Orders of the blocks with which the order of measuring is compared, always the same ones."""
LEVEL = 0.025
SEED = 1
ROUNDING = 1e-12
FEWEST_FLIPPED, MOST_FLIPPED = 8, 12
"""Numbers of values with which the t is wrong in 6 % of comparisons if trials have two speeds."""
LEAST_LEFT = 0.2
"""Of the spread that values which are alike still show."""


def neighbours_alike(rows: Sequence[Mapping[int, float]]) -> float:
    """The correlation of neighbouring blocks, if it is more than another order of blocks gives.

    All rows get the same order, so rows that share a cell do not count as several proofs.

    Args:
        rows: for each comparison the logarithms of its ratios, by block.

    Returns:
        The correlation, corrected for its bias with few blocks; 0 where nothing was found.
    """
    used = [row for row in rows if len(row) >= FEWEST]
    blocks = sorted({block for row in used for block in row})
    if not used:
        return 0.0
    values = np.full((len(used), len(blocks)), np.nan)
    for index, row in enumerate(used):
        values[index, np.searchsorted(blocks, list(row))] = list(row.values())
    values -= np.nanmean(values, axis=1, keepdims=True)
    values = np.nan_to_num(values[np.nansum(values**2, axis=1) > 0])
    if not len(values):
        return 0.0
    n, found = len(blocks), _correlation(values)
    if found <= 0 or _share_reaching(values, found) >= LEVEL:
        return 0.0
    return min(max((found + 1 / n) / (1 - 3 / n), 0.0), MOST_ALIKE)


def _share_reaching(values: Floats, found: float) -> float:
    """In how many orders of the blocks the correlation is as high."""
    sums = np.zeros(ORDERS)
    orders = _orders(values.shape[1])
    for row in values:
        shuffled = row[orders]
        sums += (shuffled[:, :-1] * shuffled[:, 1:]).sum(axis=1) / (row**2).sum()
    reached = int((sums / len(values) >= found - ROUNDING).sum())
    return (1 + reached) / (1 + ORDERS)


@lru_cache(maxsize=64)
def _orders(blocks: int) -> npt.NDArray[np.int64]:
    generator = np.random.default_rng(SEED)
    return np.array([generator.permutation(blocks) for _ in range(ORDERS)])


def _correlation(values: Floats) -> float:
    products = (values[:, :-1] * values[:, 1:]).sum(axis=1)
    return float(np.mean(products / (values**2).sum(axis=1)))


def widening(alike: float, n: int) -> float:
    """How many times its error by the t a mean of n values has if neighbours correlate.

    Such values vary more in their mean, and less around it.
    """
    more = inflation(alike, n)
    return math.sqrt(more / max(1 - (more - 1) / (n - 1), LEAST_LEFT))


def flipped_p(logs: Sequence[float]) -> float | None:
    """How often random signs give such a sum: exact where the arms were shuffled in each block.

    Returns:
        None with other numbers of values than eight to twelve.
    """
    n = len(logs)
    if not FEWEST_FLIPPED <= n <= MOST_FLIPPED:
        return None
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    sums = np.abs(signs @ np.asarray(logs))
    return float(np.mean(sums >= abs(math.fsum(logs)) * (1 - 1e-9)))
