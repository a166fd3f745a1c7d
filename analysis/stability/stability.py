"""Whether a run was steady: trends, two speeds, outliers, and how its nodes fared meanwhile."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.scaling import DECODE
from analysis.cells.series import Series, thing
from analysis.statistics import steadiness
from analysis.statistics.proportions import holm
from analysis.statistics.steadiness import LEAST_CHANGE, LEAST_TREND, Apart, Modes, Trend
from analysis.text.sentence import say, together
from analysis.text.wording import nodes, number, percent, plural

LEVEL = 0.025
"""Of each warning for a whole run: a steady one raises it once in forty times at most."""
VARIES = 0.10
"""Coefficient of variation from which a cell counts as unstable (as pyperf has it)."""
FEWEST_TO_VARY = 3
TRUSTED = (
    "Speed-ups pair the trials of a block and are still right; tokens/s depend on when they were "
    "measured."
)
SLOWED = (
    "The whole run became {change} slower from its first block to its last (rank correlation "
    "{rho})."
)
SPED_UP = (
    "The whole run became {change} faster from its first block to its last (rank correlation "
    "{rho})."
)
LET_REST = (
    "Look for heat, another load or memory filling up on the nodes, let them rest, and run again."
)
FASTER_LATER = (
    "Look for what slowed down the nodes at first, such as another load that ended, a clock that "
    "rose, or files that were read for the first time, and run again."
)
CELL_SLOWED = "{cell} becomes {change} slower from its first block to its last."
CELL_SPED_UP = "{cell} becomes {change} faster from its first block to its last."
CELL_MODES = "{cell} has two speeds: {lower} around {low} and {upper} around {high} tokens/s."
CELL_OUTLIER = "{cell} has an outlier: one trial with {value} tokens/s; the median is {median}."
CELL_VARIES = "{cell} varies by {cv} from trial to trial (standard deviation over mean)."
OTHERS = "The same applies to {cells}."


@dataclass(frozen=True, slots=True)
class Steady:
    """What the repeats of a cell show.

    Attributes:
        odd: what is odd about it, in the words of the table; empty if nothing is.
    """

    series: Series
    cell: CellResult
    by_block: dict[int, float]
    variation: float
    trend: Trend | None
    modes: Modes | None
    apart: Apart | None
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stability:
    """What the section on stability says.

    Attributes:
        common: the trend that all cells share; None with too few blocks.
        cells: every cell with two trials or more.
        sentences: what is odd, each with what to do about it.
    """

    common: Trend | None
    cells: tuple[Steady, ...]
    sentences: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """A row a cell, shares as numbers from 0; `change` is from the first block to the last."""
        rows = [
            {
                "model": one.series.model,
                "series": one.series.panel_label,
                "nodes": one.cell.nodes,
                "trials": len(one.by_block),
                "variation": one.variation,
                "slowest_over_median": _slowest(one),
                "change": one.trend and one.trend.change,
                "rank_correlation": one.trend and one.trend.rho,
                "odd": ", ".join(one.odd),
            }
            for one in self.cells
        ]
        columns = (
            "model", "series", "nodes", "trials", "variation", "slowest_over_median", "change",
            "rank_correlation", "odd",
        )  # fmt: skip
        return pd.DataFrame(rows, columns=list(columns))


def stability_of(all_series: Sequence[Series]) -> Stability:
    """Look through the repeats of every cell for what independent repeats do not show."""
    cells = [
        _steady(series, cell, values)
        for series in all_series
        for cell in series.measured
        if len(values := cell.by_block(DECODE)) > 1 and min(values.values()) > 0
    ]
    common = steadiness.common_trend([one.by_block for one in cells])
    drifts = common if common and _is_trend(common, common.p_value) else None
    marked = _marked(cells)
    found = (
        _all_drift(drifts),
        _told(marked, all_series, "drifts", _drift) if drifts is None else "",
        _told(marked, all_series, "two speeds", _two_speeds),
        _told(marked, all_series, "outlier", _outlier),
        _told(marked, all_series, "unstable", _unstable) if drifts is None else "",
    )
    return Stability(common, tuple(marked), tuple(sentence for sentence in found if sentence))


def _steady(series: Series, cell: CellResult, values: dict[int, float]) -> Steady:
    listed = list(values.values())
    return Steady(
        series=series,
        cell=cell,
        by_block=values,
        variation=statistics.stdev(listed) / statistics.fmean(listed),
        trend=steadiness.trend(values),
        modes=steadiness.modes(listed),
        apart=steadiness.apart(listed),
    )


def _is_trend(found: Trend, p_value: float) -> bool:
    return p_value < LEVEL and abs(found.change) >= LEAST_TREND


def _marked(cells: Sequence[Steady]) -> list[Steady]:
    """The cells with what is odd about each, corrected for how many there are."""
    of_trend, of_modes, of_apart = (
        iter(holm([found.p_value for one in cells if (found := getattr(one, kind)) is not None]))
        for kind in ("trend", "modes", "apart")
    )
    marked = []
    for one in cells:
        odd = []
        if one.trend and _is_trend(one.trend, next(of_trend)):
            odd.append("drifts")
        if one.modes and next(of_modes) < LEVEL and one.modes.high / one.modes.low > _FACTOR:
            odd.append("two speeds")
        if one.apart and next(of_apart) < LEVEL and _is_far(one.apart) and not odd:
            odd.append("outlier")
        if len(one.by_block) >= FEWEST_TO_VARY and one.variation >= VARIES and not odd:
            odd.append("unstable")
        marked.append(replace(one, odd=tuple(odd)))
    return marked


_FACTOR = 1 + LEAST_CHANGE


def _is_far(found: Apart) -> bool:
    ratio = found.value / found.median
    return max(ratio, 1 / ratio) > _FACTOR


def _slowest(one: Steady) -> float:
    """How many times the median's time the slowest trial took."""
    values = pd.Series(one.by_block, dtype=float)
    return float(values.median() / values.min())


