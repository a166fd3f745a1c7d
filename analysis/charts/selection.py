"""What of a large run is drawn: a chart of a hundred series shows none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells.scaling import DECODE
from analysis.cells.series import Series
from analysis.charts import style
from analysis.charts.style import Look
from analysis.text.sentence import Sentence, say
from analysis.text.wording import count

MODELS = "{drawn} of {models} models are drawn."
IN_GREY = "The {coloured} series with the highest medians are in colour, {rest} more are grey."
LEFT_OUT = "The {coloured} series with the highest medians are drawn, {rest} more are left out."
IN_CSV = "All are in the CSV."
MOST_SERIES = 6
"""Series in colour where they are more than there are colours."""
MANY_SERIES, FEW_MODELS, MOST_MODELS = 40, 2, 6
"""From so many series on a few models have a panel; else up to so many."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The series in colour, and the models with a panel; the CSV files hold all.

    Attributes:
        looks: label of a series to how it is drawn; the others are grey.
        models: that are drawn.
    """

    looks: dict[str, Look]
    models: tuple[str, ...]

    def drawn(self, data: pd.DataFrame) -> pd.DataFrame:
        """The rows of models that are drawn."""
        return data[data["model"].isin(self.models)]

    def only(self, data: pd.DataFrame) -> pd.DataFrame:
        """The rows of series in colour alone, where the others cannot be drawn in grey."""
        own = self.drawn(data)
        return own[own["series"].isin(list(self.looks))]

    def among(self, data: pd.DataFrame, all_series: Sequence[Series]) -> Selection:
        """The selection for a chart of some series only: another one where these lack a colour.

        The fastest series of a run may be those of an engine that does not report what a chart
        shows.

        Args:
            data: what the chart could draw.
            all_series: of the run.
        """
        if set(data["series"]) <= set(self.looks):
            return self
        own = set(zip(data["model"], data["series"], strict=True))
        return selection_of([one for one in all_series if (one.model, one.panel_label) in own])

    def in_words(self, data: pd.DataFrame, *, is_grey: bool = True) -> list[Sentence]:
        """Say what is not drawn, or not in colour; nothing if all is.

        Args:
            data: what the chart could draw.
            is_grey: the series without a colour are drawn in grey, and not left out.
        """
        labels, models = set(data["series"]), set(data["model"])
        found = []
        if hidden := len(models - set(self.models)):
            found.append(say(MODELS, drawn=len(models) - hidden, models=len(models)))
        if rest := len(labels - set(self.looks)):
            template = IN_GREY if is_grey else LEFT_OUT
            found.append(say(template, coloured=count(len(labels) - rest), rest=rest))
        return [*found, say(IN_CSV)] if found else []


def selection_of(all_series: Sequence[Series]) -> Selection:
    """Select all series if there are enough colours; else the fastest of each model."""
    labels = list(dict.fromkeys(series.panel_label for series in all_series))
    models = tuple(dict.fromkeys(series.model for series in all_series))
    most = FEW_MODELS if len(all_series) > MANY_SERIES else MOST_MODELS
    if len(labels) > len(style.PALETTE):
        scores = _scores(all_series)
        best = sorted(labels, key=lambda label: -scores.get(label, 0.0))[:MOST_SERIES]
        labels = [label for label in labels if label in best]
    return Selection(style.looks(labels), models[:most])


def _scores(all_series: Sequence[Series]) -> dict[str, float]:
    """Label to its highest median, relative to the highest of the same model."""
    best: dict[tuple[str, str], float] = {}
    for series in all_series:
        medians = [
            found.value
            for cell in series.measured
            if not cell.software and (found := cell.estimate(DECODE))
        ]
        best[series.model, series.panel_label] = max(medians, default=0.0)
    tops: dict[str, float] = {}
    for (model, _), value in best.items():
        tops[model] = max(tops.get(model, 0.0), value)
    scores: dict[str, float] = {}
    for (model, label), value in best.items():
        share = value / tops[model] if tops[model] else 0.0
        scores[label] = max(scores.get(label, 0.0), share)
    return scores
