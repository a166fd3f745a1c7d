"""What is compared between systems that answered the same questions; the unit is the question."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from analysis.answers.accuracy import RIGHT, Accuracy
from analysis.answers.systems import ASKED_TO_FIRST, ASKED_TO_WHOLE, SystemAnswers
from analysis.cells.family import Pair, Side
from analysis.statistics.proportions import FEWEST_TO_NAME, discordance
from analysis.statistics.stats import Ratio, paired_ratio
from analysis.text.sentence import say
from collect.ratings import RUBRICS

FIRST, WHOLE, RATE = "first token", "whole answer", "tokens/s of an answer"
TIMED: Mapping[str, tuple[str, bool]] = {
    FIRST: (ASKED_TO_FIRST, True),
    WHOLE: (ASKED_TO_WHOLE, True),
    RATE: ("tokens_per_s", False),
}
"""Quantity to its column of the answers, and whether that is a time: then it is turned round."""

Figures = Mapping[str, Mapping[str, float]]
"""System to question to figure."""


def rated_for(rubric: str) -> str:
    """What a comparison of ratings is called."""
    return say("rated for {rubric}", rubric=rubric)


def ratings_of(systems: Sequence[SystemAnswers], scores: pd.DataFrame, rubric: str) -> Figures:
    """Mean over raters, by system and question."""
    rated = scores.dropna(subset=[rubric])
    found = {}
    for system in systems:
        own = rated[rated["cell_id"] == system.cell.record.cell_id]
        means = own.groupby("question", sort=False)[rubric].mean()
        if len(means):
            found[system.name] = {str(question): float(mean) for question, mean in means.items()}
    return found


def question_pairs(
    systems: Sequence[SystemAnswers], graded: Accuracy | None, scores: pd.DataFrame | None
) -> tuple[Pair, ...]:
    """Every two systems in every quantity, more being better: times are turned into speeds.

    Below 30 questions there is nothing to correct for: so few say nothing about others.

    Args:
        systems: of the run.
        graded: by the keys; None where no question has one.
        scores: what raters gave; None without any.
    """
    found: list[Pair] = []
    for what, (column, is_time) in TIMED.items():
        times = {s.name: s.by_question(column) for s in systems if s.is_comparable}
        found += _pairs(what, times, _speeds if is_time else paired_ratio)
    if scores is not None:
        for rubric in RUBRICS:
            rated = ratings_of(systems, scores, rubric)
            found += _pairs(rated_for(rubric), rated, paired_ratio)
    if graded is not None:
        found += _right(graded)
    return tuple(found)


Compare = Callable[[Mapping[str, float], Mapping[str, float]], Ratio | None]


def _speeds(one: Mapping[str, float], other: Mapping[str, float]) -> Ratio | None:
    """How many times as soon the one is as the other."""
    return paired_ratio(other, one)


def _pairs(what: str, figures: Figures, compare: Compare) -> Iterator[Pair]:
    for one, other in itertools.combinations(figures, 2):
        ratio = compare(figures[one], figures[other])
        if ratio is not None and ratio.blocks:
            n = len(ratio.blocks)
            yield Pair(what, Side(one, one), Side(other, other), n, ratio, fewest=FEWEST_TO_NAME)


def _right(graded: Accuracy) -> Iterator[Pair]:
    for one, other in itertools.combinations(graded.grades, 2):
        found = discordance(graded.grades[one], graded.grades[other])
        hits = [graded.share(name).hits for name in (one, other)]
        yield Pair(
            what=RIGHT,
            numerator=Side(one, one),
            denominator=Side(other, other),
            n=found.questions,
            ratio=Ratio(hits[0] / hits[1], None, None, (hits[0] / hits[1],)) if all(hits) else None,
            exact_p=found.p_value,
            is_above=found.first_only > found.second_only,
            fewest=FEWEST_TO_NAME,
        )
