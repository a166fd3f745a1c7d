"""Identical arms: the ratio of each cell to itself, and the noise floor around 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cells.arms import Twice
from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.statistics.floor import Floor
from analysis.text.sentence import say, together
from analysis.text.wording import listing

READ = (
    "How many times arm b's speed arm a has: at 1 both are alike. Faint dots are single blocks, "
    "the large mark is their geometric mean with its 95 % interval, or its range below six."
)
BAND = "The shaded band is the noise floor: no difference inside it is reported."
MOST = 40
"""Rows that are drawn; the table has all."""
CUT = "{drawn} of {rows} are drawn."
COLUMNS = ("what", "cell", "kind", "block", "value", "low", "high")
ROW_IN, HEAD_IN = 0.34, 0.9
"""Heights of a row and of all around them, in inches."""


def noise_chart(twice: Iterable[Twice], floors: Mapping[str, Floor]) -> Chart | None:
    """The chart of all cells that were measured twice; None if none has a ratio."""
    rows = [one for one in twice if one.compared.ratio is not None]
    if not rows:
        return None
    data = noise_frame(rows)
    drawn = rows[:MOST]
    understanding = together(
        [
            say(READ),
            say(BAND) if floors else "",
            say(CUT, drawn=len(drawn), rows=len(rows)) if len(drawn) < len(rows) else "",
        ]
    )
    told = [
        say("{label} {value:.3f}", label=_label(one, rows), value=one.compared.ratio.value)
        for one in rows
        if one.compared.ratio
    ]
    return Chart(
        name="identical-arms",
        title="Identical arms",
        understanding=understanding,
        data=data,
        draw=partial(_figure, drawn, floors),
        description=say("Arm a in times of arm b: {shown}.", shown=listing(told)),
    )


def noise_frame(twice: Iterable[Twice]) -> pd.DataFrame:
    """The table behind the chart: a row a block, and one for the mean of each cell."""
    rows: list[tuple[object, ...]] = []
    for one in twice:
        ratio = one.compared.ratio
        if ratio is None:
            continue
        pairs = zip(ratio.blocks, ratio.values, strict=True)
        rows += [(one.what, one.name, "block", str(b), v, None, None) for b, v in pairs]
        rows.append((one.what, one.name, "mean", None, ratio.value, ratio.low, ratio.high))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _label(one: Twice, all_rows: Iterable[Twice]) -> str:
    several = len({each.what for each in all_rows}) > 1
    return say("{name}, {what}", name=one.name, what=one.what) if several else one.name


def _figure(rows: list[Twice], floors: Mapping[str, Floor]) -> Figure:
    with mpl.rc_context(dict(style.RC)):
        height = HEAD_IN + ROW_IN * len(rows)
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        axes = figure.add_subplot(xlabel="speed of arm a, in times of arm b")
        axes.grid(visible=False)
        axes.grid(visible=True, axis="x")
        for at, one in enumerate(rows):
            _row(axes, at, one, floors.get(one.what))
        axes.axvline(1, color=style.MUTED, linewidth=0.8)
        labels = [_short(_label(one, rows)) for one in rows]
        axes.set_yticks(np.arange(len(rows)), labels)
        axes.tick_params(axis="y", labelcolor=style.INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _row(axes: Axes, at: int, one: Twice, floor: Floor | None) -> None:
    ratio = one.compared.ratio
    if ratio is None:
        return
    if floor is not None:
        width = floor.ratio - 1 / floor.ratio
        axes.barh(at, width, left=1 / floor.ratio, height=1, color=style.GRID, linewidth=0)
    color = style.PALETTE[1] if one.is_apart else style.PALETTE[0]
    axes.plot(ratio.values, [at] * ratio.n, "o", color=color, alpha=0.3, markersize=3.5)
    if ratio.low is not None and ratio.high is not None:
        axes.plot([ratio.low, ratio.high], [at, at], "-", color=color, linewidth=1.6)
    axes.plot([ratio.value], [at], "o", color=color, markersize=6)


def _short(name: str) -> str:
    """The end of a long name: it says how many nodes there are."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


LONGEST = 44
