"""How to read the marks of a chart, and why a cell has none."""

from __future__ import annotations

import pandas as pd

from analysis.charts import frames
from analysis.charts.panels import Notes
from analysis.statistics.stats import LEVEL
from analysis.text.sentence import Sentence, reported, say

INTERVALS = "The bar is the 95 % interval."
RANGES = "The bar is the range, as there are fewer than six trials."
INTERVALS_OR_RANGES = "The bar is the 95 % interval, or the range below six trials."
ONE_TRIAL = "No bar: one trial."
HOLLOW = "A hollow mark has fewer trials than planned."
CROSS = "A cross is a cell that could not be measured."
CUT = "{drawn} of {all} are drawn. All are in the CSV."


def legend_of(data: pd.DataFrame) -> list[Sentence]:
    """Say what the bars are, and what marks mean that only some charts have."""
    medians = data[data["kind"] == frames.MEDIAN]
    has_bar = medians["low"].notna()
    is_interval = medians.loc[has_bar, "coverage"] >= LEVEL
    found = []
    if has_bar.any():
        bars_are = INTERVALS_OR_RANGES if is_interval.any() else RANGES
        found.append(INTERVALS if is_interval.all() else bars_are)
    if not has_bar.all():
        found.append(ONE_TRIAL)
    if (medians["state"] != "complete").any():
        found.append(HOLLOW)
    if (data["kind"] == frames.MISSING).any():
        found.append(CROSS)
    return [say(template) for template in found]


def footnotes_of(data: pd.DataFrame) -> tuple[Notes, tuple[str, ...]]:
    """The number of each cell's footnote, and the footnotes: why it has no measurement."""
    notes: dict[tuple[str, str, int], int] = {}
    lines: list[str] = []
    reasons: dict[str, int] = {}
    for key, state, why in frames.missing_cells(data):
        reason = reported(why)
        text = say("{state}: {reason}", state=state, reason=reason) if reason != state else state
        if text not in reasons:
            reasons[text] = len(reasons) + 1
            lines.append(text)
        notes[key] = reasons[text]
    return notes, tuple(lines)
