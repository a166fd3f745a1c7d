"""Power over the time of one trial, a line for each smart plug."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.text.sentence import say, together
from analysis.text.wording import nodes, number

TITLE = "Power during a typical trial"
READ = (
    "{series} on {nodes}, the trial of block {block}: of all trials of its cell its energy is "
    "closest to the median. A mark is a reading of a plug; the line only guides the eye. Dashed: "
    "power when idle, before the first trial."
)
SAID = "{plug}, which feeds {feeds}: {low} to {high} W, mean of the readings {mean} W."


def power_chart(data: pd.DataFrame, *, series: str, on: int, block: int) -> Chart:
    """Draw the readings of one trial.

    Args:
        data: `plug`, `feeds`, `at_s`, `watts`, `idle_w`; a row a reading.
        series: label of the trial's series.
        on: number of its nodes.
        block: of the trial.
    """
    names = list(dict.fromkeys(data["plug"]))
    return Chart(
        name="power",
        title=TITLE,
        understanding=say(READ, series=series, nodes=nodes(on), block=block),
        data=data,
        draw=partial(_figure, data),
        description=together(_said(data[data["plug"] == name]) for name in names),
    )


def _figure(data: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(data["plug"]))
    looks = style.looks(names)
    with mpl.rc_context(dict(style.RC)):
        figure = Figure(figsize=(style.WIDTH_IN, style.PANEL_IN), layout="constrained")
        axes = figure.add_subplot(xlabel="seconds since the main process started", ylabel="W")
        for name in names:
            own, look = data[data["plug"] == name], looks[name]
            label = say("{name}: {feeds}", name=name, feeds=own["feeds"].iloc[0])
            axes.plot(
                own["at_s"], own["watts"], look.marker, linestyle=look.dash, color=look.color,
                markersize=3, linewidth=1, label=label,
            )  # fmt: skip
            if own["idle_w"].notna().any():
                idle_w = float(own["idle_w"].iloc[0])
                axes.axhline(idle_w, color=look.color, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _said(own: pd.DataFrame) -> str:
    watts = own["watts"].astype(float)
    return say(
        SAID,
        plug=own["plug"].iloc[0],
        feeds=own["feeds"].iloc[0],
        low=number(watts.min()),
        high=number(watts.max()),
        mean=number(watts.mean()),
    )
