"""The laws of each series of a run, or why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analysis.cells.scaling import Scaling
from analysis.model.draws import Times, times_of
from analysis.model.laws import Fit, Law, enough, fitted
from analysis.statistics.stats import FEWEST

TIME = "decode_ms_per_token"


@dataclass(frozen=True, slots=True)
class LawsOf:
    """What the laws make of a series.

    Attributes:
        counted: the numbers of nodes with enough trials.
        thin: the numbers that were measured too seldom, or not yet, or never with success.
        times: of the counted ones; None where they are too few for any law.
        fits: the laws that could be fitted, those that do not describe the data included.
        lacking: law to why there are too few numbers of nodes for it.
    """

    scaling: Scaling
    counted: tuple[int, ...]
    thin: tuple[int, ...]
    times: Times | None
    fits: Mapping[Law, Fit]
    lacking: Mapping[Law, str]

    @property
    def best(self) -> Fit | None:
        """The law with the fewest parts that describes the data; None if neither does."""
        return next((fit for fit in self.fits.values() if not fit.misses), None)


def laws_of(scalings: Iterable[Scaling], margin: float) -> tuple[LawsOf, ...]:
    """Fit the laws to every series that was measured on several numbers of nodes.

    Args:
        scalings: of a run.
        margin: relative difference below which two speeds are the same.
    """
    return tuple(
        _laws(scaling, measured, margin)
        for scaling in scalings
        if len(measured := _measured(scaling)) > 1
    )


def _measured(scaling: Scaling) -> dict[int, Mapping[int, float]]:
    """Number of nodes to block to ms, of the numbers whose times are known."""
    points = {point.nodes: point.cell.by_block(TIME) for point in scaling.points}
    return {nodes: own for nodes, own in points.items() if own}


def _laws(scaling: Scaling, measured: Mapping[int, Mapping[int, float]], margin: float) -> LawsOf:
    counted = {nodes: own for nodes, own in measured.items() if len(own) >= FEWEST}
    planned = {cell.nodes for cell in scaling.series.cells if cell.record.unavailable is None}
    thin = tuple(sorted(planned - set(counted)))
    lacking = {law: why for law in Law if (why := enough(law, counted, thin))}
    times = times_of(counted) if len(lacking) < len(Law) else None
    return LawsOf(
        scaling=scaling,
        counted=tuple(counted),
        thin=thin,
        times=times,
        fits={law: fitted(law, times, margin) for law in Law if times and law not in lacking},
        lacking=lacking,
    )
