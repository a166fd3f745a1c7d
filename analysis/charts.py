"""Every chart of a report: its table, its figure, and how to read it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import bars, frames, plots, said, style
from analysis.cells import Series
from analysis.csv_file import write_csv
from analysis.scaling import DECODE, Scaling
from analysis.selection import Selection, selection_of
from analysis.stats import LEVEL
from analysis.wording import interval, nodes
from core.foreign import visible

Notes = dict[tuple[str, str, int], int]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready to be written.

    Attributes:
        name: stem of its files.
        title: what it shows.
        understanding: how to read it, a sentence or two.
        data: what is drawn, nothing else.
        figure: the drawing.
        footnotes: why a cell is missing, by the number beside its cross.
        description: what it shows, in a sentence with numbers, for who cannot see it.
    """

    name: str
    title: str
    understanding: str
    data: pd.DataFrame
    figure: Figure
    footnotes: tuple[str, ...] = ()
    description: str = ""


MOST_BASELINES = 3
MOST_BARS = 60
"""What fits on two screens."""
LOOKING = (
    "Faint dots are trials, the large mark is their median, the bar its 95 % interval "
    "over trials; the line only guides the eye."
)


def charts_of(
    all_series: Sequence[Series], scalings: Sequence[Scaling], predict: frames.Predict
) -> tuple[Chart, ...]:
    """All charts for which the run has data, in the order of the report."""
    shown = selection_of(all_series)
    speed_up = frames.speed_ups(scalings)
    split, traffic = frames.time_split(all_series), frames.traffic(all_series, predict)
    found = (
        *(_rate(rate, all_series, shown) for rate in DECODING),
        _speed_up(speed_up, shown, scalings),
        _efficiency(frames.efficiencies(speed_up), shown),
        _time_split(split, shown, all_series),
        _traffic(traffic, shown, all_series),
        _rate(PROMPT, all_series, shown),
    )
    return tuple(chart for chart in found if chart is not None)


@dataclass(frozen=True, slots=True)
class _Rate:
    """A chart of one column of the trials table."""

    name: str
    title: str
    column: str
    unit: str
    better: str


DECODING = (
    _Rate("decode-rate", "Decoding speed", "decode_tokens_per_s", "tokens/s", "Higher"),
    _Rate("decode-time", "Time of a decoded token", "decode_ms_per_token", "ms per token", "Lower"),
)
PROMPT = _Rate(
    "prompt-rate", "Speed of reading the prompt", "prompt_tokens_per_s", "prompt tokens/s", "Higher"
)


def _rate(rate: _Rate, all_series: Sequence[Series], shown: Selection) -> Chart | None:
    data = frames.measured(all_series, rate.column)
    if data.empty:
        return None
    notes, footnotes = _footnotes(data)
    figure = plots.rate(shown.drawn(data), shown.looks, notes, rate.unit)
    understanding = f"{rate.better} is better. {LOOKING}{_legend_of(data)}{shown.in_words(data)}"
    description = said.points(data, rate.unit)
    return Chart(rate.name, rate.title, understanding, data, figure, footnotes, description)


def _speed_up(data: pd.DataFrame, shown: Selection, scalings: Sequence[Scaling]) -> Chart | None:
    if not any(len(scaling.points) > 1 for scaling in scalings):
        return None
    notes, footnotes = _footnotes(data)
    knee = (
        " A ring marks the number of nodes after which more do not pay."
        if any(scaling.knee for scaling in scalings)
        else ""
    )
    understanding = (
        "How many times the baseline's tokens/s. Each faint dot is one block's own ratio, so that "
        "what slowed the machines during a block cancels; the bar is the 95 % interval over "
        f"blocks. Both axes are in doublings.{knee} Baseline: {_baselines(scalings)}."
    )
    figure = plots.speed_up(shown.drawn(data), shown.looks, notes)
    return Chart(
        "speed-up", "Speed-up over nodes",
        understanding + _legend_of(data) + shown.in_words(data), data, figure,
        footnotes, said.points(data, "times the baseline"),
    )  # fmt: skip


def _baselines(scalings: Sequence[Scaling]) -> str:
    """The baseline of every series with its absolute speed (Hoefler & Belli, rule 1)."""
    if len(scalings) > MOST_BASELINES:
        return "the fewest measured nodes of each series; the table of cells has their speeds"
    return "; ".join(
        f"{scaling.series.label} on {nodes(scaling.baseline.nodes)}, "
        f"{interval(scaling.baseline.estimate(DECODE))} tokens/s"
        for scaling in scalings
    )


def _efficiency(data: pd.DataFrame, shown: Selection) -> Chart | None:
    if data.empty or (data["kind"] == frames.MEDIAN).sum() <= data["series"].nunique():
        return None
    notes, footnotes = _footnotes(data)
    understanding = (
        "Speed-up divided by how many times the nodes. 100 % would mean that no node's work is "
        "wasted; above that lies noise, or what caches and memory may give."
    )
    if (data["baseline_nodes"] > 1).any():
        understanding += " Where the baseline has several nodes, it is relative to theirs."
    figure = plots.efficiency(shown.drawn(data), shown.looks, notes)
    return Chart(
        "efficiency", "Efficiency over nodes",
        understanding + _legend_of(data) + shown.in_words(data), data, figure,
        footnotes, said.points(data, "% of ideal"),
    )  # fmt: skip


