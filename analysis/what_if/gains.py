"""What would help most: how many times as fast a token is with one thing changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pandas as pd

from analysis.model.cost import Floats, Observation
from analysis.model.fit import CostFit
from analysis.text.sentence import Sentence, say
from analysis.text.wording import count
from analysis.what_if.answer import cannot, ends_of, offered, times_as_fast
from analysis.what_if.basis import Basis, usable
from analysis.what_if.supposed import Link, Supposed, setting_of

FEWEST_BITS = "q4_0"
MEMORY = "memory twice as fast"
PROCESSOR = "processors twice as fast"
LINK = "links ten times as fast"
LATENCY = "half the latency of a step"
WAITING = "no waiting for the slowest node"
NODES = "{more} nodes instead of {nodes}"
WEIGHTS = "{fewer} weights instead of {weights}"
FASTER = {
    MEMORY: Supposed(memory=2.0),
    PROCESSOR: Supposed(processor=2.0),
    LINK: Supposed(link=Link(times=10.0)),
    LATENCY: Supposed(latency=0.5),
}
OF_COMPUTING = (MEMORY, PROCESSOR)
"""Changes whose gains depend on how computing divides into memory and arithmetic."""
NOTHING = 1e-3
"""Relative change from which something changes nothing."""
COLUMNS = (
    "engine", "series", "model", "weights", "nodes", "change", "times", "times_low", "times_high",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gain:
    """One thing changed, with all else as in the fastest measured cell.

    Attributes:
        basis: whose fit it is.
        start: that cell.
        change: what is changed, in words.
        more_nodes: how many nodes instead, where that is what changes; 0 for another change.
        times: how many times as fast, the median.
        low: lower end of the 90 % interval.
        high: upper end.
    """

    basis: Basis
    start: Observation
    change: Sentence
    more_nodes: int
    times: float
    low: float
    high: float

    @property
    def is_assumed_apart(self) -> bool:
        """The cells give memory and arithmetic together, and how they divide is only assumed."""
        fit = self.basis.fit
        is_apart = fit is not None and "arithmetic" not in fit.unknown()
        return self.change in OF_COMPUTING and not is_apart


def gains_of(bases: Iterable[Basis]) -> tuple[Gain, ...]:
    """Work out what would help each model with each type of weights, the most helpful first."""
    return tuple(
        gain
        for basis, fit in usable(bases)
        for start in _starts(basis)
        for gain in sorted(_gains(basis, fit, start), key=lambda one: -one.times)
    )


def _starts(basis: Basis) -> list[Observation]:
    """The fastest cell of each model and type of weights."""
    found: dict[tuple[str, str], Observation] = {}
    for one in basis.measured:
        key = (one.model, one.setting.weights)
        if key not in found or one.total_ms < found[key].total_ms:
            found[key] = one
    return list(found.values())


def _gains(basis: Basis, fit: CostFit, start: Observation) -> Iterator[Gain]:
    usual = start.setting
    as_now = Supposed(start.model, usual.nodes, usual.weights)
    asked = {
        say(words): replace(change, model=start.model, nodes=usual.nodes, weights=usual.weights)
        for words, change in FASTER.items()
    }
    more = 2 * usual.nodes
    asked[say(NODES, more=count(more), nodes=count(usual.nodes))] = replace(as_now, nodes=more)
    if usual.weights != FEWEST_BITS and FEWEST_BITS in offered(basis, usual):
        words = say(WEIGHTS, fewer=FEWEST_BITS, weights=usual.weights)
        asked[words] = replace(as_now, weights=FEWEST_BITS)
    before = setting_of(basis, as_now)
    for words, question in asked.items():
        after = setting_of(basis, question)
        if not cannot(basis, fit, after):
            count_now = after.nodes if after.nodes != usual.nodes else 0
            times = times_as_fast(fit, before, after)
            yield from _gain(basis, start, words, times, count_now)
    without = times_as_fast(fit, before, before, ("waiting",))
    yield from _gain(basis, start, say(WAITING), without, 0)


def _gain(
    basis: Basis, start: Observation, change: Sentence, times: Floats, more_nodes: int
) -> Iterator[Gain]:
    """A gain, unless it changes nothing."""
    middle, low, high = ends_of(times)
    if max(abs(low - 1), abs(high - 1)) > NOTHING:
        yield Gain(basis, start, change, more_nodes, middle, low, high)


def gain_frame(gains: Iterable[Gain]) -> pd.DataFrame:
    """`what-would-help.csv`: a row for each."""
    rows = [
        (
            one.basis.engine, one.basis.label, one.start.model, one.start.setting.weights,
            one.start.setting.nodes, str(one.change), one.times, one.low, one.high,
        )
        for one in gains
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def starting_from(gain: Gain) -> str:
    """`four nodes`, with what distinguishes the cells of the fit where the engine has several."""
    said = gain.basis.who(gain.start.setting)
    label = gain.basis.label
    return said if label == gain.basis.engine else say("{said} ({label})", said=said, label=label)
