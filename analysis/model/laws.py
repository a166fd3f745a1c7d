"""How the time of a token goes with the number of nodes: two laws, fitted to what was measured.

Amdahl's law: T(n) = a + b/n. Of the time `a` is never divided, `b` is divided among all nodes
(G. M. Amdahl, AFIPS 1967). The universal scalability law: T(n) = a + b/n + c(n-1). Each further
node also adds `c` to every token, such as one more message (N. J. Gunther, "Guerrilla Capacity
Planning", 2007; his sigma is a/(a+b), his kappa c/(a+b)).

No part is below 0, and relative errors are minimised, so a slow cell counts as much as a fast one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analysis.model.draws import LEVEL, Floats, Times
from analysis.text.sentence import say, together
from analysis.text.wording import count, listing

TOO_FEW = "{law} takes {fewest} numbers of nodes or more: measured were {measured}."
NONE_OFTEN = "{law} takes {fewest} numbers of nodes or more: none was measured often enough."
TOO_FEW_ONE = "{law} takes {fewest} numbers of nodes or more: only {measured} was measured."
OFTEN = "{law} takes {fewest} numbers of nodes or more: only {measured} had enough trials."
ADD = "Add numbers of nodes to the matrix."
MOST_LEFT_OUT = 0.1
"""Relative error, of a number of nodes predicted from the others, below which a law describes the
data all the same."""
_NOISE = 0.975
"""Part of the draws in which a law that is true misses by less. There are two kinds of miss, so
both together speak against a true law in one run of twenty."""


class Law(StrEnum):
    """A law by its name in sentences."""

    AMDAHL = "Amdahl's law"
    USL = "The universal scalability law"

    @property
    def fewest(self) -> int:
        """Numbers of nodes that it takes: one more than it has parts."""
        return self.parts + 1

    @property
    def parts(self) -> int:
        """How many parts its time has."""
        return 2 if self is Law.AMDAHL else 3

    def terms(self, nodes: Floats) -> Floats:
        """By how much each part counts on some numbers of nodes: numbers by parts."""
        return np.stack([np.ones_like(nodes), 1 / nodes, nodes - 1], axis=1)[:, : self.parts]


def enough(law: Law, measured: Collection[int], thin: Collection[int] = ()) -> str:
    """Say why so few numbers of nodes do not suffice for a law; empty if they do.

    Args:
        law: to be fitted.
        measured: the numbers of nodes with enough trials.
        thin: those that are planned and have too few trials, or none yet: they may suffice.
    """
    if len(measured) >= law.fewest:
        return ""
    told = listing([count(nodes) for nodes in sorted(measured)])
    template = {0: NONE_OFTEN, 1: TOO_FEW_ONE}.get(len(measured), TOO_FEW)
    if measured and thin:
        template = OFTEN
    why = say(template, law=law, fewest=count(law.fewest), measured=told)
    return together([why, say(ADD) if len({*measured, *thin}) < law.fewest else ""])


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with the ends of its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Miss:
    """By how much a law misses where it misses most.

    Attributes:
        nodes: where.
        error: relative, 0.1 for ten percent.
        noise: what 97.5 % of draws stay below if the law is true.
        allowed: below this error it does not matter.
    """

    nodes: int
    error: float
    noise: float
    allowed: float

    @property
    def is_beyond(self) -> bool:
        """It is more than noise explains, and large enough to matter."""
        return self.error > max(self.noise, self.allowed)


@dataclass(frozen=True)
class Fit:
    """A law fitted to a series.

    Attributes:
        parts: a, b and, for the universal law, c, in ms.
        drawn: the same of every draw: draws by parts.
        residual: the largest distance of a measured time from the law.
        left_out: the largest error of a number of nodes that is predicted from the others alone.
    """

    law: Law
    times: Times
    parts: Floats
    drawn: Floats
    residual: Miss
    left_out: Miss

    @property
    def misses(self) -> tuple[Miss, ...]:
        """What speaks against the law; empty if it describes the data."""
        return tuple(miss for miss in (self.residual, self.left_out) if miss.is_beyond)

    @cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """Each part with its interval, in ms."""
        return tuple(
            _interval(float(part), drawn)
            for part, drawn in zip(self.parts, self.drawn.T, strict=True)
        )

    @cached_property
    def serial(self) -> Interval:
        """The part of one node's time that is never divided, 0 to 1; 1 where nothing is divided."""
        shares = _serial(np.vstack([self.parts, self.drawn]))
        return _interval(float(shares[0]), shares[1:])

    def ms(self, nodes: Floats) -> Floats:
        """The law's time of a token in ms on some numbers of nodes."""
        return self.law.terms(nodes) @ self.parts

    def band(self, nodes: Floats) -> tuple[Floats, Floats]:
        """Lower and upper ends of its 90 % interval in ms on each of some numbers of nodes."""
        low, high = np.quantile(self.drawn @ self.law.terms(nodes).T, _ends(), axis=0)
        return low, high

    def last_that_pays(self, margin: float) -> Interval | None:
        """After how many nodes one more makes a token less than a margin faster, by the law.

        Only steps between the fewest and the most measured nodes are looked at. An end of the
        interval that is the most measured number means: or later, or never.

        Args:
            margin: relative difference below which two speeds are the same.

        Returns:
            None where that does not happen within the measured numbers.
        """
        numbers = np.arange(self.times.nodes[0], self.times.nodes[-1] + 1, dtype=np.float64)
        value = _first_lost(self.ms(numbers)[None, :], margin)
        drawn = _first_lost(self.drawn @ self.law.terms(numbers).T, margin)
        low, high = np.quantile(drawn, _ends(), method="inverted_cdf")
        found = Interval(*(float(numbers[int(at)]) for at in (value[0], low, high)))
        return found if found.low < numbers[-1] else None


