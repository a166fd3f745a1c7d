"""Figures over nodes from the tables of `analysis.charts.frames`."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.charts import style
from analysis.charts.frames import MEDIAN
from analysis.charts.panels import Looks, Notes, Panel, draw_points, figure_of
from analysis.text.wording import number

LOG_FROM = 30.0
"""Ratio of largest to smallest median from which an axis is logarithmic."""


def rate(frame: pd.DataFrame, looks: Looks, notes: Notes, unit: str) -> Figure:
    """Points, medians and intervals over nodes, for a quantity whose zero is meaningful."""

    def draw(panel: Panel) -> None:
        draw_points(panel, looks, notes, number)
        panel.axes.set_ylabel(unit)
        _value_axis(panel)

    return figure_of(frame, looks, draw)


def speed_up(frame: pd.DataFrame, looks: Looks, notes: Notes) -> Figure:
    """Speed-up over nodes, both axes in doublings, with the ideal and the knee."""

    def draw(panel: Panel) -> None:
        axes = panel.axes
        _ideal(panel)
        draw_points(panel, looks, notes, lambda value: f"{value:.2f}")
        _knees(panel, looks)
        axes.set_ylabel("speed-up (times the baseline)")
        _doubling_axis(panel)

    return figure_of(frame, looks, draw)


def efficiency(frame: pd.DataFrame, looks: Looks, notes: Notes) -> Figure:
    """Efficiency over nodes in percent, with 100 % as the ideal."""

    def draw(panel: Panel) -> None:
        axes = panel.axes
        axes.axhline(100, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        draw_points(panel, looks, notes, lambda value: f"{value:.0f} %")
        axes.set_ylabel("efficiency (% of ideal)")
        top = np.nanmax([105.0, *panel.frame["value"].astype(float) * 1.05])
        axes.set_ylim(0, top)

    return figure_of(frame, looks, draw)


def traffic(frame: pd.DataFrame, looks: Looks) -> Figure:
    """KiB a token over nodes: sent, received, and what the closed form says."""
    tidy = frame.assign(kind=MEDIAN, value=frame[["sent_kib", "received_kib"]].max(axis=1))

    def draw(panel: Panel) -> None:
        axes = panel.axes
        for label in panel.labels:
            rows, look = panel.of(label, MEDIAN), looks[label]
            x = np.log2(rows["nodes"].to_numpy(dtype=float)) + panel.offset(label)
            for column, marker, fill in (
                ("sent_kib", "^", look.color),
                ("received_kib", "v", style.PAPER),
            ):
                theory = rows[f"predicted_{column}"].to_numpy(dtype=float)
                axes.plot(x, rows[column], color=look.color, linewidth=1, alpha=0.3)
                axes.plot(x, theory, color=look.color, linewidth=1.1, linestyle=(0, (3, 2)))
                axes.plot(
                    x, rows[column], marker, color=look.color, markerfacecolor=fill, markersize=6.5
                )
        axes.set_ylabel("KiB per decoded token")
        axes.set_ylim(bottom=0)

    figure = figure_of(tidy, looks, draw)
    with mpl.rc_context(dict(style.RC)):
        handles = _traffic_legend(has_theory=bool(frame["predicted_sent_kib"].notna().any()))
        figure.axes[0].legend(handles=handles, loc="upper left", handlelength=1.6)
    return figure


def _traffic_legend(*, has_theory: bool) -> list[Line2D]:
    ink = style.INK
    handles = [
        Line2D([], [], color=ink, marker="^", linestyle="", label="sent by the root"),
        Line2D(
            [], [], color=ink, marker="v", markerfacecolor=style.PAPER, linestyle="",
            label="received",
        ),
    ]  # fmt: skip
    theory = Line2D([], [], color=ink, linestyle=(0, (3, 2)), linewidth=1.1, label="closed form")
    return [*handles, theory] if has_theory else handles


def _ideal(panel: Panel) -> None:
    counts = panel.frame["nodes"].astype(float)
    for base in sorted(panel.frame["baseline_nodes"].unique()):
        last = counts.max()
        if last <= base:
            continue
        x = np.log2([base, last])
        panel.axes.plot(
            x, [1, last / base], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1
        )
        panel.axes.annotate(
            "ideal", (x[1], last / base), xytext=(-4, 4), textcoords="offset points",
            ha="right", fontsize=8, color=style.MUTED,
        )  # fmt: skip


def _knees(panel: Panel, looks: Looks) -> None:
    frame = panel.frame
    has_colour = frame["series"].isin(panel.labels)
    knees = frame[frame["is_knee"].fillna(value=False).astype(bool) & has_colour]
    for _, row in knees.iterrows():
        label = str(row["series"])
        x = math.log2(row["nodes"]) + panel.offset(label)
        panel.axes.plot(
            x, row["value"], "o", markersize=15, markerfacecolor="none",
            markeredgecolor=looks[label].color, markeredgewidth=1.2, zorder=5,
        )  # fmt: skip


def _doubling_axis(panel: Panel) -> None:
    axes, frame = panel.axes, panel.frame
    seen = frame[["value", "low", "high"]].astype(float).to_numpy()
    bottom = min(1.0, float(np.nanmin(seen)))
    ideal = float((frame["nodes"] / frame["baseline_nodes"]).max())
    top = max(2.0, float(np.nanmax(seen)), ideal)
    first, last = math.floor(math.log2(bottom) - 0.3), math.ceil(math.log2(top))
    axes.set_yscale("log", base=2)
    axes.set_ylim(2.0**first, 2.0 ** (last + 0.3))
    axes.yaxis.set_major_locator(FixedLocator([2.0**k for k in range(first, last + 1)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_fraction))
    axes.axhspan(2.0**first, 1, color=style.SHADE, zorder=0, linewidth=0)
    axes.axhline(1, color=style.MUTED, linewidth=0.8, zorder=1)
    axes.annotate(
        "slower than the baseline", (0.995, 0), xycoords="axes fraction", xytext=(0, 4),
        textcoords="offset points", ha="right", fontsize=7.5, color=style.MUTED,
    )  # fmt: skip


def _fraction(value: float, _position: int) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"


def _value_axis(panel: Panel) -> None:
    medians = panel.frame.loc[panel.frame["kind"] == MEDIAN, "value"].astype(float)
    seen = panel.frame["value"].astype(float).max()
    if medians.min() > 0 and medians.max() / medians.min() > LOG_FROM:
        panel.axes.set_yscale("log")
        panel.axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.axes.yaxis.set_minor_locator(NullLocator())
        panel.axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 1)))
        bottom, top = panel.axes.get_ylim()
        panel.axes.set_ylim(bottom / 2, top * 1.3)
        return
    panel.axes.set_ylim(0, seen * 1.12 if seen > 0 else 1)
    panel.axes.yaxis.set_major_locator(MaxNLocator(6))
