"""Where the cost model applies, and why it is refused elsewhere.

A fit that cannot predict the cells it did not see is not used, however well it follows the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.model.cost import Observation
from analysis.model.fit import LEVEL, CostFit, fit_of
from analysis.model.posterior import Priors
from analysis.model.wire import is_chain
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing, nodes, number, percent, plural

FEWEST_COUNTS = 3
"""Numbers of nodes below which no cell can be left out."""
ENOUGH_COUNTS = 4
"""Numbers of nodes from which errors of cells left out say something about further ones."""
MOST_ERROR = 0.10
"""Median relative error of cells left out from which a fit is refused."""
WORST_ERROR = 0.25
"""Relative error of a cell that the fit saw, from which the formula does not describe it."""
UNLIKELY = 0.05
"""Chance of a coverage so low, were the intervals right, below which a fit is refused."""
MOST_SHOWN = 10.0
"""Relative error above which a larger one says no more."""
LEAST_CHANCE = 0.001
"""Of those that are printed as a number."""

TOO_FEW = (
    "No fit: {cells} on {counts}. At least three numbers of nodes are needed to see whether the "
    "model describes them."
)
ERRS = (
    "Refused: of {cells}, each predicted from the other numbers of nodes, half are off by more "
    "than {error} (at most {most} is allowed)."
)
UNCOVERED = (
    "Refused: the 90 % intervals hold {covered} of {cells} that were left out; were they right, "
    "so few would be a chance of {chance}."
)
HARDLY_ANY = "less than 0.1 %"
SLOW_END = (
    "Refused: {model} takes {measured} ms on {nodes}. By the cells with fewer nodes it would be "
    "{predicted} ms ({low} to {high}). A machine or a link that takes part only there may be slow, "
    "which a fit of a chain cannot distinguish from latency. Measure each machine alone (`on: "
    "[each, first]`), and the links by `fab probe`."
)
ODD_TOTAL = (
    "Refused: {cell} takes {measured} ms, and the fit to all cells gives about {fitted} ms there."
)
ODD_SYNC = (
    "Refused: the time for synchronising {model} does not follow from steps and bytes: {series}. "
    "The formula gives {fitted}. Look for lost packets, for a switch that cannot take several "
    "senders at once, and at the speed of each link."
)
ODD_COMPUTING = (
    "Refused: the time for computing {model} does not follow from its weights and the number of "
    "nodes: {series}. The formula gives {fitted}. Look for a node that slows down when it is hot, "
    "for memory that belongs to another processor socket, and for slices that fit into a cache."
)


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """What came of an attempt to fit.

    Attributes:
        fit: it, also where it is refused; None where there was nothing to fit.
        refusals: why it must not be used, a sentence each; empty if it may.
    """

    fit: CostFit | None
    refusals: tuple[Sentence, ...]

    @property
    def holds(self) -> bool:
        """Whether the fit may be used."""
        return self.fit is not None and not self.refusals


def fit_judged(
    observations: Sequence[Observation],
    version: str | None = None,
    priors: Priors | None = None,
    device: str | None = None,
) -> FitOutcome:
    """Fit the cells of one wire on one set of machines, and say whether that may be used.

    Args:
        observations: the cells.
        version: of the engine.
        priors: what a probe knows.
        device: what computed, `cpu` or `gpu`.
    """
    counts = sorted({one.setting.nodes for one in observations})
    if len(counts) < FEWEST_COUNTS:
        template = "{counts} node" if counts == [1] else "{counts} nodes"
        told = say(template, counts=listing([str(count) for count in counts]))
        return FitOutcome(
            None, (say(TOO_FEW, cells=plural(len(observations), "cell"), counts=told),)
        )
    fit = fit_of(observations, version, priors, device=device)
    return FitOutcome(fit, tuple(_refusals(fit)))


def _refusals(fit: CostFit) -> Iterator[Sentence]:
    cells = plural(len(fit.left_out), "cell")
    yield from _odd(fit)
    yield from _slow_end(fit)
    if fit.median_error > MOST_ERROR:
        is_close = percent(fit.median_error) == percent(MOST_ERROR)
        shown = percent(min(fit.median_error, MOST_SHOWN))
        error = f"{100 * fit.median_error:.2f} %" if is_close else shown
        yield say(ERRS, cells=cells, error=error, most=percent(MOST_ERROR))
    chance = chance_of_coverage(fit)
    if chance < UNLIKELY:
        covered = sum(one.is_covered for one in fit.left_out)
        told = say(HARDLY_ANY) if chance < LEAST_CHANCE else percent(chance)
        yield say(UNCOVERED, covered=covered, cells=cells, chance=told)


def chance_of_coverage(fit: CostFit) -> float:
    """The chance of no more cells in their 90 % intervals than are, were the intervals right."""
    return _at_most(sum(one.is_covered for one in fit.left_out), len(fit.left_out))


def _at_most(hits: int, tries: int) -> float:
    """The chance of no more hits, were each as likely as the level says."""
    return sum(math.comb(tries, k) * LEVEL**k * (1 - LEVEL) ** (tries - k) for k in range(hits + 1))


def _slow_end(fit: CostFit) -> Iterator[Sentence]:
    """Say where a chain on the most nodes is slower than fewer nodes let expect.

    One cell in four that is far off changes no median, and steps and latency bend to it.
    """
    last = [one for one in fit.left_out if one.observation.setting.nodes == fit.counts[-1]]
    slow = [one for one in last if one.observation.total_ms > one.high_ms]
    off = [one for one in slow if one.error > MOST_ERROR]
    if is_chain(fit.observations[0].setting.wire) and 2 * len(off) > len(last):
        worst = max(off, key=lambda one: one.error)
        yield say(
            SLOW_END,
            model=worst.observation.model,
            nodes=nodes(fit.counts[-1]),
            measured=number(worst.observation.total_ms),
            predicted=number(worst.predicted_ms),
            low=number(worst.low_ms),
            high=number(worst.high_ms),
        )


def _odd(fit: CostFit) -> Iterator[Sentence]:
    """Yield what is wrong with the worst cell, where it is far from what was fitted to it."""
    pairs = list(zip(fit.observations, fit.inner, strict=True))
    off = [abs(math.log(inner / one.total_ms)) for one, inner in pairs]
    worst = max(range(len(off)), key=off.__getitem__)
    if off[worst] <= math.log(1 + WORST_ERROR):
        return
    cell = fit.observations[worst]
    if not fit.apart or cell.sync_ms is None:
        told = say("{model} on {nodes}", model=cell.model, nodes=nodes(cell.setting.nodes))
        measured, fitted = number(cell.total_ms), number(fit.inner[worst])
        yield say(ODD_TOTAL, cell=told, measured=measured, fitted=fitted)
        return
    yield _odd_part(fit, worst, cell.sync_ms)


def _odd_part(fit: CostFit, worst: int, sync_ms: float) -> Sentence:
    """Say which part of a cell is further from what was fitted: computing or synchronising."""
    cell, inner, inner_sync = fit.observations[worst], fit.inner[worst], fit.inner_sync[worst]
    off_sync = abs(inner_sync - sync_ms)
    off_computing = abs((inner - inner_sync) - (cell.total_ms - sync_ms))
    is_sync = off_sync >= off_computing
    parts = [
        (one, one.sync_ms, synced) if is_sync else (one, one.total_ms - one.sync_ms, both - synced)
        for one, both, synced in zip(fit.observations, fit.inner, fit.inner_sync, strict=True)
        if one.model == cell.model and one.sync_ms is not None
    ]
    told = [one for one in parts if one[0].setting.nodes > 1 or not is_sync]
    series = [
        say("{ms} ms on {nodes}", ms=number(ms), nodes=nodes(one.setting.nodes))
        for one, ms, _ in told
    ]
    return say(
        ODD_SYNC if is_sync else ODD_COMPUTING,
        model=cell.model,
        series=listing(series),
        fitted=say("{found} ms", found=listing([number(ms) for _, _, ms in told])),
    )
