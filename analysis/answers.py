"""What was answered to each question, side by side, and how long it took. It judges no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells import CellResult, Series
from analysis.stats import estimate
from analysis.tabulate import Table, table
from analysis.wording import NOTHING, interval, number, plural
from collect.questions import Question

TIMES = ("ttft_ms", "total_ms", "tokens_per_s")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what each cell answered."""

    question: Question
    answers: Table


def counting(answers: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The answers of attempts that count, with the cell and repeat of their trial."""
    of_trials = trials[["attempt_id", "cell_id", "repeat"]].dropna()
    return answers.merge(of_trials, on="attempt_id")


def time_table(all_series: Sequence[Series], answers: pd.DataFrame) -> Table:
    """Per cell: waiting for the first token and for all, over trials; a trial is one figure.

    Args:
        all_series: of the run.
        answers: as `counting` makes them.
    """
    rows = []
    for series in all_series:
        for cell in series.measured:
            of_cell = answers[answers["cell_id"] == cell.record.cell_id]
            by_trial = of_cell.groupby("repeat")[list(TIMES)].median()
            rows.append(
                [
                    series.label,
                    str(cell.nodes),
                    plural(len(by_trial), "trial"),
                    *(_interval(by_trial[name], cell) for name in TIMES),
                ]
            )
    columns = (
        "Series", "Nodes", "Measured", "First token after, ms: median (95 %)",
        "Whole answer after, ms", "Tokens/s after the first",
    )  # fmt: skip
    return table(columns, rows, [columns[1], *columns[3:]])


def asked(
    questions: Sequence[Question], all_series: Sequence[Series], answers: pd.DataFrame
) -> tuple[Asked, ...]:
    """Every question with the answers of all cells, and the times of all their trials."""
    columns = (
        "Series", "Nodes", "Answer", "Tokens", "Cut off", "First token after, ms",
        "Whole answer after, ms", "Tokens/s",
    )  # fmt: skip
    found = []
    for question in questions:
        to_this = answers[answers["question"] == question.id]
        rows = [
            _row(series, cell, to_this[to_this["cell_id"] == cell.record.cell_id])
            for series in all_series
            for cell in series.measured
        ]
        found.append(Asked(question, table(columns, rows, [columns[1]])))
    return tuple(found)


def _row(series: Series, cell: CellResult, answers: pd.DataFrame) -> list[str]:
    answers = answers.sort_values("repeat")
    texts = list(answers["text"])
    others = sum(text != texts[0] for text in texts)
    remark = f" [otherwise in {others} of {plural(len(texts), 'trial')}]" if others else ""
    times = (_each(answers[name], cell) for name in TIMES)
    # A piece may hold several tokens, but not more are generated than are allowed.
    at_least = (answers["tokens_from"] == "pieces") & (answers["truncated"] != True)  # noqa: E712
    tokens = dict.fromkeys(
        f"{count} or more" if more else str(count)
        for count, more in zip(answers["tokens"], at_least.fillna(value=True), strict=True)
    )
    cut = dict.fromkeys(answers["truncated"].map({True: "yes", False: "no"}).fillna("not told"))
    return [
        series.label,
        str(cell.nodes),
        (texts[0].strip() or "(nothing)") + remark,
        ", ".join(tokens),
        ", ".join(cut),
        *times,
    ]


def _each(values: pd.Series, cell: CellResult) -> str:
    """The value of every trial; none of an emulated cell, whose times are the emulator's."""
    known = [] if cell.emulated else list(values.dropna())
    return ", ".join(number(float(value)) for value in known) or NOTHING


def _interval(values: pd.Series, cell: CellResult) -> str:
    known = [] if cell.emulated else [float(value) for value in values.dropna()]
    return interval(estimate(known, cell.seed), brief=True)