def _all_drift(found: Trend | None) -> str:
    if found is None:
        return ""
    drift = SLOWED if found.change < 0 else SPED_UP
    return together(
        [
            say(drift, change=percent(abs(found.change)), rho=f"{found.rho:.2f}"),
            say(TRUSTED),
            say(LET_REST if found.change < 0 else FASTER_LATER),
        ]
    )


def _told(
    cells: Sequence[Steady],
    all_series: Sequence[Series],
    kind: str,
    words: Callable[[Steady, str], tuple[float, str]],
) -> str:
    """The sentence on what is odd in that way: the gravest cell, and how many more there are."""
    odd = [one for one in cells if kind in one.odd]
    if not odd:
        return ""
    told = [
        words(
            one,
            say(
                "{thing} on {nodes}",
                thing=thing(one.series, all_series),
                nodes=nodes(one.cell.nodes),
            ),
        )
        for one in odd
    ]
    sentence = max(told, key=lambda pair: pair[0])[1]
    others = say(OTHERS, cells=plural(len(odd) - 1, "more cell")) if odd[1:] else ""
    return together([sentence, others, *map(say, REMEDIES[kind])])


ONLY_THAT_CELL = (
    "Look for what differs for that cell alone, such as the heat of more nodes, and run again."
)
NO_MEDIAN = "The median is then a speed that hardly any trial has."
IN_COMMON = (
    "Look in the chart over time for what the slow trials have in common (clock, governor, another "
    "process, a link), and run again."
)
NOT_LEFT_OUT = "No trial is left out for that."
WHAT_HAPPENED = "Look in the chart over time for what happened then, and plan more repeats."
DISTURBANCE = "Plan more repeats, or look for what disturbs: another process, heat, the link."
REMEDIES = {
    "drifts": (TRUSTED, ONLY_THAT_CELL),
    "two speeds": (NO_MEDIAN, IN_COMMON),
    "outlier": (NOT_LEFT_OUT, WHAT_HAPPENED),
    "unstable": (DISTURBANCE,),
}
"""What to do about each, the last of its sentences."""


def _drift(one: Steady, name: str) -> tuple[float, str]:
    change = one.trend.change if one.trend else 0.0
    drift = CELL_SLOWED if change < 0 else CELL_SPED_UP
    return abs(change), say(drift, cell=name, change=percent(abs(change)))


def _two_speeds(one: Steady, name: str) -> tuple[float, str]:
    found = one.modes
    if found is None:
        return 0.0, ""
    return found.high / found.low, say(
        CELL_MODES,
        cell=name,
        lower=plural(found.lower, "trial"),
        low=number(found.low),
        upper=found.upper,
        high=number(found.high),
    )


def _outlier(one: Steady, name: str) -> tuple[float, str]:
    found = one.apart
    if found is None:
        return 0.0, ""
    ratio = found.value / found.median
    return max(ratio, 1 / ratio), say(
        CELL_OUTLIER, cell=name, value=number(found.value), median=number(found.median)
    )


def _unstable(one: Steady, name: str) -> tuple[float, str]:
    return one.variation, say(CELL_VARIES, cell=name, cv=percent(one.variation))
