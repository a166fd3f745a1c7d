"""What raters thought of the answers: who rated, means of each system, how far raters agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from analysis.answers import counting
from analysis.cells import Series
from analysis.kappa import weighted_kappa
from analysis.stats import FEWEST_FOR_INTERVAL, LEVEL, RESAMPLES
from analysis.tabulate import Table, table
from analysis.wording import DASH, NOTHING, plural
from collect.ratings import RUBRICS, Judgement, answer_hash
from collect.tables import Tables

Ratings = Mapping[str, Sequence[Judgement]]
"""Rater to what counts of that rater's judgements."""


@dataclass(frozen=True, slots=True)
class Rated:
    """What the section on ratings shows.

    Attributes:
        raters: who rated, and how much.
        means: a row a system, a column a rubric.
        points: every score, a row a question and system.
        agreement: a row a pair of raters, a column a rubric; None with one rater.
        questions: how many questions have a score.
    """

    raters: Table
    means: Table
    points: Table
    agreement: Table | None
    questions: int


def rated_answers(
    all_series: Sequence[Series], ratings: Ratings, tables: Tables, seed: int
) -> tuple[Rated, pd.DataFrame] | None:
    """The ratings of a run, and every score as a row; None where nobody rated its answers.

    Args:
        all_series: of the run.
        ratings: as `collect.ratings.read_ratings` gives them.
        tables: of the run.
        seed: of the run, for the bootstrap.
    """
    answers = counting(tables.answers, tables.trials)
    hashed = answers.assign(answer=answers["text"].map(answer_hash))
    scores = _scores(all_series, ratings, hashed)
    if scores.empty:
        return None
    shown = hashed.sort_values("repeat").drop_duplicates(["cell_id", "question"])
    there = set(zip(shown["question"], shown["answer"], strict=True))
    return (
        Rated(
            raters=_rater_table(ratings, there),
            means=_mean_table(scores, seed),
            points=_point_table(scores),
            agreement=_agreement_table(ratings) if len(ratings) > 1 else None,
            questions=int(scores["question"].nunique()),
        ),
        scores,
    )


def _scores(all_series: Sequence[Series], ratings: Ratings, hashed: pd.DataFrame) -> pd.DataFrame:
    """A row for each judgement and each cell that gave the answer, in the order of the cells."""
    rows = [
        {"rater": rater, **one.model_dump(exclude={"at"})}
        for rater, judged in ratings.items()
        for one in judged
        if one.scores
    ]
    judged = pd.DataFrame(rows, columns=["rater", "question", "answer", *RUBRICS, "comment"])
    cells = pd.DataFrame(
        [
            {"cell_id": cell.record.cell_id, "series": series.label, "nodes": cell.nodes}
            for series in all_series
            for cell in series.measured
        ],
        columns=["cell_id", "series", "nodes"],
    )
    given = hashed[["cell_id", "question", "answer"]].drop_duplicates()
    scores = cells.merge(given, on="cell_id").merge(judged, on=["question", "answer"])
    return scores[["series", "nodes", "cell_id", "question", "rater", *RUBRICS, "comment"]]


def _rater_table(ratings: Ratings, there: set[tuple[str, str]]) -> Table:
    rows = []
    for rater, judged in ratings.items():
        whole = sum(one.is_whole and (one.question, one.answer) in there for one in judged)
        rows.append(
            [
                rater,
                f"{whole} of {len(there)}",
                str(sum(bool(one.scores) and not one.is_whole for one in judged)),
                _date(min(one.at for one in judged)),
                _date(max(one.at for one in judged)),
            ]
        )
    columns = ("Rater", "Answers judged", "In part", "From", "To")
    return table(columns, rows, columns[1:3])


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _mean_table(scores: pd.DataFrame, seed: int) -> Table:
    rows = []
    for (series, nodes), of_cell in _by_cell(scores):
        # Over raters first: a question counts once, however many rated its answer.
        by_question = of_cell.groupby("question")[list(RUBRICS)].mean()
        means = [_mean(list(by_question[rubric].dropna()), seed) for rubric in RUBRICS]
        rows.append([series, str(nodes), *means])
    columns = ("Series", "Nodes", *(f"{rubric.capitalize()}: mean (95 %)" for rubric in RUBRICS))
    return table(columns, rows, columns[1:])


def _by_cell(scores: pd.DataFrame) -> list[tuple[tuple[str, int], pd.DataFrame]]:
    return [
        ((str(rows["series"].iloc[0]), int(rows["nodes"].iloc[0])), rows)
        for _, rows in scores.groupby("cell_id", sort=False)
    ]


def _mean(points: Sequence[float], seed: int) -> str:
    """The mean of one point a question, with its percentile bootstrap interval over questions."""
    if not points:
        return NOTHING
    over = plural(len(points), "question")
    sample = np.asarray(points, dtype=np.float64)
    if sample.size < FEWEST_FOR_INTERVAL:
        return f"{sample.mean():.1f} (no interval), {over}"
    generator = np.random.default_rng(seed)
    means = sample[generator.integers(sample.size, size=(RESAMPLES, sample.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return f"{sample.mean():.1f} ({low:.1f}{DASH}{high:.1f}), {over}"


def _point_table(scores: pd.DataFrame) -> Table:
    rows = []
    for (series, nodes), of_cell in _by_cell(scores):
        for question, given in of_cell.groupby("question", sort=False):
            points = [
                ", ".join(str(int(score)) for score in given[rubric].dropna()) or NOTHING
                for rubric in RUBRICS
            ]
            words = zip(given["rater"], given["comment"], strict=True)
            remarks = "; ".join(f"{rater}: {comment}" for rater, comment in words if comment)
            rows.append([str(question), series, str(nodes), *points, remarks or NOTHING])
    rows.sort(key=lambda row: row[0])
    rubrics = [rubric.capitalize() for rubric in RUBRICS]
    return table(("Question", "Series", "Nodes", *rubrics, "Comments"), rows, ["Nodes", *rubrics])


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
        rows.append([f"Mean of {len(rows)} pairs", *(_mean_kappa(k) for k in found.values())])
    columns = ("Raters", *(rubric.capitalize() for rubric in RUBRICS))
    return table(columns, rows, columns[1:])


def _mean_kappa(kappas: Sequence[float]) -> str:
    if not kappas:
        return NOTHING
    return f"{float(np.mean(kappas)):.2f} ({plural(len(kappas), 'pair')})"
