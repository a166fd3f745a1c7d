"""Together or apart: the speed of one user against the tokens/s of all users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.charts.legends import CUT
from analysis.model.together import Choice, Match
from analysis.model.ways import Option
from analysis.statistics.stats import Estimate
from analysis.text.sentence import say, together
from analysis.text.wording import listing, number

ALONE, TOGETHER, SUM, AT_ONCE = "alone", "together", "apart, summed", "at once"
LOOKS = {
    ALONE: (style.PALETTE[4], "o"),
    TOGETHER: (style.PALETTE[0], "s"),
    SUM: (style.PALETTE[1], "D"),
    AT_ONCE: (style.PALETTE[2], "^"),
}
READ = (
    "To the right: more tokens/s of all users. Up: more for one user. Machines together, and a "
    "machine alone, serve one user, so both figures are the same. Machines apart serve one user "
    "each: the mark is the mean of the users, the line reaches from the slowest machine to the "
    "fastest. Horizontal bars are intervals of the tokens/s of all, or ranges below six trials."
)
SUMMED = "Sums are of cells that were measured one at a time."
SAID = "{who}: {ways}."
WAY = "{name} ({kind}) {one} tokens/s for one user and {all} of all"
MOST_PANELS = 4
MOST_NAMES = 36
"""Characters of names next to a mark."""
NEAR = 0.04
"""Share of an axis by which marks may differ and still touch."""
COLUMNS = (
    "model", "series", "kind", "machines", "users", "one_tokens_per_s", "slowest_user",
    "fastest_user", "all_tokens_per_s", "all_low", "all_high", "first_token_s", "first_token_low",
    "first_token_high", "overlap", "state", "reason",
)  # fmt: skip
Row = dict[str, Any]


def together_chart(choices: Sequence[Choice]) -> Chart | None:
    """Make the chart; None where nothing was measured."""
    data = together_frame(choices)
    shown = data.dropna(subset=["all_tokens_per_s"])
    if shown.empty:
        return None
    panels = [own for _, own in shown.groupby(["model", "series"], sort=False)]
    cut = say(CUT, drawn=MOST_PANELS, all=len(panels)) if len(panels) > MOST_PANELS else ""
    has_sums = bool((shown["kind"] == SUM).any())
    return Chart(
        name="together-or-apart",
        title="One user against all users",
        understanding=together([say(READ), say(SUMMED) if has_sums else "", cut]),
        data=data,
        draw=partial(_figure, panels[:MOST_PANELS]),
        description=together([_said(own) for own in panels[:MOST_PANELS]]),
    )


def together_frame(choices: Sequence[Choice]) -> pd.DataFrame:
    """Make the table behind the chart: a row a way to use machines, those not measured included."""
    rows = [row for choice in choices for row in _rows(choice)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(choice: Choice) -> Iterator[Row]:
    head = {"model": choice.model, "series": choice.who}
    for one in choice.alone:
        yield {**head, **_option(one, ALONE)}
    for one in choice.options:
        yield {**head, **_option(one, AT_ONCE if one.users > 1 else TOGETHER)}
    for match in _distinct(choice.matches):
        yield {**head, **_sum(match)}


def _distinct(matches: Sequence[Match]) -> list[Match]:
    """One for each set of machines: orders of the same have the same sum."""
    return list({match.apart.key: match for match in reversed(matches)}.values())[::-1]


def _option(one: Option, kind: str) -> Row:
    speed, first = one.one, one.first_token_s
    return {
        "kind": kind,
        "machines": one.name,
        "users": one.users,
        "one_tokens_per_s": speed.value if speed else None,
        **_all(one.all),
        "first_token_s": first.value if first else None,
        "first_token_low": first.low if first else None,
        "first_token_high": first.high if first else None,
        "overlap": one.overlap.value if one.overlap else None,
        "state": one.cell.state,
        "reason": "; ".join(one.cell.reasons) or None,
    }


def _all(found: Estimate | None) -> Row:
    if found is None:
        return {}
    return {"all_tokens_per_s": found.value, "all_low": found.low, "all_high": found.high}


def _sum(match: Match) -> Row:
    speeds = match.apart.speeds
    return {
        "kind": SUM,
        "machines": ", ".join(one.name for one in match.apart.machines),
        "users": len(speeds),
        "one_tokens_per_s": sum(speeds) / len(speeds),
        "slowest_user": speeds[-1],
        "fastest_user": speeds[0],
        **_all(match.apart.total),
        "state": "summed",
    }


def _said(own: pd.DataFrame) -> str:
    ways = [
        say(
            WAY,
            name=row["machines"],
            kind=row["kind"],
            one=number(float(row["one_tokens_per_s"])),
            all=number(float(row["all_tokens_per_s"])),
        )
        for row in own.to_dict("records")
    ]
    return say(
        SAID,
        who=say("{model}, {series}", model=own["model"].iloc[0], series=own["series"].iloc[0]),
        ways=listing(list(map(str, ways))),
    )


def _figure(panels: Sequence[pd.DataFrame]) -> Figure:
    with mpl.rc_context(dict(style.RC)):
        size = (style.WIDTH_IN, (style.PANEL_IN + 0.5) * len(panels) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False)
        for own, axes in zip(panels, grid[:, 0], strict=True):
            _panel(axes, own)
            if len(panels) > 1:
                title = say(
                    "{model}, {series}", model=own["model"].iloc[0], series=own["series"].iloc[0]
                )
                axes.set_title(style.cut_to_fit(title))
        seen = dict.fromkeys(kind for own in panels for kind in own["kind"])
        handles = [
            Line2D([], [], color=LOOKS[kind][0], marker=LOOKS[kind][1], linestyle="", label=kind)
            for kind in seen
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=4)
    return figure


def _panel(axes: Axes, own: pd.DataFrame) -> None:
    for row in own.to_dict("records"):
        color, marker = LOOKS[str(row["kind"])]
        x, y = float(row["all_tokens_per_s"]), float(row["one_tokens_per_s"])
        if pd.notna(row["all_low"]):
            axes.hlines(y, row["all_low"], row["all_high"], color=color, linewidth=2)
        if pd.notna(row["slowest_user"]):
            axes.vlines(x, row["slowest_user"], row["fastest_user"], color=color, linewidth=1)
        axes.plot(x, y, marker, color=color, markersize=7)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.15)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
    axes.set_xlabel("tokens/s of all users")
    axes.set_ylabel("tokens/s of one user")
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    for kind, x, y, names in labels_of(own, NEAR * right, NEAR * top):
        is_right = x > right / 2
        aside = (-7 if is_right else 7, -10 if kind == SUM else 5)
        axes.annotate(
            names, (x, y), xytext=aside, textcoords="offset points",
            ha="right" if is_right else "left", fontsize=7.5, color=style.INK,
        ).set_in_layout(False)  # fmt: skip


def labels_of(own: pd.DataFrame, wide: float, high: float) -> list[tuple[str, float, float, str]]:
    """Kind, place and names of each label: marks of a kind that touch have one.

    Args:
        own: rows of a panel.
        wide: tokens/s of all users by which marks may differ and touch.
        high: the same for one user.
    """
    found: list[tuple[str, float, float, list[str]]] = []
    for row in own.to_dict("records"):
        x, y = float(row["all_tokens_per_s"]), float(row["one_tokens_per_s"])
        touching = (
            names
            for kind, other_x, other_y, names in found
            if kind == row["kind"] and abs(x - other_x) < wide and abs(y - other_y) < high
        )
        names = next(touching, None)
        if names is None:
            found.append((str(row["kind"]), x, y, [str(row["machines"])]))
        else:
            names.append(str(row["machines"]))
    return [(kind, x, y, _short("; ".join(names))) for kind, x, y, names in found]


def _short(name: str) -> str:
    return name if len(name) <= MOST_NAMES else f"{name[: MOST_NAMES - 1]}…"
