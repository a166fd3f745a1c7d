"""Stacked bars of compute and sync."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.cells.sync import AS_ONE, SyncShare
from analysis.charts import style
from analysis.text.sentence import say
from analysis.text.wording import number, plural

HIDDEN = style.MUTED


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
        parts: dict[str, list[_Part]] = {}
        position = 0.0
        for (model, series), bars in groups:
            if len(groups) > 1:
                _group_title(axes, position, _group_name(frame, str(model), str(series)))
                position += 0.9
            for _, bar in bars.sort_values("nodes").iterrows():
                _bar(axes, position, bar, parts)
                ticks.append((position, plural(int(bar["nodes"]), "node")))
                position += 1
            position += 0.35
        for color, own in parts.items():  # one call a color: of many bars each takes a while
            at, width, left = zip(*own, strict=True)
            axes.barh(at, width, left=left, height=0.74, color=color, linewidth=0)
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
        if ((frame["sync_share_high"] - frame["sync_share_low"]) > AS_ONE).any():
            handles.append(Patch(color=HIDDEN, label="either: rounding hides it"))
        figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def _parts(share: SyncShare) -> tuple[float, float, float]:
    """What is computing for sure, what may be either, what is waiting for sure."""
    if share.width <= AS_ONE:
        middle = (share.low + share.high) / 2
        return 1 - middle, 0.0, middle
    return 1 - share.high, share.width, share.low


_Part = tuple[float, float, float]
"""Position, length and beginning of a part of a bar."""


def _bar(axes: Axes, position: float, bar: pd.Series, parts: dict[str, list[_Part]]) -> None:
    whole = float(bar["compute_ms"]) + float(bar["sync_ms"])
    share = SyncShare(float(bar["sync_share_low"]), float(bar["sync_share_high"]))
    left = 0.0
    for part, color in zip(_parts(share), (style.COMPUTE, HIDDEN, style.SYNC), strict=True):
        if color == HIDDEN and not part:
            continue
        parts.setdefault(color, []).append((position, part * whole, left))
        left += part * whole
    axes.annotate(
        say("{whole} ms, sync {in_words}", whole=number(whole), in_words=share.in_words),
        (whole, position), xytext=(5, 0), textcoords="offset points", va="center",
        fontsize=8.5, color=style.INK,
    ).set_in_layout(False)  # fmt: skip  # it has its room within the axes


def _group_title(axes: Axes, position: float, name: str) -> None:
    axes.annotate(
        name, (0, position), xycoords=axes.get_yaxis_transform(), xytext=(2, 0),
        textcoords="offset points", va="center", fontweight="bold", fontsize=8.5,
    )  # fmt: skip


def _group_name(frame: pd.DataFrame, model: str, series: str) -> str:
    name = series if len(frame["model"].unique()) == 1 else f"{series}: {model}"
    return style.cut_to_fit(name)
