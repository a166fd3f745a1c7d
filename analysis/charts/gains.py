"""What would help most, as bars from 1: a tornado chart for each model."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.text.sentence import say, together
from analysis.text.wording import listing, nodes, number

MOST_DRAWN = 6
"""Panels."""
TITLE = "What would help most"
READ = (
    "How many times as fast a token would be with one thing changed, by the cost model, and all "
    "else as in the fastest measured cell. The line is the 90 % interval. A bar to the left of 1 "
    "is slower. No change of links or waiting counts for more than all that the engine itself "
    "reports as waiting. None of it was tried."
)
SAID = "{who}: {gains}."
ONE = "{change} {times} ({low} to {high})"
ROW_IN = 0.3
TITLE_CHARACTERS = 34


def gain_chart(data: pd.DataFrame) -> Chart | None:
    """Make the chart; None where nothing would change anything.

    Args:
        data: `engine`, `series`, `model`, `weights`, `nodes`, `change`, `times`, `times_low`,
            `times_high`; of each panel the largest first.
    """
    panels = [rows for _, rows in data.groupby(_KEYS, sort=False)]
    if not panels:
        return None
    return Chart(
        name="what-would-help",
        title=TITLE,
        understanding=READ,
        data=data,
        draw=partial(_figure, panels[:MOST_DRAWN]),
        description=together(_said(rows) for rows in panels[:MOST_DRAWN]),
    )


_KEYS = ["engine", "series", "model", "weights"]


def _figure(panels: list[pd.DataFrame]) -> Figure:
    with mpl.rc_context(dict(style.RC)):
        heights = [len(rows) + 1 for rows in panels]
        size = (style.WIDTH_IN, ROW_IN * sum(heights) + 0.75 * len(panels))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
        for rows, axes in zip(panels, grid[:, 0], strict=True):
            _panel(axes, rows)
            axes.set_title(_title(rows))
        grid[-1, 0].set_xlabel("times as fast")
    return figure


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    places = range(len(rows))
    colors = [style.PALETTE[2] if times >= 1 else style.PALETTE[1] for times in rows["times"]]
    axes.barh(places, rows["times"] - 1, left=1, height=0.62, color=colors, linewidth=0)
    axes.hlines(places, rows["times_low"], rows["times_high"], color=style.INK, linewidth=1.4)
    axes.plot(rows["times"], places, "|", color=style.INK, markersize=7)
    axes.axvline(1, color=style.MUTED, linewidth=0.9)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x")
    axes.set_yticks(places, list(rows["change"]))
    axes.tick_params(axis="y", labelcolor=style.INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _who(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return say(
        "{model} ({weights}), {series}, {nodes}",
        model=first["model"],
        weights=first["weights"],
        series=first["series"],
        nodes=nodes(int(first["nodes"])),
    )


def _title(rows: pd.DataFrame) -> str:
    """What the panel is about, on two lines that fit next to the names of the bars."""
    first = rows.iloc[0]
    lines = (
        f"{first['model']} ({first['weights']})",
        say("{series}, {nodes}", series=first["series"], nodes=nodes(int(first["nodes"]))),
    )
    return "\n".join(style.cut_to_fit(line, TITLE_CHARACTERS) for line in lines)


def _said(rows: pd.DataFrame) -> str:
    told = [
        say(
            ONE,
            change=row["change"],
            times=number(row["times"]),
            low=number(row["times_low"]),
            high=number(row["times_high"]),
        )
        for row in rows.to_dict("records")
    ]
    return say(SAID, who=_who(rows), gains=listing(list(told)))
