"""Speed over nodes with the laws that were fitted to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.cells.scaling import DECODE
from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.model.laws import Law
from analysis.model.of_series import LawsOf
from analysis.text.sentence import say, together
from analysis.text.wording import nodes, number

YES, NO = "yes", "no"
MARK, IDEAL = "measured", "ideal"
IN_A_SENTENCE = {Law.AMDAHL: "Amdahl's law", Law.USL: "the universal scalability law"}
KINDS = {Law.AMDAHL: "Amdahl", Law.USL: "universal"}
LOOKS: dict[Law, tuple[str, style.Dash]] = {
    Law.AMDAHL: (style.PALETTE[0], "-"),
    Law.USL: (style.PALETTE[1], (0, (4, 1.5))),
}
MOST_PANELS = 6
MOST_POINTS = 17
"""Numbers of nodes for which a law is drawn."""
READ = (
    "Marks are medians with their intervals, lines are the laws, bands their 90 % intervals. The "
    "dashed grey line is ideal: n times the nodes, n times the speed. Both axes are in doublings."
)
REFUSED = "A thin line without a band is a law that does not describe the series."
CUT = "{drawn} of {all} series are drawn. All are in the CSV."
SAID = "{series}: {speeds}."
ONE_SAID = "{least} tokens/s on {fewest} and {most} on {largest} by {law}"
COLUMNS = ("model", "series", "nodes", "line", "value", "low", "high", "describes")


def law_chart(found: Sequence[LawsOf]) -> Chart | None:
    """Make the chart of all series to which a law was fitted; None if there is none."""
    fitted = [laws for laws in found if laws.fits]
    if not fitted:
        return None
    data = pd.DataFrame([row for laws in fitted for row in _rows(laws)], columns=list(COLUMNS))
    drawn = fitted[:MOST_PANELS]
    misses = any(fit.misses for laws in fitted for fit in laws.fits.values())
    cut = say(CUT, drawn=len(drawn), all=len(fitted)) if len(drawn) < len(fitted) else ""
    return Chart(
        name="laws-over-nodes",
        title="Speed over nodes and the laws",
        understanding=together([say(READ), say(REFUSED) if misses else "", cut]),
        data=data,
        draw=partial(_figure, data, drawn),
        description=together([_said(laws) for laws in drawn]),
    )


def _rows(laws: LawsOf) -> Iterator[dict[str, Any]]:
    series = laws.scaling.series
    head = {"model": series.model, "series": series.panel_label}
    for point in laws.scaling.points:
        if speed := point.cell.estimate(DECODE):
            ends = {"low": speed.low, "high": speed.high}
            yield {**head, "nodes": point.nodes, "line": MARK, "value": speed.value, **ends}
    numbers = _numbers(laws.counted[0], laws.counted[-1])
    for law, fit in laws.fits.items():
        speeds = 1000 / fit.ms(numbers)
        slow, fast = (1000 / end for end in fit.band(numbers)[::-1])
        for at, count in enumerate(numbers):
            ends = {"low": slow[at], "high": fast[at]}
            line = {"line": KINDS[law], "value": speeds[at], "describes": NO if fit.misses else YES}
            yield {**head, "nodes": int(count), **line, **ends}
    base = laws.scaling.baseline
    if speed := base.estimate(DECODE):
        for count in (base.nodes, laws.scaling.points[-1].nodes):
            ideal = speed.value * count / base.nodes
            yield {**head, "nodes": count, "line": IDEAL, "value": ideal}


def _numbers(first: int, last: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The numbers of nodes for which a law is drawn: all, or so many in equal doublings."""
    if last - first < MOST_POINTS:
        return np.arange(first, last + 1, dtype=np.float64)
    return np.unique(np.geomspace(first, last, MOST_POINTS).round())


def _figure(data: pd.DataFrame, drawn: Sequence[LawsOf]) -> Figure:
    with mpl.rc_context(dict(style.RC)):
        size = (style.WIDTH_IN, style.PANEL_IN * len(drawn) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(drawn), 1, squeeze=False)
        for laws, axes in zip(drawn, grid[:, 0], strict=True):
            series = laws.scaling.series
            own = data[(data["model"] == series.model) & (data["series"] == series.panel_label)]
            _panel(axes, own)
            if len(drawn) > 1:
                axes.set_title(
                    style.cut_to_fit(
                        say(
                            "{model}, {panel_label}",
                            model=series.model,
                            panel_label=series.panel_label,
                        )
                    )
                )
        figure.legend(handles=_legend(), loc="outside upper left", ncols=2)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    ideal = rows[rows["line"] == IDEAL]
    axes.plot(ideal["nodes"], ideal["value"], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for law, (color, dash) in LOOKS.items():
        own = rows[rows["line"] == KINDS[law]]
        describes = bool((own["describes"] == YES).all())
        width = 1.6 if describes else 0.8
        axes.plot(own["nodes"], own["value"], color=color, linestyle=dash, linewidth=width)
        if describes and not own.empty:
            low, high = (own[end].astype(float) for end in ("low", "high"))
            axes.fill_between(own["nodes"], low, high, color=color, alpha=0.15, linewidth=0)
    marks = rows[rows["line"] == MARK]
    axes.vlines(marks["nodes"], marks["low"], marks["high"], color=style.INK, linewidth=2)
    axes.plot(marks["nodes"], marks["value"], "o", color=style.INK, markersize=5)
    _doublings(axes, marks)


def _doublings(axes: Axes, marks: pd.DataFrame) -> None:
    """Both axes in doublings; ticks at the measured numbers of nodes."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator([float(nodes) for nodes in marks["nodes"]]))
    low, high = axes.get_ylim()
    steps = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    axes.yaxis.set_major_locator(FixedLocator([2.0**step for step in steps]))
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("nodes")
    axes.set_ylabel("tokens/s")


def _legend() -> list[Line2D]:
    marks = Line2D([], [], color=style.INK, marker="o", linestyle="", label=MARK)
    ideal = Line2D([], [], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), label=IDEAL)
    lines = [
        Line2D([], [], color=color, linestyle=dash, linewidth=1.6, label=str(law))
        for law, (color, dash) in LOOKS.items()
    ]
    return [marks, ideal, *lines]


def _said(laws: LawsOf) -> str:
    ends = np.array([laws.counted[0], laws.counted[-1]], dtype=np.float64)
    told = [
        say(
            ONE_SAID,
            law=IN_A_SENTENCE[law],
            least=number(1000 / fit.ms(ends)[0]),
            most=number(1000 / fit.ms(ends)[1]),
            fewest=nodes(laws.counted[0]),
            largest=nodes(laws.counted[-1]),
        )
        for law, fit in laws.fits.items()
    ]
    return say(SAID, series=laws.scaling.series.label, speeds=together(told, "; "))
