"""Figures from the tables of `analysis.frames`. No global state: pyplot is not used."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis import style
from analysis.frames import MEDIAN, MISSING, TRIAL
from analysis.style import Look
from analysis.wording import number, percent

DODGE = 0.1
"""Distance of series at one number of nodes, in doublings."""
JITTER = 0.13
"""Width over which the trials of a cell are spread, in doublings."""
MARGIN = 0.45
"""Room beside the first and the last number of nodes, in doublings."""
TITLE_CHARACTERS = 56
"""That fit into the width of a chart."""
LOG_FROM = 30.0
"""Ratio of largest to smallest median from which an axis is logarithmic."""
LANE = -0.055
"""Where cells without a measurement are marked, as a fraction of the height of the axes."""
LABELLED_SERIES = 2
"""Most series of a panel for which medians are also written as numbers."""
LABELLED_GAP = 0.18
"""Least distance between numbers of nodes for it, as a fraction of the axis."""

Looks = Mapping[str, Look]
Notes = Mapping[tuple[str, str, int], int]
"""(model, series, nodes) to the number of its footnote."""


@dataclass(frozen=True, slots=True)
class _Panel:
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
        """How far a series stands beside its number of nodes, in doublings."""
        step = min(DODGE, 0.5 / len(self.labels)) * self.scale
        return (self.labels.index(label) - (len(self.labels) - 1) / 2) * step


def rate(frame: pd.DataFrame, looks: Looks, notes: Notes, unit: str) -> Figure:
    """Points, medians and intervals over nodes, for a quantity whose zero is meaningful."""

    def draw(panel: _Panel) -> None:
        _points(panel, looks, notes, number)
        panel.axes.set_ylabel(unit)
        _value_axis(panel)

    return _figure(frame, looks, draw)


def speed_up(frame: pd.DataFrame, looks: Looks, notes: Notes) -> Figure:
    """Speed-up over nodes, both axes in doublings, with the ideal and the knee."""

    def draw(panel: _Panel) -> None:
        axes = panel.axes
        _ideal(panel)
        _points(panel, looks, notes, lambda value: f"{value:.2f}")
        _knees(panel, looks)
        axes.set_ylabel("speed-up (times the baseline)")
        _doubling_axis(panel)

    return _figure(frame, looks, draw)


def efficiency(frame: pd.DataFrame, looks: Looks, notes: Notes) -> Figure:
    """Efficiency over nodes in percent, with 100 % as the ideal."""

    def draw(panel: _Panel) -> None:
        axes = panel.axes
        axes.axhline(100, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        _points(panel, looks, notes, lambda value: f"{value:.0f} %")
        axes.set_ylabel("efficiency (% of ideal)")
        top = np.nanmax([105.0, *panel.frame["value"].astype(float) * 1.05])
        axes.set_ylim(0, top)

    return _figure(frame, looks, draw)


def time_split(frame: pd.DataFrame) -> Figure:
    """Stacked bars of compute and sync, one a cell, the sync share written at the end."""
    groups = list(frame.groupby(["model", "series"], sort=False))
    rows = len(frame) + len(groups)
    with mpl.rc_context(dict(style.RC)):
        figure = Figure(figsize=(style.WIDTH_IN, 0.75 + 0.27 * rows), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.grid(visible=True, axis="x")
        ticks: list[tuple[float, str]] = []
        position = 0.0
        for (model, series), bars in groups:
            if len(groups) > 1:
                _group_title(axes, position, _group_name(frame, str(model), str(series)))
                position += 0.9
            for _, bar in bars.sort_values("nodes").iterrows():
                _bar(axes, position, bar)
                ticks.append((position, _nodes_label(int(bar["nodes"]))))
                position += 1
            position += 0.35
        axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
        axes.tick_params(axis="y", labelcolor=style.INK)
        axes.set_ylim(position - 0.6, -0.75)
        widest = float((frame["compute_ms"] + frame["sync_ms"]).max())
        axes.set_xlim(0, (widest or 1.0) * 1.42)
        axes.set_xlabel("ms per decoded token")
        handles = [
            Patch(color=style.COMPUTE, label="compute"),
            Patch(color=style.SYNC, label="sync"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


def traffic(frame: pd.DataFrame, looks: Looks) -> Figure:
    """KiB a token over nodes: sent, received, and what the closed form says."""
    tidy = frame.assign(kind=MEDIAN, value=frame[["sent_kib", "received_kib"]].max(axis=1))

    def draw(panel: _Panel) -> None:
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

    figure = _figure(tidy, looks, draw)
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


def _figure(frame: pd.DataFrame, looks: Looks, draw: Callable[[_Panel], None]) -> Figure:
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
            draw(_Panel(axes, rows, here))
            _node_axis(axes, rows)
            if len(models) > 1:
                axes.set_title(textwrap.fill(str(model), TITLE_CHARACTERS))
        if len(labels) > 1:
            handles = [
                Line2D(
                    [], [], color=looks[label].color, marker=looks[label].marker,
                    linestyle=looks[label].dash, label=label,
                )
                for label in labels
            ]  # fmt: skip
            columns = 2 if max(map(len, labels)) < 34 else 1  # noqa: PLR2004 - characters that fit
            figure.legend(handles=handles, loc="outside upper left", ncols=columns)
    return figure


def _points(panel: _Panel, looks: Looks, notes: Notes, written: Callable[[float], str]) -> None:
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
        for at, value, is_whole in zip(x, y, whole, strict=True):
            axes.plot(
                at, value, look.marker, color=look.color, markersize=6, zorder=5,
                markerfacecolor=look.color if is_whole else style.PAPER, markeredgewidth=1.4,
            )  # fmt: skip
        if len(panel.labels) <= LABELLED_SERIES and panel.gap >= LABELLED_GAP:
            shown = (
                (rows["nodes"] != rows["baseline_nodes"])
                if "baseline_nodes" in rows
                else whole | True
            )
            _numbers(panel, label, list(zip(x[shown], y[shown], strict=True)), written)
        _crosses(panel, label, look, offset, notes)


def _trials(panel: _Panel, label: str, look: Look, offset: float) -> None:
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
    panel: _Panel,
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


def _crosses(panel: _Panel, label: str, look: Look, offset: float, notes: Notes) -> None:
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


def _ideal(panel: _Panel) -> None:
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


def _knees(panel: _Panel, looks: Looks) -> None:
    frame = panel.frame
    knees = frame[frame["is_knee"].fillna(value=False).astype(bool)]
    for _, row in knees.iterrows():
        label = str(row["series"])
        x = math.log2(row["nodes"]) + panel.offset(label)
        panel.axes.plot(
            x, row["value"], "o", markersize=15, markerfacecolor="none",
            markeredgecolor=looks[label].color, markeredgewidth=1.2, zorder=5,
        )  # fmt: skip


def _doubling_axis(panel: _Panel) -> None:
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


def _value_axis(panel: _Panel) -> None:
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


def _node_axis(axes: Axes, rows: pd.DataFrame) -> None:
    counts = sorted(rows["nodes"].unique())
    axes.set_xticks(np.log2(np.asarray(counts, dtype=float)), [str(n) for n in counts])
    axes.set_xlim(math.log2(counts[0]) - MARGIN, math.log2(counts[-1]) + MARGIN)
    axes.set_xlabel("nodes")
    if (rows["kind"] == MISSING).any():
        axes.tick_params(axis="x", length=0, pad=15)


def _bar(axes: Axes, position: float, bar: pd.Series) -> None:
    compute, sync = float(bar["compute_ms"]), float(bar["sync_ms"])
    axes.barh(position, compute, height=0.74, color=style.COMPUTE, linewidth=0)
    axes.barh(position, sync, left=compute, height=0.74, color=style.SYNC, linewidth=0)
    axes.annotate(
        f"{number(compute + sync)} ms, sync {percent(float(bar['sync_share']))}",
        (compute + sync, position), xytext=(5, 0), textcoords="offset points", va="center",
        fontsize=8.5, color=style.INK,
    )  # fmt: skip


def _group_title(axes: Axes, position: float, name: str) -> None:
    axes.annotate(
        name, (0, position), xycoords=axes.get_yaxis_transform(), xytext=(2, 0),
        textcoords="offset points", va="center", fontweight="bold", fontsize=8.5,
    )  # fmt: skip


def _group_name(frame: pd.DataFrame, model: str, series: str) -> str:
    name = series if len(frame["model"].unique()) == 1 else f"{series}: {model}"
    return name if len(name) <= TITLE_CHARACTERS else f"{name[: TITLE_CHARACTERS - 1]}…"


def _nodes_label(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def missing_cells(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str, int], str, str]]:
    """Key, state and reason of every cell of a table that has no measurement."""
    for _, row in frame[frame["kind"] == MISSING].iterrows():
        key = (str(row["model"]), str(row["series"]), int(row["nodes"]))
        yield (
            key,
            str(row["state"]),
            str(row["reason"] if pd.notna(row["reason"]) else row["state"]),
        )
