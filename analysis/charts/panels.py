"""A panel over nodes: one a model, a mark a cell, a dot a trial. pyplot and its state: unused."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.charts import style
from analysis.charts.frames import MEDIAN, MISSING, TRIAL
from analysis.charts.style import Look

DODGE = 0.1
"""Distance of series at one number of nodes, in doublings."""
JITTER = 0.13
"""Width over which the trials of a cell are spread, in doublings."""
MARGIN = 0.45
"""Room before the first and after the last number of nodes, in doublings."""
LANE = -0.055
"""Where cells without a measurement are marked, as a fraction of the height of the axes."""
LABELLED_SERIES = 2
"""Most series of a panel for which medians are also written as numbers."""
LABELLED_GAP = 0.18
"""Least distance between numbers of nodes for it, as a fraction of the axis."""
LABEL_GAP = 0.025
"""The same between the numbers written below the axis."""
LEGEND_CHARACTERS = 33
"""Of a name that fits into half the width of a chart."""

Looks = Mapping[str, Look]
Notes = Mapping[tuple[str, str, int], int]
"""(model, series, nodes) to the number of its footnote."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The axes of a model.

    Attributes:
        frame: rows of its table.
        labels: series in it, in order.
    """

    axes: Axes
    frame: pd.DataFrame
    labels: tuple[str, ...]

    def of(self, label: str, kind: str) -> pd.DataFrame:
        """Rows of a series and kind, by nodes."""
        frame = self.frame
        return frame[(frame["series"] == label) & (frame["kind"] == kind)].sort_values("nodes")

    @property
    def gap(self) -> float:
        """Least distance between two numbers of nodes, as a fraction of the axis."""
        at = np.log2(np.unique(self.frame["nodes"].to_numpy(dtype=float)))
        return float(np.diff(at).min() / (at[-1] - at[0] + 2 * MARGIN)) if at.size > 1 else 1.0

    @property
    def scale(self) -> float:
        """How much wider than that of one to eight nodes the axis is, in doublings an inch."""
        counts = self.frame["nodes"].astype(float)
        return (math.log2(counts.max() / counts.min()) + 2 * MARGIN) / (3 + 2 * MARGIN)

    def offset(self, label: str) -> float:
        """Return how far a series is drawn from its number of nodes, in doublings."""
        step = min(DODGE, 0.5 / len(self.labels)) * self.scale
        return (self.labels.index(label) - (len(self.labels) - 1) / 2) * step


def figure_of(frame: pd.DataFrame, looks: Looks, draw: Callable[[Panel], None]) -> Figure:
    """A panel for each model, one below the other, with a legend of the series on top."""
    models = list(frame["model"].unique())
    labels = [label for label in looks if label in set(frame["series"])]
    with mpl.rc_context(dict(style.RC)):
        legend_rows = math.ceil(len(labels) / 2) if len(labels) > 1 else 0
        height = style.PANEL_IN * len(models) + 0.2 * legend_rows
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        grid = figure.subplots(len(models), 1, squeeze=False)
        for model, axes in zip(models, grid[:, 0], strict=True):
            rows = frame[frame["model"] == model]
            here = tuple(label for label in labels if label in set(rows["series"]))
            _grey(axes, rows[~rows["series"].isin(here)])
            draw(Panel(axes, rows, here))
            _node_axis(axes, rows)
            if len(models) > 1:
                axes.set_title(textwrap.fill(str(model), style.TITLE_CHARACTERS))
        if len(labels) > 1:
            add_legend(figure, {label: looks[label] for label in labels})
    return figure


def add_legend(figure: Figure, looks: Looks, *, has_lines: bool = True) -> None:
    """Put the names of series above the axes, in two columns where they fit."""
    handles = [
        Line2D(
            [], [], color=look.color, marker=look.marker,
            linestyle=look.dash if has_lines else "", label=label,
        )
        for label, look in looks.items()
    ]  # fmt: skip
    columns = 2 if max(map(len, looks)) <= LEGEND_CHARACTERS else 1
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)


def _grey(axes: Axes, rows: pd.DataFrame) -> None:
    """Medians of series that have no colour, as thin lines in the background."""
    medians = rows[rows["kind"] == MEDIAN].sort_values("nodes")
    lines = [
        np.column_stack([np.log2(own["nodes"].to_numpy(dtype=float)), own["value"].astype(float)])
        for _, own in medians.groupby("series", sort=False)
    ]
    if lines:
        axes.add_collection(
            LineCollection(lines, colors=style.MUTED, linewidths=0.7, alpha=0.35, zorder=1.5)
        )


def draw_points(panel: Panel, looks: Looks, notes: Notes, written: Callable[[float], str]) -> None:
    """Dots of trials, medians with their intervals, and marks of cells without any."""
    for label in panel.labels:
        look, offset = looks[label], panel.offset(label)
        _trials(panel, label, look, offset)
        rows = panel.of(label, MEDIAN)
        x = np.log2(rows["nodes"].to_numpy(dtype=float)) + offset
        y = rows["value"].to_numpy(dtype=float)
        axes = panel.axes
        axes.plot(x, y, color=look.color, linestyle=look.dash, linewidth=1.2, alpha=0.55, zorder=2)
        low, high = (rows[end].to_numpy(dtype=float) for end in ("low", "high"))
        axes.vlines(x, low, high, color=look.color, linewidth=2.2, zorder=4)
        whole = (rows["state"] == "complete").to_numpy()
        for chosen, fill in ((whole, look.color), (~whole, style.PAPER)):
            axes.plot(
                x[chosen], y[chosen], look.marker, color=look.color, markersize=6, zorder=5,
                markerfacecolor=fill, markeredgewidth=1.4,
            )  # fmt: skip
        if len(panel.labels) <= LABELLED_SERIES and panel.gap >= LABELLED_GAP:
            shown = (
                (rows["nodes"] != rows["baseline_nodes"])
                if "baseline_nodes" in rows
                else whole | True
            )
            _numbers(panel, label, list(zip(x[shown], y[shown], strict=True)), written)
        _crosses(panel, label, look, offset, notes)


def _trials(panel: Panel, label: str, look: Look, offset: float) -> None:
    rows = panel.of(label, TRIAL)
    if rows.empty:
        return
    blocks = rows["block"].to_numpy(dtype=float)
    middle, reach = (blocks.max() + blocks.min()) / 2, max(1.0, blocks.max() - blocks.min())
    jitter = (blocks - middle) / reach * JITTER * panel.scale
    x = np.log2(rows["nodes"].to_numpy(dtype=float)) + offset + jitter
    panel.axes.scatter(
        x, rows["value"].astype(float), s=14, color=look.color, alpha=0.45, linewidths=0, zorder=3
    )


def _numbers(
    panel: Panel,
    label: str,
    medians: Sequence[tuple[float, float]],
    written: Callable[[float], str],
) -> None:
    is_left = len(panel.labels) > 1 and label == panel.labels[0]
    for x, y in medians:
        panel.axes.annotate(
            written(y), (x, y), xytext=(-10 if is_left else 10, 4), textcoords="offset points",
            ha="right" if is_left else "left", fontsize=8.5, color=style.INK, zorder=6,
        )  # fmt: skip


def _crosses(panel: Panel, label: str, look: Look, offset: float, notes: Notes) -> None:
    """A mark in the lane below the axis for every cell without a measurement."""
    axes = panel.axes
    for _, row in panel.of(label, MISSING).iterrows():
        x = math.log2(row["nodes"]) + offset
        mark = "." if row["state"] == "pending" else "x"
        axes.plot(
            x, LANE, mark, color=look.color, markersize=7, markeredgewidth=2.2, clip_on=False,
            transform=axes.get_xaxis_transform(), zorder=6,
        )  # fmt: skip
        note = notes.get((str(row["model"]), label, int(row["nodes"])))
        axes.annotate(
            str(note or ""), (x, LANE), xycoords=axes.get_xaxis_transform(), xytext=(5, 0),
            textcoords="offset points", fontsize=7, color=style.MUTED, annotation_clip=False,
        )  # fmt: skip


def _labels_of(counts: Sequence[int]) -> list[str]:
    """Return the labels of the numbers of nodes, empty where there is no room for one."""
    room = LABEL_GAP * (math.log2(counts[-1] / counts[0]) + 2 * MARGIN)
    labels, last = [], -math.inf
    for count in counts:
        at = math.log2(count)
        labels.append(str(count) if at - last >= room else "")
        last = at if labels[-1] else last
    return labels


def _node_axis(axes: Axes, rows: pd.DataFrame) -> None:
    counts = sorted(rows["nodes"].unique())
    axes.set_xticks(np.log2(np.asarray(counts, dtype=float)), _labels_of(counts))
    axes.set_xlim(math.log2(counts[0]) - MARGIN, math.log2(counts[-1]) + MARGIN)
    axes.set_xlabel("nodes")
    if (rows["kind"] == MISSING).any():
        axes.tick_params(axis="x", length=0, pad=15)
