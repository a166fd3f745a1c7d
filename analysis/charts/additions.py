"""What each set of machines makes: a row a set, with its ratio to the base and to the one before.

The table has a row for each trial (`trial`), for the median of each set (`median`) and for each set
without a measurement (`missing`), as those of `analysis.charts.frames`. `of_base` and `of_before`
are ratios of speeds, paired by block; both are empty where a GPU is software.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.cells.additions import Addition, Setup
from analysis.cells.family import Compared
from analysis.cells.labels import DEVICE, GROUP
from analysis.cells.scaling import DECODE
from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.charts.frames import Row, cell_rows
from analysis.charts.legends import footnotes_of, legend_of
from analysis.charts.panels import Notes
from analysis.charts.plots import LOG_FROM
from analysis.text.sentence import say, together
from analysis.text.wording import TIMES, listing, number, ratio

READ = (
    "Tokens/s of each set of machines. Faint dots are trials, the large mark is their median. "
    "Below each name: its speed as a multiple of the base, and of the set before it, paired by "
    "block, each with its 95 % interval or its range."
)
BASES = "Base: {bases}."
SOFTWARE = "Grey: the GPU is software, so its speed is compared with no other."
OF_BASE, OF_BEFORE = "base {times} {ratio}", "one before {times} {ratio}"
COLUMNS = (
    "model", "series", "machines", "nodes", "gpus", "kind", "block", "value", "low", "high",
    "coverage", "trials", "planned", "state", "reason", "of_base", "of_base_low", "of_base_high",
    "of_base_verdict", "of_before", "of_before_low", "of_before_high", "of_before_verdict",
)  # fmt: skip
BASE = "the base"
CROSS = "\N{BALLOT X}"
ROW_IN, HEAD_IN = 0.6, 0.3
"""Heights of a set and of the name of a setup, in inches."""


def addition_chart(setups: Sequence[Setup]) -> Chart:
    """The chart of all setups of a run."""
    data = addition_frame(setups)
    notes, footnotes = footnotes_of(data.assign(series=data["series"] + data["machines"]))
    bases = [
        say("{machines} ({label})", machines=setup.base.machines, label=setup.label)
        if len(setups) > 1
        else setup.base.machines
        for setup in setups
        if setup.base
    ]
    understanding = together(
        [
            say(READ),
            say(BASES, bases=together(bases, "; ")) if bases else "",
            say(SOFTWARE) if any(setup.software for setup in setups) else "",
            *legend_of(data),
        ]
    )
    told = [
        say(
            "{machines} with {label} {median}",
            machines=one.machines,
            label=setup.label,
            median=number(_median(one)),
        )
        for setup in setups
        for one in setup.measured
    ]
    return Chart(
        "sets-of-machines",
        "Sets of machines",
        understanding,
        data,
        partial(_figure, setups, notes),
        footnotes,
        say("Tokens/s: {shown}.", shown=listing(told)),
    )


def addition_frame(setups: Iterable[Setup]) -> pd.DataFrame:
    """The table behind the chart."""
    rows = [row for setup in setups for one in setup.additions for row in _rows(setup, one)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(setup: Setup, one: Addition) -> list[Row]:
    cell = one.cell
    head = {
        "model": one.series.model,
        "series": setup.label,
        "machines": one.machines,
        "nodes": cell.nodes,
        "gpus": "; ".join(f"{node}: {gpu.name}" for node, gpu in cell.gpus.items()) or None,
    }
    compared = {
        **_beside("of_base", one.against_base),
        **_beside("of_before", one.against_before),
    }
    return cell_rows(cell, DECODE, head, compared)


def _beside(name: str, found: Compared | None) -> dict[str, Any]:
    if found is None or found.ratio is None:
        return {}
    told = found.ratio
    return {
        name: told.value,
        f"{name}_low": told.low,
        f"{name}_high": told.high,
        f"{name}_verdict": str(found.finding),
    }


def _figure(setups: Sequence[Setup], notes: Notes) -> Figure:
    rows = sum(len(setup.additions) for setup in setups)
    heads = len(setups) if len(setups) > 1 else 0
    with mpl.rc_context(dict(style.RC)):
        height = 0.6 + ROW_IN * rows + HEAD_IN * heads
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.grid(visible=True, axis="x")
        axes.set_yticks([])
        at = 0.0
        colors = _colors(setups)
        for setup in setups:
            if heads:
                _written(axes, at, setup.label, fontweight="bold", fontsize=9)
                at += HEAD_IN
            for one in setup.additions:
                note = notes.get((one.series.model, setup.label + one.machines, one.cell.nodes))
                told = BASE if one is setup.base else _told(one)
                _set(axes, at, one, told, colors[id(one.series)], note)
                at += ROW_IN
        axes.set_ylim(at, -0.15)
        _axis(axes, [_median(one) for setup in setups for one in setup.measured])
        axes.set_xlabel("tokens/s")
    return figure


def _colors(setups: Iterable[Setup]) -> dict[int, str]:
    """A colour for each device and group, the same in all setups."""
    kinds: dict[tuple[object, object], str] = {}
    found = {}
    for one in (one for setup in setups for one in setup.additions):
        kind = (one.series.params.get(DEVICE), one.series.params.get(GROUP))
        color = kinds.setdefault(kind, style.PALETTE[len(kinds) % len(style.PALETTE)])
        found[id(one.series)] = color
    return found


def _set(axes: Axes, at: float, one: Addition, told: str, color: str, note: int | None) -> None:
    """A set: its name and speed, its ratios to others, and its trials below."""
    cell, mark = one.cell, at + 0.32
    found = cell.estimate(DECODE)
    if found is None:
        state = "not yet" if cell.state == "pending" else CROSS
        _written(
            axes,
            at,
            say("{machines}: {state}{value}", machines=one.machines, state=state, value=note or ""),
        )
        return
    color = style.MUTED if cell.software else color
    _written(
        axes,
        at,
        say("{machines}: {value} tokens/s", machines=one.machines, value=number(found.value)),
        color=style.INK,
    )
    _written(axes, at + 0.15, told, fontsize=7.5)
    values = list(cell.by_block(DECODE).values())
    axes.plot(values, [mark] * len(values), "o", color=color, markersize=4, alpha=0.45,
              markeredgewidth=0)  # fmt: skip
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [mark, mark], color=color, linewidth=2.2)
    fill = color if cell.is_complete and not cell.software else style.PAPER
    axes.plot([found.value], [mark], "o", color=color, markersize=7, markerfacecolor=fill,
              markeredgewidth=1.4)  # fmt: skip


def _told(one: Addition) -> str:
    """How many times the speed of the base, and of the one before where that is another."""
    if one.cell.software:
        return "software, not compared"
    base, before = one.against_base, one.against_before
    parts = [(OF_BASE, base)]
    if before is not None and (base is None or before.pair.key != base.pair.key):
        parts.append((OF_BEFORE, before))
    told = [
        say(template, times=TIMES, ratio=ratio(found.ratio, brief=True))
        for template, found in parts
        if found is not None and found.ratio is not None
    ]
    return together(told, "; ")


def _written(axes: Axes, at: float, text: str, **look: Any) -> None:  # noqa: ANN401 - matplotlib's
    axes.annotate(
        text, (0, at), xycoords=axes.get_yaxis_transform(), va="center",
        **{"color": style.MUTED, "fontsize": 8.5, **look},
    ).set_in_layout(False)  # fmt: skip  # it has its room within the axes


def _axis(axes: Axes, medians: Sequence[float]) -> None:
    seen = [float(v) for line in axes.lines for v in np.asarray(line.get_xdata(), dtype=float)]
    if min(medians) > 0 and max(medians) / min(medians) > LOG_FROM:
        axes.set_xscale("log")
        axes.set_xlim(min(seen) / 1.3, max(seen) * 1.3)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        return
    axes.set_xlim(0, max(seen) * 1.06)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _median(one: Addition) -> float:
    found = one.cell.estimate(DECODE)
    return found.value if found else 0.0
