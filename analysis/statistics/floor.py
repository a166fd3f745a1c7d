"""The noise floor: how far the mean speeds of two identical arms differ by chance.

Where two arms are the same, the truth is known: the logarithms of their ratios are spread around 0.
So all of them, of every cell, say how large a difference of nothing is. The floor is the bound that
such a difference stays below in 95 % of comparisons with as many blocks (Student's, so that it
allows for how few were measured), and never less than the largest that was seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.statistics.stats import FEWEST, FINEST, LEVEL
from core.student import quantile

NORMAL_END = 1.959964
"""Of the normal distribution, for 95 %."""
ALIKE = 1.959964
"""Standard errors from which neighbouring blocks are taken to be alike (one-sided 2.5 %)."""
MOST_ALIKE = 0.95
NORMAL_KURTOSIS = 3.0
FEWEST_WORTH = 2.0
"""Degrees of freedom that even the heaviest tails leave."""
HELD = {1: 0.72, 2: 0.85, 3: 0.86, 4: 0.88, 8: 0.92}
"""From so many cells on: the least share of comparisons of identical arms that stayed below their
floor in simulations where it is hard to find (docs/statistics.md)."""
Logs = Sequence[float]


@dataclass(frozen=True, slots=True)
class Floor:
    """What two identical arms differ by.

    Attributes:
        ratio: the floor, above 1: in 95 % of comparisons of identical arms the larger speed is at
            most so many times the smaller one.
        low: lower end of the 95 % interval of the bound that so many more arms would show.
        high: its upper end.
        blocks: of each comparison that it is for: the fewest of a cell.
        cells: how many it was computed from.
        pairs: pairs of trials in all of them.
        largest: the largest ratio of two arms, above 1.
        alike: correlation of neighbouring blocks, 0 where none was found.
    """

    ratio: float
    low: float
    high: float
    blocks: int
    cells: int
    pairs: int
    largest: float
    alike: float

    @property
    def held(self) -> float:
        """The share of comparisons in which floors of so many cells held at least, simulated."""
        return max(share for cells, share in HELD.items() if cells <= self.cells)


def noise_floor(cells: Sequence[Logs]) -> Floor | None:
    """The floor from the ratios of identical arms.

    Args:
        cells: for each cell the logarithm of arm a's speed over arm b's, by block, in order.

    Returns:
        None if no cell has six blocks.
    """
    used = [list(logs) for logs in cells if len(logs) >= FEWEST]
    if not used:
        return None
    pairs = sum(map(len, used))
    blocks = min(map(len, used))
    spread = math.sqrt(math.fsum(log * log for logs in used for log in logs) / pairs)
    alike = _alike(used)
    error = max(spread, FINEST) * math.sqrt(inflation(alike, blocks) / blocks)
    largest = max(abs(math.fsum(logs) / len(logs)) for logs in used)
    worth = _worth(used)
    bound = max(quantile(LEVEL, worth) * error, largest)
    low, high = (NORMAL_END * error * math.sqrt(worth / _chi(worth, end)) for end in (1, -1))
    return Floor(
        ratio=math.exp(bound),
        low=math.exp(low),
        high=math.exp(max(high, bound)),
        blocks=blocks,
        cells=len(used),
        pairs=pairs,
        largest=math.exp(largest),
        alike=alike,
    )


def inflation(alike: float, blocks: int) -> float:
    """How many times its variance a mean has if neighbouring values correlate (AR(1))."""
    weights = ((1 - lag / blocks) * alike**lag for lag in range(1, blocks))
    return 1 + 2 * math.fsum(weights)


def _alike(cells: Sequence[Logs]) -> float:
    """The correlation of neighbouring blocks around 0, if it is more than chance makes."""
    neighbours = sum(len(logs) - 1 for logs in cells)
    squares = math.fsum(log * log for logs in cells for log in logs)
    if squares == 0:
        return 0.0
    products = math.fsum(one * other for logs in cells for one, other in itertools.pairwise(logs))
    found = products / squares * sum(map(len, cells)) / neighbours
    return min(found, MOST_ALIKE) if found * math.sqrt(neighbours) > ALIKE else 0.0


def _worth(cells: Sequence[Logs]) -> float:
    """How many normal values would say as much about the spread: fewer where tails are heavy.

    The variance of a variance is that of normal values times (kurtosis - 1) / 2.
    """
    squares = [log * log for logs in cells for log in logs]
    whole = math.fsum(squares)
    if whole == 0:
        return float(len(squares))
    kurtosis = len(squares) * math.fsum(one * one for one in squares) / whole**2
    return max(FEWEST_WORTH, 2 * len(squares) / (max(kurtosis, NORMAL_KURTOSIS) - 1))


def _chi(degrees: float, end: int) -> float:
    """The upper (1) or lower (-1) 2.5 % point of chi-square (Wilson & Hilferty 1931)."""
    part = 2 / (9 * degrees)
    return degrees * (1 - part + end * NORMAL_END * math.sqrt(part)) ** 3
