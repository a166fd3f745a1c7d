"""A chart as a block of a report, with the table behind it."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.blocks import Block, Charted, Grid, Tabled
from analysis.cells.tabulate import Table, frame_table
from analysis.charts import frames
from analysis.charts.chart import Chart
from analysis.text.sentence import say

MOST_FOOTNOTES = 8
"""Footnotes that a chart shows."""
COUNTS = ("trials", "planned")
"""Columns of a chart's table that count."""
CHART_ROWS = 40
"""Rows of the table that is shown below a chart."""


def charted(charts: Iterable[Chart]) -> tuple[Block, ...]:
    """Make of charts blocks side by side; nothing of no chart."""
    made = tuple(map(_charted, charts))
    return (Grid(made, "charts"),) if made else ()


def _charted(chart: Chart) -> Charted:
    rest = len(chart.footnotes) - MOST_FOOTNOTES
    return Charted(
        chart=chart,
        table=Tabled(chart.title, _table_of(chart), most=CHART_ROWS),
        footnotes=chart.footnotes[:MOST_FOOTNOTES],
        rest=say("{n} more reasons: see What did not work.", n=rest) if rest > 0 else "",
    )


def _table_of(chart: Chart) -> Table:
    """The table behind a chart, medians only where it holds trials too."""
    data = chart.data
    if "kind" in data:
        data = data[~data["kind"].isin([frames.TRIAL, frames.ANSWER])]
        data = data.drop(columns=["kind", "block", "reason"], errors="ignore")
        # Rows of trials have none of these, so the chart's table holds them as other numbers.
        counts = [name for name in COUNTS if name in data and data[name].notna().all()]
        data = data.astype(dict.fromkeys(counts, int))
    data = data.dropna(axis="columns", how="all")
    if "model" in data and len(data["model"].unique()) == 1:
        data = data.drop(columns="model")
    names = {str(column): str(column).replace("_", " ") for column in data.columns}
    return frame_table(data, names, percents=["sync_share_low", "sync_share_high"])
