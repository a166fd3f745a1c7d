"""How many of how many: shares with their intervals, and two systems on the same questions.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927); Q. McNemar, "Note on the sampling error of the difference between correlated
proportions or percentages", Psychometrika 12 (1947), in its exact, binomial form; S. Holm, "A
simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Z = 1.959964
"""Of the normal distribution, for 95 %."""
LEVEL = 0.05
FEWEST_TO_NAME = 30
"""Keyed questions from which one system may be called better than another. With six, no claim over
a few pairs of systems could hold: the smallest p-value that exists is 2/64."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with the 95 % Wilson interval."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end, 0 to 1."""
        n, p = self.of, self.value
        middle = p + Z * Z / (2 * n)
        half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        scale = 1 + Z * Z / n
        return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@dataclass(frozen=True, slots=True)
class Discordance:
    """Two systems on the questions that both were asked.

    Attributes:
        questions: how many.
        first_only: that only the first answered rightly.
        second_only: that only the second did.
    """

    questions: int
    first_only: int
    second_only: int

    @property
    def p_value(self) -> float:
        """Exact McNemar, two-sided: both are as likely to be the one that is right alone."""
        split = self.first_only + self.second_only
        tail = sum(math.comb(split, k) for k in range(min(self.first_only, self.second_only) + 1))
        return min(1.0, 2.0 * tail / 2.0**split)


def discordance(first: Mapping[str, bool], second: Mapping[str, bool]) -> Discordance:
    """Compare what two systems got right, by question; questions of one alone do not count."""
    shared = first.keys() & second.keys()
    return Discordance(
        questions=len(shared),
        first_only=sum(first[name] and not second[name] for name in shared),
        second_only=sum(second[name] and not first[name] for name in shared),
    )


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values, raised for there being several of them, in the same order."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    raised = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        raised[index] = highest
    return tuple(raised)
