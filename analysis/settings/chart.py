"""The chart of a search: each setting next to the default, and what the confirmation says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.cells.family import Compared
from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.settings.judgement import setting_in_words
from analysis.statistics.stats import paired_ratio
from analysis.text.sentence import say, together
from analysis.text.wording import listing, number, plural, ratio
from collect.search import TuningResult

MOST = 20
"""Settings that are drawn."""
ROW_IN, HEAD_IN = 0.32, 0.9
COLUMNS = ("setting", "kind", "block", "ratio", "low", "high")
SEARCH, PAIR, CONFIRMED = "search", "pair", "confirmation"
READ = (
    "How many times as fast as the default; right of the line is faster. Hollow: in the search, "
    "which is too high for settings that were chosen for it."
)
CONFIRMATION = "Filled: the confirmation with its 95 % interval; faint dots are its pairs."
CUT = "{drawn} of {all} are drawn."
SAID = "In the search, times as fast as the default: {settings}."
SAID_CONFIRMED = "Confirmed for {best}: {ratio}."


def setting_chart(found: TuningResult, row: Compared | None) -> Chart | None:
    """Make the chart; None where no setting was measured next to the default.

    Args:
        found: the search.
        row: the comparison of the confirmation; None where there was none.
    """
    data = pd.DataFrame(_rows(found, row), columns=list(COLUMNS))
    if data.empty:
        return None
    names = list(dict.fromkeys(data["setting"]))
    measured = sum(one.gain is not None for one in found.tried)
    parts = [say(READ), say(CONFIRMATION) if row else ""]
    parts += [say(CUT, drawn=MOST, all=plural(measured, "setting"))] if measured > MOST else []
    return Chart(
        name="settings-tried",
        title="Settings next to the default",
        understanding=together(filter(None, parts)),
        data=data,
        draw=partial(_figure, data, names),
        description=_said(data, row),
    )


def _figure(data: pd.DataFrame, names: list[str]) -> Figure:
    with mpl.rc_context(dict(style.RC)):
        size = (style.WIDTH_IN, HEAD_IN + ROW_IN * len(names))
        figure = Figure(figsize=size, layout="constrained")
        _draw(figure.add_subplot(xlabel="times as fast as the default"), data, names)
    return figure


def _rows(found: TuningResult, row: Compared | None) -> Iterator[tuple[object, ...]]:
    default = found.default
    drawn = [one for one in found.tried if one.gain is not None][:MOST]
    for one in drawn:
        yield setting_in_words(one.setting, default), SEARCH, None, one.gain, None, None
    if row is None or row.ratio is None or found.best is None or found.confirmation is None:
        return
    best, pairs = setting_in_words(found.best.setting, default), found.confirmation
    kind = row.pair.what
    told = paired_ratio(pairs.best.speeds.get(kind, {}), pairs.default.speeds.get(kind, {}))
    for block, value in zip(told.blocks, told.values, strict=True) if told else ():
        yield best, PAIR, block, value, None, None
    yield best, CONFIRMED, None, row.ratio.value, row.ratio.low, row.ratio.high


def _draw(axes: Axes, data: pd.DataFrame, names: list[str]) -> None:
    places = {name: -index for index, name in enumerate(names)}
    axes.axvline(1.0, color=style.MUTED, linewidth=1)
    for kind, group in data.groupby("kind", sort=False):
        at, ratios = group["setting"].map(places), group["ratio"].astype(float)
        if kind == SEARCH:
            axes.scatter(ratios, at, s=36, facecolors=style.PAPER, edgecolors=style.PALETTE[0])
        elif kind == PAIR:
            axes.scatter(ratios, at, s=12, color=style.PALETTE[1], alpha=0.35, linewidths=0)
        else:
            low, middle, high = (float(group[name].iloc[0]) for name in ("low", "ratio", "high"))
            ends = [[middle - low], [high - middle]]
            axes.errorbar(ratios, at, xerr=ends, fmt="D", color=style.PALETTE[1], markersize=5)
    axes.set_yticks(list(places.values()), names)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(value, 2)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, axis="x")
    axes.margins(y=0.6 / max(1, len(names)))


def _said(data: pd.DataFrame, row: Compared | None) -> str:
    search = data[data["kind"] == SEARCH]
    pairs = zip(search["setting"], search["ratio"].astype(float), strict=True)
    told = [
        say("{setting} {number}", setting=setting, number=number(value)) for setting, value in pairs
    ]
    sentence = say(SAID, settings=listing(told))
    if row is None or row.ratio is None:
        return sentence
    best = data[data["kind"] == CONFIRMED]["setting"].iloc[0]
    return say(
        "{sentence} {say}",
        sentence=sentence,
        say=say(SAID_CONFIRMED, best=best, ratio=ratio(row.ratio)),
    )
