"""Draw the chart of a run over time: every attempt where it began, and the temperature."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.charts import said, style
from analysis.charts.chart import Chart
from analysis.charts.panels import add_legend
from analysis.stability.course import HOUR_S, MINUTE_S, Course
from analysis.text.sentence import say, together
from analysis.text.wording import nodes

ATTEMPTS = "Every attempt of the run, at the time it began."
DOTS = (
    "A dot is the tokens/s of an attempt that counts, relative to the median of its cell: in a "
    "steady run all are around 1."
)
BY_CELL, BY_SERIES = "Colours are cells.", "Colours are series."
FAILED = "A cross at the bottom is a failed attempt."
THROWN_AWAY = "A triangle at the bottom is an attempt that was thrown away."
HEAT = "Below: the hottest node after each attempt."
LANE = 0.045
"""Where attempts without a figure are marked, as a fraction of the height of the axes."""
HEAT_IN, SPEED_IN = 1.3, 2.6
MOST_LINES = 40
"""Most beginnings of blocks that are drawn: a reader can distinguish as many."""
FEW_MARKS = 1500
"""Marks up to which a drawing keeps each as a shape; more become one picture in it."""


def timeline_chart(course: Course) -> Chart | None:
    """Speed of each attempt over time, relative to its cell; None without a mark to draw."""
    data = course.frame
    has_speed, has_heat = (bool(data[name].notna().any()) for name in ("times_median", "hottest_c"))
    if not has_speed and not has_heat and not data["outcome"].isin(["failed", "invalid"]).any():
        return None
    keys, of_what = _colours(data)
    understanding = together(
        [
            say(ATTEMPTS),
            say(DOTS) if has_speed else "",
            say(of_what) if has_speed and of_what else "",
            say(FAILED) if (data["outcome"] == "failed").any() else "",
            say(THROWN_AWAY) if (data["outcome"] == "invalid").any() else "",
            say(HEAT) if has_heat else "",
        ]
    )
    draw = partial(_figure, data, keys, has_heat=has_heat)
    return Chart(
        "timeline", "The run over time", understanding, data, draw,
        description=said.over_time(data),
    )  # fmt: skip


def _colours(data: pd.DataFrame) -> tuple[pd.Series, str]:
    """What each attempt is coloured by, and that in words: its cell, else its series, else one."""
    several = len(data["model"].unique()) > 1
    series = data["series"] + (", " + data["model"] if several else "")
    # The label of a division (axis `groups`) says its nodes itself.
    cells = series + [
        say(" on {nodes}", nodes=nodes(int(count))) if count and " node" not in label else ""
        for label, count in zip(data["series"], data["nodes"], strict=True)
    ]
    for keys, words in ((cells, BY_CELL), (series, BY_SERIES)):
        distinct = len(keys.unique())
        if 1 < distinct <= len(style.PALETTE):
            return keys, words
    return pd.Series("", index=data.index), ""


def _figure(data: pd.DataFrame, keys: pd.Series, *, has_heat: bool) -> Figure:
    unit_s, unit = _unit(float(data["begun_s"].max()))
    labels = list(dict.fromkeys(keys))
    looks = style.looks(labels)
    with mpl.rc_context(dict(style.RC)):
        legend = 0.2 * -(-len(labels) // 2) if len(labels) > 1 else 0.0
        height = SPEED_IN + legend + (HEAT_IN if has_heat else 0.0)
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        rows = 2 if has_heat else 1
        axes = figure.subplots(
            rows, 1, sharex=True, squeeze=False,
            height_ratios=[SPEED_IN, HEAT_IN] if has_heat else None,
        )[:, 0]  # fmt: skip
        _blocks(axes, data, unit_s)
        for label in labels:
            _attempts(axes[0], data[keys == label], looks[label], unit_s)
        _lane(axes[0], data, unit_s)
        axes[0].set_ylabel("times the cell's median")
        if has_heat:
            _heat(axes[1], data, unit_s)
        axes[-1].set_xlabel(say("{unit} since the first attempt began", unit=unit))
        axes[-1].xaxis.set_major_locator(MaxNLocator(7))
        if len(labels) > 1:
            add_legend(figure, looks, has_lines=False)
    return figure


def _unit(longest_s: float) -> tuple[float, str]:
    if longest_s < 3 * MINUTE_S:
        return 1.0, "seconds"
    return (MINUTE_S, "minutes") if longest_s < 3 * HOUR_S else (HOUR_S, "hours")


def _blocks(all_axes: np.ndarray[tuple[int], np.dtype[np.object_]], data: pd.DataFrame,
            unit_s: float) -> None:  # fmt: skip
    """A thin line where each block but the first begins, unless they are too many to see."""
    begins = data.groupby("block")["begun_s"].min().sort_values().to_numpy()[1:]
    if len(begins) > MOST_LINES:
        return
    for axes in all_axes:
        for at in begins:
            axes.axvline(at / unit_s, color=style.GRID, linewidth=0.8, zorder=1)


def _attempts(axes: Axes, rows: pd.DataFrame, look: style.Look, unit_s: float) -> None:
    axes.plot(
        rows["begun_s"] / unit_s, rows["times_median"], look.marker, color=look.color,
        markersize=4, alpha=0.7, markeredgewidth=0, zorder=3, rasterized=len(rows) > FEW_MARKS,
    )  # fmt: skip


def _lane(axes: Axes, data: pd.DataFrame, unit_s: float) -> None:
    """Attempts that failed, and those that were thrown away."""
    seen = data["times_median"].dropna()
    low, high = (min(0.9, seen.min()), max(1.1, seen.max())) if len(seen) else (0.9, 1.1)
    room = 0.16 * (high - low)
    axes.set_ylim(low - room, high + room / 2)
    axes.axhline(1, color=style.MUTED, linewidth=0.8, zorder=1)
    for outcome, marker in (("failed", "x"), ("invalid", "v")):
        rows = data[data["outcome"] == outcome]
        axes.plot(
            rows["begun_s"] / unit_s, np.full(len(rows), LANE), marker, color=style.INK,
            markersize=5, markeredgewidth=1.6, transform=axes.get_xaxis_transform(), zorder=4,
            rasterized=len(rows) > FEW_MARKS,
        )  # fmt: skip


def _heat(axes: Axes, data: pd.DataFrame, unit_s: float) -> None:
    axes.plot(
        data["begun_s"] / unit_s, data["hottest_c"], "-", color=style.PALETTE[1], linewidth=1.2,
        rasterized=len(data) > FEW_MARKS,
    )  # fmt: skip
    slowed = data[data["throttled"].fillna(value=False).astype(bool)]
    axes.plot(slowed["begun_s"] / unit_s, slowed["hottest_c"], "v", color=style.INK, markersize=5)
    axes.set_ylabel("hottest, °C")
    axes.yaxis.set_major_locator(MaxNLocator(4))
