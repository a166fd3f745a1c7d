"""Tokens/s of each machine alone, and of the same machines with each as the root.

The table has a row for each trial (`trial`), for the median of each place (`median`) and for each
place without a measurement (`missing`), as those of `analysis.charts.frames`. `times_fastest` is
the median's ratio to the fastest place of its kind that may be compared, paired by block.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cells.places import ALONE, TOGETHER, Contender, Contest, Contests
from analysis.cells.scaling import DECODE
from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.charts.frames import Row, cell_rows
from analysis.charts.legends import legend_of
from analysis.statistics.stats import paired_ratio
from analysis.text.sentence import say, together
from analysis.text.wording import listing, number, plural

READ = (
    "Tokens/s of each machine alone, and of several machines by their root. Faint dots are trials, "
    "the large mark is their median."
)
HEAD_ALONE = "{who}: each machine alone"
HEAD_TOGETHER = "{who}: {n}, by root"
HEAD_OTHERS = "{who}: other sets"
COLUMNS = (
    "model", "series", "kind_of_place", "machines", "root", "nodes", "kind", "block", "value",
    "low", "high", "coverage", "trials", "planned", "state", "reason", "times_fastest",
    "times_fastest_low", "times_fastest_high",
)  # fmt: skip
CROSS = "\N{BALLOT X}"
ROW_IN, HEAD_IN = 0.3, 0.36
"""Heights of a place and of a title, in inches."""
ROOM = 1.1
"""For the number next to the largest."""
Group = tuple[str, str, tuple[Contender, ...]]
"""A title, what kind of places, and them."""


def place_chart(all_contests: Sequence[Contests]) -> Chart:
    """Return the chart of all contests of a run."""
    data = place_frame(all_contests)
    told = [
        say(
            "{machines} with {who} {median}",
            machines=place.machines,
            who=fleet.who,
            median=number(_median(place)),
        )
        for fleet in all_contests
        for _, _, places in _groups(fleet)
        for place in places
        if place.is_measured
    ]
    return Chart(
        "each-machine",
        "Machines alone and together",
        together([say(READ), *legend_of(data)]),
        data,
        partial(_figure, all_contests),
        (),
        say("Tokens/s: {shown}.", shown=listing(told)),
    )


def place_frame(all_contests: Iterable[Contests]) -> pd.DataFrame:
    """Return the table behind the chart."""
    rows = [
        row
        for fleet in all_contests
        for _, kind, places in _groups(fleet)
        for place in places
        for row in _rows(fleet, kind, place, _fastest(places))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _groups(fleet: Contests) -> Iterator[Group]:
    for contest in fleet.contests:
        yield _title(fleet, contest), contest.kind, contest.places
    if fleet.places:
        yield say(HEAD_OTHERS, who=_who(fleet)), "other", fleet.places


def _title(fleet: Contests, contest: Contest) -> str:
    if contest.kind == ALONE:
        return say(HEAD_ALONE, who=_who(fleet))
    return say(HEAD_TOGETHER, who=_who(fleet), n=plural(contest.places[0].cell.nodes, "machine"))


def two_lines(title: str) -> str:
    """A title on two lines at most."""
    first, *rest = textwrap.wrap(title, style.TITLE_CHARACTERS) or [""]
    return "\n".join([first, *([style.cut_to_fit(" ".join(rest))] if rest else [])])


def _who(fleet: Contests) -> str:
    return say(
        "{model} ({weights}) with {who}", model=fleet.model, weights=fleet.weights, who=fleet.who
    )


def _fastest(places: Iterable[Contender]) -> Contender | None:
    return max((one for one in places if one.is_compared), key=_median, default=None)


def _rows(fleet: Contests, kind: str, place: Contender, fastest: Contender | None) -> list[Row]:
    cell = place.cell
    head = {
        "model": fleet.model,
        "series": fleet.who,
        "kind_of_place": kind,
        "machines": place.machines,
        "root": place.root,
        "nodes": cell.nodes,
    }
    return cell_rows(cell, DECODE, head, _times(place, fastest))


def _times(place: Contender, fastest: Contender | None) -> dict[str, float | None]:
    if fastest is None or not place.is_compared or place is fastest:
        return {}
    found = paired_ratio(place.cell.by_block(DECODE), fastest.cell.by_block(DECODE))
    if found is None:
        return {}
    return {
        "times_fastest": found.value,
        "times_fastest_low": found.low,
        "times_fastest_high": found.high,
    }


def _figure(all_contests: Sequence[Contests]) -> Figure:
    groups = [group for fleet in all_contests for group in _groups(fleet)]
    rows = sum(len(places) for _, _, places in groups)
    with mpl.rc_context(dict(style.RC)):
        height = 0.7 + ROW_IN * rows + HEAD_IN * len(groups)
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        axes = figure.add_subplot(xlabel="tokens/s")
        axes.grid(visible=False)
        axes.grid(visible=True, axis="x")
        ticks: list[tuple[float, str]] = []
        at = 0.0
        for title, kind, places in groups:
            axes.annotate(
                two_lines(title), (0.01, at + HEAD_IN / 2), xycoords=("figure fraction", "data"),
                va="center", fontweight="bold", fontsize=9, color=style.INK,
            ).set_in_layout(False)  # fmt: skip
            at += HEAD_IN
            for place in places:
                _place(axes, at + ROW_IN / 2, place, style.PALETTE[0 if kind == ALONE else 2])
                name = say("root {name}", name=place.name) if kind == TOGETHER else place.name
                ticks.append((at + ROW_IN / 2, name))
                at += ROW_IN
        axes.set_yticks([y for y, _ in ticks], [name for _, name in ticks])
        axes.set_ylim(at, -0.1)
        axes.set_xlim(0, axes.get_xlim()[1] * ROOM)
    return figure


def _place(axes: Axes, at: float, place: Contender, color: str) -> None:
    """Draw a place: its trials, its median with the interval, and the number next to it."""
    cell = place.cell
    found = cell.estimate(DECODE)
    if found is None:
        state = (
            "not yet"
            if cell.state == "pending"
            else say("{CROSS} {state}", CROSS=CROSS, state=cell.state)
        )
        axes.annotate(
            state, (0, at), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=8, color=style.MUTED,
        ).set_in_layout(False)  # fmt: skip
        return
    color = style.MUTED if cell.software else color
    values = list(cell.by_block(DECODE).values())
    axes.plot(values, [at] * len(values), "o", color=color, markersize=4, alpha=0.45,
              markeredgewidth=0)  # fmt: skip
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [at, at], color=color, linewidth=2.2)
    fill = color if cell.is_complete and not cell.software else style.PAPER
    axes.plot([found.value], [at], "o", color=color, markersize=7, markerfacecolor=fill,
              markeredgewidth=1.4)  # fmt: skip
    axes.annotate(
        number(found.value), (max([*values, found.high or 0.0]), at), xytext=(7, 0),
        textcoords="offset points", va="center", fontsize=8, color=style.INK,
    ).set_in_layout(False)  # fmt: skip


def _median(place: Contender) -> float:
    found = place.cell.estimate(DECODE)
    return found.value if found else 0.0
