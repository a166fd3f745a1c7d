"""Charts of waiting: every answer a dot, a row a system."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.answers.systems import ASKED_TO_FIRST, ASKED_TO_WHOLE, INTERNET, SystemAnswers
from analysis.charts import said, style
from analysis.charts.chart import Chart
from analysis.charts.frames import ANSWER, MEDIAN
from analysis.statistics.stats import FEWEST
from analysis.text.sentence import say, together
from analysis.text.wording import listing, number

DOTS = (
    "Every dot is an answer, timed from sending its question; the mark is the median over "
    "questions. The axis is logarithmic."
)
SENT_AGAIN = "If a question was sent again, the time is from the first time."
INTERVALS = "The bar is the 95 % interval over questions."
RANGES = "The bar is the range, as there are fewer than six questions."
INTERVALS_OR_RANGES = "The bar is the 95 % interval, or the range below six questions."
REMOTE = (
    "Times of {systems} are {path}: they include the network and the load of the service's other "
    "customers. They show how long a user waits, not how fast a machine is."
)
UNTIMED = "Not shown, because not timed: {systems}."
LONGEST_NAME = 60
CHARTS = (
    ("first-token", "Time to first token (TTFT)", ASKED_TO_FIRST),
    ("whole-answer", "Time to the whole answer", ASKED_TO_WHOLE),
)


def latency_charts(systems: Sequence[SystemAnswers]) -> tuple[Chart, ...]:
    """The charts for which there are times."""
    found = (_chart(name, title, column, systems) for name, title, column in CHARTS)
    return tuple(chart for chart in found if chart is not None)


def _chart(name: str, title: str, column: str, systems: Sequence[SystemAnswers]) -> Chart | None:
    data = _frame(systems, column)
    if data.empty:
        return None
    remote = [system.name for system in systems if system.is_remote and len(system.timed)]
    untimed = [system.name for system in systems if system.timed.empty]
    understanding = together(
        [
            say(DOTS),
            say(SENT_AGAIN) if any(system.asked_again for system in systems) else "",
            *map(say, _bars(data)),
            say(REMOTE, systems=listing(remote), path=INTERNET) if remote else "",
            say(UNTIMED, systems=listing(untimed)) if untimed else "",
        ]
    )
    draw = partial(_figure, data, systems)
    return Chart(name, title, understanding, data, draw, description=said.waiting(data))


def _bars(data: pd.DataFrame) -> list[str]:
    """What the bars are; nothing if there is none."""
    medians = data[(data["kind"] == MEDIAN) & data["low_ms"].notna()]
    answers = data[data["kind"] == ANSWER]
    counts = answers.groupby("system")["question"].nunique()
    many = [counts[name] >= FEWEST for name in medians["system"]]
    if not many:
        return []
    return [INTERVALS if all(many) else INTERVALS_OR_RANGES if any(many) else RANGES]


def _frame(systems: Sequence[SystemAnswers], column: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for system in systems:
        head = {"system": system.name, "measured": system.path}
        for answer in system.timed.to_dict("records"):
            if pd.notna(answer[column]):
                told = {"question": answer["question"], "repeat": answer["repeat"]}
                rows.append({**head, "kind": ANSWER, **told, "value_ms": answer[column]})
        found = system.estimate(column)
        if found is not None:
            ends = {"low_ms": found.low, "high_ms": found.high}
            rows.append({**head, "kind": MEDIAN, "value_ms": found.value, **ends})
    names = ("system", "measured", "kind", "question", "repeat", "value_ms", "low_ms", "high_ms")
    return pd.DataFrame(rows, columns=list(names))


def _figure(data: pd.DataFrame, systems: Sequence[SystemAnswers]) -> Figure:
    looks = style.looks(system.name for system in systems)
    names = list(dict.fromkeys(data["system"]))
    with mpl.rc_context(dict(style.RC)):
        height = 0.75 + 0.6 * len(names)
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.grid(visible=True, axis="x")
        for row, name in enumerate(names):
            _row(axes, row, data[data["system"] == name], looks[name])
        axes.set_yticks([])
        axes.set_ylim(len(names) - 0.45, -0.75)
        _axis(axes, data["value_ms"].to_numpy(dtype=float) / 1000)
    return figure


def _row(axes: Axes, row: int, data: pd.DataFrame, look: style.Look) -> None:
    answers, median = data[data["kind"] == ANSWER], data[data["kind"] == MEDIAN].iloc[0]
    seconds = answers["value_ms"].to_numpy(dtype=float) / 1000
    # Side by side in the order of asking, so that equal times do not hide each other.
    places = row + (np.linspace(-0.14, 0.14, len(seconds)) if len(seconds) > 1 else np.zeros(1))
    axes.plot(seconds, places, "o", color=look.color, markersize=5, alpha=0.5, markeredgewidth=0)
    value = float(median["value_ms"]) / 1000
    if pd.notna(median["low_ms"]):
        ends = [float(median[end]) / 1000 for end in ("low_ms", "high_ms")]
        axes.plot(ends, [row, row], color=look.color, linewidth=2.2)
    axes.plot(
        [value], [row], look.marker, color=look.color, markersize=8, markeredgecolor=style.PAPER
    )
    name = str(median["system"])
    name = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    remote = " (over the Internet)" if median["measured"] == INTERNET else ""
    axes.annotate(
        say("{name}{remote}: {s} s", name=name, remote=remote, s=number(value)),
        (0, row - 0.42),
        xycoords=axes.get_yaxis_transform(), va="center", fontsize=8.5, color=style.INK,
    )  # fmt: skip


def _axis(axes: Axes, seconds: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    positive = seconds[seconds > 0]
    axes.set_xscale("log")
    axes.set_xlim(positive.min() / 1.5, positive.max() * 1.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds from sending the question")