def fitted(law: Law, times: Times, margin: float, seed: int = 1) -> Fit:
    """Fit a law to times on enough numbers of nodes (see `enough`).

    Args:
        law: which.
        times: of a series.
        margin: relative difference below which two speeds are the same: a smaller residual
            does not speak against a law.
        seed: of the draws.
    """
    strayed = np.exp(times.distances(seed))
    parts = _parts(law, times.nodes, times.ms[None, :])[0]
    if_true = (law.terms(np.asarray(times.nodes, dtype=np.float64)) @ parts) * strayed
    return Fit(
        law=law,
        times=times,
        parts=parts,
        drawn=_parts(law, times.nodes, times.ms * strayed),
        residual=_worst(_residuals, law, times, if_true, margin),
        left_out=_worst(_left_out, law, times, if_true, MOST_LEFT_OUT),
    )


def _parts(law: Law, nodes: Sequence[int], ms: Floats) -> Floats:
    """Fit several sets of times: those parts, none below 0, with the least relative errors.

    The best of all is the best without a bound on the parts that are not 0 in it (C. L. Lawson &
    R. J. Hanson, "Solving Least Squares Problems", 1974, 23). There are few choices of them, so
    each is tried.

    Args:
        law: which.
        nodes: the numbers of nodes.
        ms: sets by numbers.

    Returns:
        Sets by parts.
    """
    terms = law.terms(np.asarray(nodes, dtype=np.float64))
    relative = terms[None, :, :] / ms[:, :, None]
    best = np.zeros((len(ms), law.parts))
    least = np.full(len(ms), np.inf)
    for size in range(1, min(law.parts, len(nodes)) + 1):
        for chosen in itertools.combinations(range(law.parts), size):
            some = relative[:, :, chosen]
            sides = some.sum(axis=1)[:, :, None]
            found = np.linalg.solve(some.transpose(0, 2, 1) @ some, sides)[:, :, 0]
            errors = ((some @ found[:, :, None])[:, :, 0] - 1) ** 2
            off = np.where((found >= 0).all(axis=1), errors.sum(axis=1), np.inf)
            better = off < least
            best[better] = 0.0
            best[np.ix_(better, np.asarray(chosen))] = found[better]
            least = np.minimum(least, off)
    return best


def _residuals(law: Law, nodes: Sequence[int], ms: Floats) -> Floats:
    """Relative distance of each time from the law that is fitted to all of its set."""
    terms = law.terms(np.asarray(nodes, dtype=np.float64))
    return np.abs(_parts(law, nodes, ms) @ terms.T / ms - 1)


def _left_out(law: Law, nodes: Sequence[int], ms: Floats) -> Floats:
    """Relative error of each time as the law predicts it from the others of its set."""
    terms = law.terms(np.asarray(nodes, dtype=np.float64))
    errors = []
    for place in range(len(nodes)):
        others = [other for other in range(len(nodes)) if other != place]
        parts = _parts(law, [nodes[other] for other in others], ms[:, others])
        errors.append(np.abs(parts @ terms[place] / ms[:, place] - 1))
    return np.stack(errors, axis=1)


def _worst(
    miss: Callable[[Law, Sequence[int], Floats], Floats],
    law: Law,
    times: Times,
    if_true: Floats,
    allowed: float,
) -> Miss:
    """Where a law misses most, next to how much it misses draws from a run in which it is true."""
    found = miss(law, times.nodes, times.ms[None, :])[0]
    noise = miss(law, times.nodes, if_true).max(axis=1)
    place = int(found.argmax())
    return Miss(times.nodes[place], float(found[place]), float(np.quantile(noise, _NOISE)), allowed)


def _first_lost(ms: Floats, margin: float) -> npt.NDArray[np.int64]:
    """Place of the first number whose next one is not a margin faster; the last if there is none.

    Args:
        ms: sets by numbers of nodes, one after the other.
        margin: relative.
    """
    lost = np.ones(ms.shape, dtype=bool)
    lost[:, :-1] = ms[:, :-1] < (1 + margin) * ms[:, 1:]
    first: npt.NDArray[np.int64] = lost.argmax(axis=1)
    return first


def _serial(parts: Floats) -> Floats:
    whole = parts[:, 0] + parts[:, 1]
    return np.divide(parts[:, 0], whole, out=np.ones_like(whole), where=whole > 0)


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, _ends())
    return Interval(value, float(low), float(high))


def _ends() -> tuple[float, float]:
    return (1 - LEVEL) / 2, (1 + LEVEL) / 2
