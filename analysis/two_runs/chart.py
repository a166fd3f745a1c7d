"""The chart of two runs: each cell's speed against the baseline, with its interval."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.cells.family import Claim
from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.statistics.stats import Ratio
from analysis.text.sentence import reshaped, say
from analysis.text.wording import listing, number, ratio, within
from analysis.two_runs.speeds import SpeedChange

MOST = 40
"""Cells that are drawn."""
WIDE = 4
"""Times as large as the least ratio, from which the axis is logarithmic."""
ROW_IN, LINE_IN, HEAD_IN = 0.34, 0.13, 0.9
NAME_CHARACTERS = 36
"""Of a line of a cell's name."""
READ = (
    "Right of the line is faster. The band is {margin}, which counts as the same. Bars are 95 % "
    "intervals, with how far two runs of the same differ. Filled: said to be faster or slower."
)
TITLE = "Against the baseline: {what}"
TOLD, ALL_TOLD = "{cell}: {ratio}", "{cells}."
AXIS = "times as fast as the baseline"
CUT = "The {most} cells that differ most are drawn."
COLUMNS = ("cell", "ratio", "low", "high", "verdict")


def speed_chart(what: str, found: Sequence[SpeedChange], margin: float) -> Chart | None:
    """Make the chart of one quantity; None where no cell has it.

    Args:
        what: the quantity.
        found: what became of it in each cell.
        margin: relative difference below which two speeds count as the same.
    """
    if not found:
        return None
    most = sorted(found, key=lambda one: -abs(one.means.log))[:MOST]
    drawn = [one for one in found if one in most]
    data = pd.DataFrame(map(_row, drawn), columns=list(COLUMNS))
    parts = [say(READ, margin=within(margin)), say(CUT, most=MOST) if len(found) > MOST else ""]
    told = [say(TOLD, cell=one.asked.name, ratio=_ratio(one.means.ratio)) for one in drawn]
    return Chart(
        name=f"speeds-{what.replace('/', '-per-').replace(' ', '-')}",
        title=say(TITLE, what=what),
        understanding=" ".join(filter(None, parts)),
        data=data,
        draw=partial(_figure, drawn, margin),
        description=say(ALL_TOLD, cells=listing(told)),
    )


def _figure(drawn: Sequence[SpeedChange], margin: float) -> Figure:
    with mpl.rc_context(dict(style.RC)):
        lines = max(_name(one).count("\n") for one in drawn)
        size = (style.WIDTH_IN, HEAD_IN + (ROW_IN + LINE_IN * lines) * len(drawn))
        figure = Figure(figsize=size, layout="constrained")
        _draw(figure.add_subplot(xlabel=AXIS), drawn, margin)
    return figure


def _name(one: SpeedChange) -> str:
    """The name of a cell, on as many lines as it takes."""
    return reshaped(one.asked.name, lambda text: textwrap.fill(text, NAME_CHARACTERS))


def _ratio(found: Ratio) -> str:
    return ratio(found) if found.low is not None else number(found.value)


def _row(one: SpeedChange) -> tuple[object, ...]:
    found = one.means.ratio
    return one.asked.name, found.value, found.low, found.high, str(one.compared.finding)


def _draw(axes: Axes, drawn: Sequence[SpeedChange], margin: float) -> None:
    axes.axvspan(1 / (1 + margin), 1 + margin, color=style.MUTED, alpha=0.15, linewidth=0)
    axes.axvline(1.0, color=style.MUTED, linewidth=1)
    for place, one in enumerate(drawn):
        found, at = one.means.ratio, -place
        is_said = one.compared.finding in (Claim.FASTER, Claim.SLOWER)
        colour = style.PALETTE[1 if one.compared.finding is Claim.SLOWER else 0]
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [at, at], color=colour, linewidth=1.5)
        face = colour if is_said else style.PAPER
        axes.scatter([found.value], [at], s=36, facecolors=face, edgecolors=colour, zorder=3)
    axes.set_yticks([-place for place in range(len(drawn))], [_name(one) for one in drawn])
    ratios = [one.means.ratio.value for one in drawn]
    if max(ratios) / min(ratios) > WIDE:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(value, 3)))
    axes.grid(visible=True, axis="x")
    axes.margins(y=0.6 / max(1, len(drawn)))
