"""The charts of speed, of its scaling, and of where a token's time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from analysis.cells.labels import users_at_once
from analysis.cells.scaling import DECODE, Scaling
from analysis.cells.series import Series
from analysis.charts import bars, frames, plots, said
from analysis.charts.chart import Chart
from analysis.charts.legends import footnotes_of, legend_of
from analysis.charts.selection import Selection
from analysis.text.sentence import say, together
from analysis.text.wording import interval, nodes

MOST_BASELINES = 3
MOST_BARS = 60
"""What fits on two screens."""
HIGHER, LOWER = "Higher is better.", "Lower is better."
MARKS = "Faint dots are trials, the large mark is their median; the line only guides the eye."
RATIOS = (
    "How many times the baseline's tokens/s. Each faint dot is the ratio within one block, so that "
    "what slowed the machines during a block cancels out. Both axes are in doublings."
)
KNEE = "A ring marks the number of nodes after which more do not pay."
BASELINE = "Baseline: {baselines}."
EFFICIENCY = (
    "Speed-up divided by how many times the nodes. At 100 % no node's work is wasted; above that "
    "is noise, or an effect of caches and memory."
)
OF_SEVERAL = "If the baseline has several nodes, it is relative to theirs."
SPLIT = (
    "Where the root spends a token's time: computing, or exchanging with and waiting for the other "
    "nodes (so a slow node shows up as sync, not only a slow network). Parts are medians over "
    "trials. What the engine's log truncates may be either."
)
CUT = "{drawn} of {cells} cells are drawn."
TRAFFIC = (
    "What the root sends and receives for each decoded token. The engine rounds every line of its "
    "log down to whole KiB."
)
THEORY = (
    "Dashes show what the engine's algorithm must move for this model's shape; a distance of more "
    "than 1 KiB means that it does something else."
)
NO_SPLIT = "Not shown: {engines} (the logs do not separate compute and sync)."
NO_TRAFFIC = "Not shown: {engines} (the logs do not report traffic)."
NOTHING_MOVED = "A series without traffic, such as a machine alone, is not drawn."
NO_SEVERAL = "Not shown: several deployments at once (only their speeds are kept)."


def decode_charts(all_series: Sequence[Series], shown: Selection) -> tuple[Chart, ...]:
    """Make the charts of decoding for which the run has data."""
    return _made(*(_rate(rate, all_series, shown) for rate in DECODING))


def scaling_charts(scalings: Sequence[Scaling], shown: Selection) -> tuple[Chart, ...]:
    """Make the charts of speed over nodes; none where only one number of nodes was measured."""
    speed_up = frames.speed_ups(scalings)
    if not any(len(scaling.points) > 1 for scaling in scalings):
        return ()
    return _made(
        _speed_up(speed_up, shown, scalings), _efficiency(frames.efficiencies(speed_up), shown)
    )


def time_charts(
    all_series: Sequence[Series], shown: Selection, predict: frames.Predict
) -> tuple[Chart, ...]:
    """Make the charts of where a token's time goes, as far as engines report it.

    Args:
        all_series: every series of the run on nodes.
        shown: which of them are drawn.
        predict: what an engine's algorithm must move.
    """
    split, traffic = frames.time_split(all_series), frames.traffic(all_series, predict)
    is_moved = traffic[["sent_kib", "received_kib"]].max(axis=1) > 0
    moved = traffic[traffic["series"].isin(traffic.loc[is_moved, "series"])]
    return _made(
        _time_split(split, shown.among(split, all_series), all_series),
        _traffic(traffic, moved, shown.among(moved, all_series), all_series),
    )


def prompt_charts(all_series: Sequence[Series], shown: Selection) -> tuple[Chart, ...]:
    """Make the chart of prefill, where the run has its speed."""
    return _made(_rate(PROMPT, all_series, shown))


def _made(*charts: Chart | None) -> tuple[Chart, ...]:
    return tuple(chart for chart in charts if chart is not None)


@dataclass(frozen=True, slots=True)
class _Rate:
    """A chart of one column of the trials table."""

    name: str
    title: str
    column: str
    unit: str
    better: str


DECODING = (
    _Rate("decode-rate", "Decoding speed", "decode_tokens_per_s", "tokens/s", HIGHER),
    _Rate("decode-time", "Time per decoded token", "decode_ms_per_token", "ms per token", LOWER),
)
PROMPT = _Rate("prompt-rate", "Prefill speed", "prompt_tokens_per_s", "prompt tokens/s", HIGHER)


def _rate(rate: _Rate, all_series: Sequence[Series], shown: Selection) -> Chart | None:
    data = frames.measured(all_series, rate.column)
    if data.empty:
        return None
    notes, footnotes = footnotes_of(data)
    draw = partial(plots.rate, shown.drawn(data), shown.looks, notes, rate.unit)
    understanding = together(
        [say(rate.better), say(MARKS), *legend_of(data), *shown.in_words(data)]
    )
    description = said.points(data, rate.unit)
    return Chart(rate.name, rate.title, understanding, data, draw, footnotes, description)


def _speed_up(data: pd.DataFrame, shown: Selection, scalings: Sequence[Scaling]) -> Chart:
    notes, footnotes = footnotes_of(data)
    understanding = together(
        [
            say(RATIOS),
            say(KNEE) if any(scaling.knee for scaling in scalings) else "",
            say(BASELINE, baselines=_baselines(scalings)),
            *legend_of(data),
            *shown.in_words(data),
        ]
    )
    draw = partial(plots.speed_up, shown.drawn(data), shown.looks, notes)
    return Chart(
        "speed-up", "Speed-up over nodes",
        understanding, data, draw,
        footnotes, said.points(data, "times the baseline"),
    )  # fmt: skip


def _baselines(scalings: Sequence[Scaling]) -> str:
    """The baseline of every series with its absolute speed (Hoefler & Belli, rule 1)."""
    if len(scalings) > MOST_BASELINES:
        return "the fewest measured nodes of each series; the table of cells has their speeds"
    told = [
        say(
            "{label} on {nodes}, {estimate} tokens/s",
            label=scaling.series.label,
            nodes=nodes(scaling.baseline.nodes),
            estimate=interval(scaling.baseline.estimate(DECODE)),
        )
        for scaling in scalings
    ]
    return together(told, "; ")


def _efficiency(data: pd.DataFrame, shown: Selection) -> Chart | None:
    if data.empty or (data["kind"] == frames.MEDIAN).sum() <= data["series"].nunique():
        return None
    notes, footnotes = footnotes_of(data)
    understanding = together(
        [
            say(EFFICIENCY),
            say(OF_SEVERAL) if (data["baseline_nodes"] > 1).any() else "",
            *legend_of(data),
            *shown.in_words(data),
        ]
    )
    draw = partial(plots.efficiency, shown.drawn(data), shown.looks, notes)
    return Chart(
        "efficiency", "Efficiency over nodes",
        understanding, data, draw,
        footnotes, said.points(data, "% of ideal"),
    )  # fmt: skip


def _time_split(data: pd.DataFrame, shown: Selection, all_series: Sequence[Series]) -> Chart | None:
    if data.empty:
        return None
    selected = shown.only(data)
    drawn = _legible(selected)
    is_cut = len(drawn) < len(selected)
    understanding = together(
        [
            say(SPLIT),
            _silent(data, all_series, NO_SPLIT),
            *shown.in_words(data, is_grey=False),
            say(CUT, drawn=len(drawn), cells=len(selected)) if is_cut else "",
        ]
    )
    return Chart(
        "time-split", "Compute and sync", understanding, data, partial(bars.time_split, drawn),
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


def _traffic(
    data: pd.DataFrame, moved: pd.DataFrame, shown: Selection, all_series: Sequence[Series]
) -> Chart | None:
    """The chart of traffic; of `moved`, the series that send something, since 0 draws nothing."""
    if moved.empty:
        return None
    has_theory = bool(data["predicted_sent_kib"].notna().any())
    understanding = together(
        [
            say(TRAFFIC),
            say(THEORY) if has_theory else "",
            _silent(data, all_series, NO_TRAFFIC),
            say(NOTHING_MOVED) if len(moved) < len(data) else "",
            *shown.in_words(moved, is_grey=False),
        ]
    )
    return Chart(
        "traffic", "Traffic per token", understanding, data,
        partial(plots.traffic, shown.only(moved), shown.looks), description=said.traffic(data),
    )  # fmt: skip


def _silent(data: pd.DataFrame, all_series: Sequence[Series], template: str) -> str:
    """Say what of the run a chart cannot show: engines that do not report it, deployments at once.

    Args:
        data: of the chart.
        all_series: of the run.
        template: for engines.
    """
    heard = {(row.model, row.series) for row in data.itertuples()}
    unheard = [
        series
        for series in all_series
        if series.measured and (series.model, series.panel_label) not in heard
    ]
    silent = {one.engine for one in unheard if users_at_once(one.params) == 1}
    has_several = any(users_at_once(one.params) > 1 for one in unheard)
    return together(
        [
            say(template, engines=", ".join(sorted(silent))) if silent else "",
            say(NO_SEVERAL) if has_several else "",
        ]
    )
