"""What raters thought of the answers: who rated, means of each system, how far raters agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from analysis.answers.systems import SystemAnswers
from analysis.cells.tabulate import Table, table
from analysis.statistics.kappa import weighted_kappa
from analysis.statistics.stats import mean
from analysis.text.sentence import say
from analysis.text.wording import DASH, NOTHING, plural
from collect.ratings import RUBRICS, Judgement, answer_hash

Ratings = Mapping[str, Sequence[Judgement]]
"""Rater to what counts of that rater's judgements."""
LOWEST, HIGHEST = 1.0, 5.0
"""Scores that there are."""
HALF_A_POINT = 0.5
"""Least spread that scores are taken to have: they are whole, and six alike may be luck."""


@dataclass(frozen=True, slots=True)
class Rated:
    """What the section on ratings shows.

    Attributes:
        raters: who rated, and how much.
        means: a row a system, a column a rubric.
        points: every score, a row a question and system.
        agreement: a row a pair of raters, a column a rubric; None with one rater.
        questions: how many questions have a score.
        scores: every score: a row a judgement and a system that gave the answer.
    """

    raters: Table
    means: Table
    points: Table
    agreement: Table | None
    questions: int
    scores: pd.DataFrame


def rated_answers(systems: Sequence[SystemAnswers], ratings: Ratings) -> Rated | None:
    """Return the ratings of a run; None where no one rated its answers.

    Args:
        systems: that answered.
        ratings: as `collect.ratings.read_ratings` gives them.
    """
    scores = _scores(systems, ratings)
    if scores.empty:
        return None
    there = {
        (question, answer_hash(text))
        for system in systems
        for question, text in system.first_texts().items()
    }
    return Rated(
        raters=_rater_table(ratings, there),
        means=_mean_table(scores),
        points=_point_table(scores),
        agreement=_agreement_table(ratings) if len(ratings) > 1 else None,
        questions=int(scores["question"].nunique()),
        scores=scores,
    )


def _scores(systems: Sequence[SystemAnswers], ratings: Ratings) -> pd.DataFrame:
    """A row for each judgement and each system that gave the answer, in the order of systems."""
    rows = [
        {"rater": rater, **one.model_dump(exclude={"at"})}
        for rater, judged in ratings.items()
        for one in judged
        if one.scores
    ]
    judged = pd.DataFrame(rows, columns=["rater", "question", "answer", *RUBRICS, "comment"])
    given = pd.concat(
        system.answers.assign(system=system.name, answer=system.answers["text"].map(answer_hash))[
            ["system", "cell_id", "question", "answer"]
        ]
        for system in systems
    ).drop_duplicates()
    scores = given.merge(judged, on=["question", "answer"])
    return scores[["system", "cell_id", "question", "rater", *RUBRICS, "comment"]]


def _rater_table(ratings: Ratings, there: set[tuple[str, str]]) -> Table:
    rows = []
    for rater, judged in ratings.items():
        whole = sum(one.is_whole and (one.question, one.answer) in there for one in judged)
        rows.append(
            [
                rater,
                say("{whole} of {there}", whole=whole, there=len(there)),
                str(sum(bool(one.scores) and not one.is_whole for one in judged)),
                _date(min(one.at for one in judged)),
                _date(max(one.at for one in judged)),
            ]
        )
    columns = ("Rater", "Answers judged", "In part", "From", "To")
    return table(columns, rows, columns[1:3])


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _mean_table(scores: pd.DataFrame) -> Table:
    rows = []
    for system, own in scores.groupby("system", sort=False):
        # Over raters first: a question counts once, however many rated its answer.
        by_question = own.groupby("question")[list(RUBRICS)].mean()
        means = [_mean(list(by_question[rubric].dropna())) for rubric in RUBRICS]
        rows.append([str(system), *means])
    columns = (
        "System",
        *(say("{rubric}: mean (95 %)", rubric=rubric.capitalize()) for rubric in RUBRICS),
    )
    return table(columns, rows, columns[1:])


def _mean(points: Sequence[float]) -> str:
    """The mean of one point a question, with its interval or range over questions."""
    found = mean(points, least_spread=HALF_A_POINT)
    if found is None:
        return NOTHING
    over = plural(found.n, "question")
    if found.low is None or found.high is None:
        return say("{value:.1f}, {over}", value=found.value, over=over)
    ends = f"{max(found.low, LOWEST):.1f}{DASH}{min(found.high, HIGHEST):.1f}"
    if found.has_interval:
        return say("{value:.1f} ({ends}), {over}", value=found.value, ends=ends, over=over)
    return say("{value:.1f} (range {ends}), {over}", value=found.value, ends=ends, over=over)


def _point_table(scores: pd.DataFrame) -> Table:
    rows = []
    for (question, system), given in scores.groupby(["question", "system"], sort=False):
        points = [
            ", ".join(str(int(score)) for score in given[rubric].dropna()) or NOTHING
            for rubric in RUBRICS
        ]
        words = zip(given["rater"], given["comment"], strict=True)
        remarks = "; ".join(f"{rater}: {comment}" for rater, comment in words if comment)
        rows.append([str(question), str(system), *points, remarks or NOTHING])
    rows.sort(key=lambda row: row[0])
    rubrics = [rubric.capitalize() for rubric in RUBRICS]
    return table(("Question", "System", *rubrics, "Comments"), rows, rubrics)


def _agreement_table(ratings: Ratings) -> Table:
    by_rater = {
        rater: {(one.question, one.answer): one.scores for one in judged}
        for rater, judged in ratings.items()
    }
    found: dict[str, list[float]] = {rubric: [] for rubric in RUBRICS}
    rows = []
    for one, other in itertools.combinations(by_rater, 2):
        row = [f"{one}, {other}"]
        for rubric in RUBRICS:
            pairs = [
                (scores[rubric], by_rater[other][answer][rubric])
                for answer, scores in by_rater[one].items()
                if rubric in scores and rubric in by_rater[other].get(answer, {})
            ]
            kappa = weighted_kappa([pair[0] for pair in pairs], [pair[1] for pair in pairs])
            found[rubric] += [] if kappa is None else [kappa]
            row.append(f"{NOTHING if kappa is None else f'{kappa:.2f}'} (n = {len(pairs)})")
        rows.append(row)
    if len(rows) > 1:
        rows.append(
            [say("Mean of {rows} pairs", rows=len(rows)), *(_mean_kappa(k) for k in found.values())]
        )
    columns = ("Raters", *(rubric.capitalize() for rubric in RUBRICS))
    return table(columns, rows, columns[1:])


def _mean_kappa(kappas: Sequence[float]) -> str:
    if not kappas:
        return NOTHING
    return say(
        "{mean:.2f} ({kappas})", mean=float(np.mean(kappas)), kappas=plural(len(kappas), "pair")
    )
