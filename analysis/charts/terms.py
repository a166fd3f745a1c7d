"""Stacked bars of the terms of a token's time by the cost model, with what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.charts import style
from analysis.model.cost import TERMS, Term
from analysis.text.wording import number, plural

COLORS: Mapping[Term, str] = MappingProxyType(
    {
        "memory": style.PALETTE[0],
        "computing": style.PALETTE[4],
        "latency": style.PALETTE[5],
        "transfer": style.PALETTE[1],
        "waiting": style.PALETTE[3],
    }
)
ROOM = 1.3
"""How much wider the axes are than the longest bar, for the figure at its end."""


def term_bars(frame: pd.DataFrame) -> Figure:
    """Draw a bar for each row: its terms, one after the other, and a mark for what was measured.

    Args:
        frame: `series`, `model`, `nodes`, `<term>_ms`, `measured_ms`.
    """
    groups = list(frame.groupby(["series", "model"], sort=False))
    with mpl.rc_context(dict(style.RC)):
        height = 0.9 + 0.27 * (len(frame) + len(groups))
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.grid(visible=True, axis="x")
        position, ticks = 0.0, []
        for (series, model), rows in groups:
            if len(groups) > 1:
                _heading(axes, position, f"{series}: {model}")
                position += 0.9
            for _, row in rows.sort_values("nodes").iterrows():
                _bar(axes, position, row)
                ticks.append((position, plural(int(row["nodes"]), "node")))
                position += 1
            position += 0.35
        axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
        axes.tick_params(axis="y", labelcolor=style.INK)
        axes.set_ylim(position - 0.6, -0.75)
        totals = frame[[f"{term}_ms" for term in TERMS]].sum(axis=1)
        axes.set_xlim(0, ROOM * float(max(totals.max(), frame["measured_ms"].max())))
        axes.set_xlabel("ms per decoded token")
        measured = Line2D([], [], color=style.INK, marker="|", linestyle="", label="measured")
        parts = [Patch(color=color, label=term) for term, color in COLORS.items()]
        figure.legend(handles=[*parts, measured], loc="outside upper left", ncols=3)
    return figure


def _bar(axes: Axes, position: float, row: pd.Series) -> None:
    left = 0.0
    for term, color in COLORS.items():
        width = float(row[f"{term}_ms"])
        axes.barh(position, width, left=left, height=0.74, color=color, linewidth=0)
        left += width
    measured = float(row["measured_ms"])
    axes.plot([measured, measured], [position - 0.45, position + 0.45], color=style.INK, lw=1.5)
    axes.annotate(
        number(measured), (max(left, measured), position), xytext=(5, 0),
        textcoords="offset points", va="center", fontsize=8.5, color=style.INK,
    ).set_in_layout(False)  # fmt: skip


def _heading(axes: Axes, position: float, name: str) -> None:
    axes.annotate(
        style.cut_to_fit(name), (0, position), xycoords=axes.get_yaxis_transform(), xytext=(2, 0),
        textcoords="offset points", va="center", fontweight="bold", fontsize=8.5,
    )  # fmt: skip