def _time_split(data: pd.DataFrame, shown: Selection, all_series: Sequence[Series]) -> Chart | None:
    if data.empty:
        return None
    drawn = _legible(shown.only(data))
    cut = f" {len(drawn)} of {len(data)} cells are drawn." if len(drawn) < len(data) else ""
    understanding = (
        "Where the root spends a token's time: computing, or exchanging with and waiting for the "
        "other nodes (so a slow node shows up as sync, not only a slow network). Parts are "
        "medians over trials. What the engine cut off in rounding may be either."
        + _silent(data, all_series, "do not tell these apart")
        + shown.in_words(data, others="are left out")
        + cut
    )
    return Chart(
        "time-split", "Compute and sync", understanding, data, bars.time_split(drawn),
        description=said.split(data),
    )  # fmt: skip


def _legible(data: pd.DataFrame) -> pd.DataFrame:
    """At most about `MOST_BARS` cells: of each series some, from the fewest nodes to the most."""
    if len(data) <= MOST_BARS:
        return data
    by_series = data.groupby(["model", "series"], sort=False)
    groups = [group.sort_values("nodes") for _, group in by_series]
    most = max(2, MOST_BARS // len(groups))
    kept = [np.linspace(0, len(group) - 1, min(len(group), most)).round() for group in groups]
    return pd.concat([group.iloc[at.astype(int)] for group, at in zip(groups, kept, strict=True)])


def _traffic(data: pd.DataFrame, shown: Selection, all_series: Sequence[Series]) -> Chart | None:
    if data.empty or float(data[["sent_kib", "received_kib"]].to_numpy().max()) == 0:
        return None
    has_theory = bool(data["predicted_sent_kib"].notna().any())
    understanding = (
        "What the root sends and receives for each decoded token. The engine rounds every line "
        "down to whole KiB."
        + (
            " Dashes are what the engine's algorithm must move for this model's shape; a distance "
            "of more than 1 KiB means that it does something else."
            if has_theory
            else ""
        )
        + _silent(data, all_series, "do not tell their traffic")
        + shown.in_words(data, others="are left out")
    )
    return Chart(
        "traffic", "Traffic per token", understanding, data,
        plots.traffic(shown.only(data), shown.looks), description=said.traffic(data),
    )  # fmt: skip


def _silent(data: pd.DataFrame, all_series: Sequence[Series], what: str) -> str:
    """Which engines of the run tell nothing for a chart."""
    heard = {(row.model, row.series) for row in data.itertuples()}
    silent = {
        series.engine
        for series in all_series
        if series.measured and (series.model, series.panel_label) not in heard
    }
    return f" Not shown: {', '.join(sorted(silent))} (logs {what})." if silent else ""


def _legend_of(data: pd.DataFrame) -> str:
    """What marks mean that only some charts have."""
    medians = data[data["kind"] == frames.MEDIAN]
    parts = []
    if (medians["state"] != "complete").any():
        parts.append("A hollow mark stands on fewer trials than planned.")
    if (data["kind"] == frames.MISSING).any():
        parts.append("A cross is a cell that could not be measured.")
    if (medians["coverage"] < LEVEL).any() and medians["low"].notna().any():
        parts.append("With fewer than six trials the bar is their range.")
    if medians["low"].isna().any():
        parts.append("No bar: one trial.")
    return "".join(f" {part}" for part in parts)


def _footnotes(data: pd.DataFrame) -> tuple[Notes, tuple[str, ...]]:
    notes: Notes = {}
    lines: list[str] = []
    reasons: dict[str, int] = {}
    for key, state, reason in frames.missing_cells(data):
        text = f"{state}: {reason}" if reason != state else state
        if text not in reasons:
            reasons[text] = len(reasons) + 1
            lines.append(text)
        notes[key] = reasons[text]
    return notes, tuple(lines)


def write(chart: Chart, folder: Path) -> str:
    """Write a chart's CSV, PNG and SVG; the SVG for the page comes back."""
    write_csv(chart.data, folder / f"{chart.name}.csv")
    with mpl.rc_context(dict(style.RC)):
        chart.figure.savefig(folder / f"{chart.name}.png", dpi=style.PNG_DPI)
        chart.figure.set_layout_engine("none")  # laid out once; it takes a third of the time
        buffer = io.StringIO()
        chart.figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": chart.title})
    svg = buffer.getvalue()
    (folder / f"{chart.name}.svg").write_text(svg, encoding="utf-8")
    return inline_svg(svg, chart)


def inline_svg(svg: str, chart: Chart) -> str:
    """A figure as part of a page: scales with it, follows its colours, keeps its ids apart.

    Who cannot see it hears its title and its description.
    """
    name = chart.name
    body = svg[svg.index("<svg ") :]
    head_end = body.index(">")
    view_box = re.search(r'viewBox="([^"]+)"', body[:head_end])
    inner = re.sub(r"<metadata>.*?</metadata>", "", body[head_end + 1 :], flags=re.DOTALL)
    inner = re.sub(r"<style.*?</style>", "", inner, flags=re.DOTALL)
    inner = re.sub(r'\bid="', f'id="{name}-', inner)
    inner = re.sub(r'href="#', f'href="#{name}-', inner)
    inner = re.sub(r"url\(#", f"url(#{name}-", inner)
    for color, variable in style.CSS_VARIABLES.items():
        inner = inner.replace(color, f"var({variable})")
    box = view_box[1] if view_box else "0 0 400 300"
    told = Markup('role="img" aria-label="{}" aria-describedby="{}-said"').format(chart.title, name)
    said = Markup('<desc id="{}-said">{}</desc>').format(name, visible(chart.description))
    return f'<svg viewBox="{box}" {told}>{said}{inner}'
