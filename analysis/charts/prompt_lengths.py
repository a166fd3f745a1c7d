"""Prefill and decode over the length of the prompt, and the time of a token over its position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.cells.prompt_lengths import LengthCell, Lengths, Positions
from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.charts.legends import CUT
from analysis.statistics.stats import Estimate
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import listing, nodes, number

MOST_PANELS = 6
RATES = (
    "Medians over trials with their 95 % intervals, or the range below six trials. Higher is "
    "better. The length of the prompt is in doublings."
)
TIMES = (
    "The time of a token by its position in the text, medians over trials. Lower is better. A "
    "flat line: tokens take as long at the end as at the beginning."
)
SAID = "{what}: {figures}."
AT_LENGTH = "{value} with {prompt} tokens"
OVER = "{first} ms at position {start} and {last} ms at position {end}"
COLUMNS = ("model", "series", "nodes", "prompt_tokens", "value", "low", "high", "trials")
POSITION_COLUMNS = ("model", "series", "nodes", "prompt_tokens", "position", "ms")
Of = Callable[[LengthCell], Estimate | None]
Panels = dict[tuple[str, str], pd.DataFrame]


def prefill_chart(found: Sequence[Lengths]) -> Chart | None:
    """Make the chart of prefill; None where no prompts of several lengths were read."""
    return _rates("prefill-length", "Prefill by the length of the prompt", found, _prefill)


def decode_chart(found: Sequence[Lengths]) -> Chart | None:
    """Make the chart of decode, of engines that generate after the prompt."""
    after = [one for one in found if one.decodes_after_prompt]
    return _rates("decode-length", "Decode by the length of the prompt", after, _decode)


def _prefill(one: LengthCell) -> Estimate | None:
    return one.prefill


def _decode(one: LengthCell) -> Estimate | None:
    return one.decode


def _rates(name: str, title: str, found: Sequence[Lengths], of: Of) -> Chart | None:
    data = pd.DataFrame(_rows(found, of), columns=list(COLUMNS))
    if data["prompt_tokens"].nunique() < 2:  # noqa: PLR2004 - no two lengths
        return None
    panels = _panels(data)
    return Chart(
        name=name,
        title=title,
        understanding=together([say(RATES), _cut(panels)]),
        data=data,
        draw=partial(_figure, panels, "prompt_tokens", "tokens of the prompt", "tokens/s"),
        description=together([_said(own) for own in list(panels.values())[:MOST_PANELS]]),
    )


def _rows(found: Sequence[Lengths], of: Of) -> list[dict[str, Any]]:
    return [
        {
            "model": group.model,
            "series": group.label,
            "nodes": one.nodes,
            "prompt_tokens": one.prompt,
            "value": told.value,
            "low": told.low,
            "high": told.high,
            "trials": told.n,
        }
        for group in found
        for one in group.cells
        if (told := of(one)) is not None
    ]


def _panels(data: pd.DataFrame) -> Panels:
    return {
        (str(model), str(series)): own
        for (model, series), own in data.groupby(["model", "series"], sort=False)
    }


def _cut(panels: Panels) -> str:
    more = len(panels) > MOST_PANELS
    return say(CUT, drawn=MOST_PANELS, all=len(panels)) if more else ""


def _said(own: pd.DataFrame) -> Sentence:
    told = []
    for count in _counts(own):
        rows = own[own["nodes"] == count]
        at = [
            say(AT_LENGTH, value=number(float(value)), prompt=prompt)
            for value, prompt in zip(rows["value"], rows["prompt_tokens"], strict=True)
        ]
        told.append(say("{nodes}: {list}", nodes=nodes(count), list=listing(list(map(str, at)))))
    return say(SAID, what=own["series"].iloc[0], figures=together(told, "; "))


def _counts(own: pd.DataFrame) -> list[int]:
    """The numbers of nodes in some rows."""
    return sorted({int(count) for count in own["nodes"]})


def _figure(panels: Panels, x: str, x_label: str, y_label: str) -> Figure:
    drawn = dict(list(panels.items())[:MOST_PANELS])
    counts = sorted({int(n) for own in drawn.values() for n in own["nodes"]})
    looks = style.looks(nodes(n) for n in counts)
    with mpl.rc_context(dict(style.RC)):
        size = (style.WIDTH_IN, style.PANEL_IN * len(drawn) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(drawn), 1, squeeze=False)
        for ((model, series), own), axes in zip(drawn.items(), grid[:, 0], strict=True):
            for count in _counts(own):
                _lines(axes, own[own["nodes"] == count], x, looks[nodes(count)])
            _axes(axes, own, x)
            axes.set_xlabel(x_label)
            axes.set_ylabel(y_label)
            if len(drawn) > 1:
                axes.set_title(
                    style.cut_to_fit(say("{model}, {series}", model=model, series=series))
                )
        handles = [
            Line2D([], [], color=look.color, marker=look.marker, linestyle=look.dash, label=label)
            for label, look in looks.items()
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def _lines(axes: Axes, rows: pd.DataFrame, x: str, look: style.Look) -> None:
    """A line with its marks; over positions one for each prompt."""
    if x == "prompt_tokens":
        axes.vlines(rows[x], rows["low"].astype(float), rows["high"].astype(float),
                    color=look.color, linewidth=2)  # fmt: skip
        axes.plot(rows[x], rows["value"], color=look.color, marker=look.marker, linestyle=look.dash)
        return
    for _, own in rows.groupby("prompt_tokens"):
        axes.plot(own[x], own["ms"], color=look.color, linestyle=look.dash, linewidth=1.4)


def _axes(axes: Axes, own: pd.DataFrame, x: str) -> None:
    axes.set_ylim(bottom=0)
    if x != "prompt_tokens":
        return
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted({float(n) for n in own[x]})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def position_chart(found: Sequence[Positions]) -> Chart | None:
    """Make the chart of the time of a token over its position; None where no engine reports it."""
    data = pd.DataFrame(list(_position_rows(found)), columns=list(POSITION_COLUMNS))
    if data.empty:
        return None
    panels = _panels(data)
    return Chart(
        name="token-positions",
        title="Time of a token by its position",
        understanding=together([say(TIMES), _cut(panels)]),
        data=data,
        draw=partial(_figure, panels, "position", "position in the text", "ms per token"),
        description=together([_over(one) for one in found[:MOST_PANELS]]),
    )


def _position_rows(found: Sequence[Positions]) -> Iterator[dict[str, Any]]:
    for one in found:
        for position, ms in one.curve.items():
            yield {
                "model": one.group.model,
                "series": one.group.label,
                "nodes": one.of.nodes,
                "prompt_tokens": one.of.prompt,
                "position": position,
                "ms": ms,
            }


def _over(one: Positions) -> Sentence:
    (start, first), *_, (end, last) = one.curve.items()
    told = say(OVER, first=number(first), start=start, last=number(last), end=end)
    return say(
        SAID,
        what=say("{label} on {nodes}", label=one.group.label, nodes=nodes(one.of.nodes)),
        figures=told,
    )
