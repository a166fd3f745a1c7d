"""Compare what engines generate with the reference implementation, for the same weights.

A greedy text agrees if every token up to the reference's first special token is the
reference's. 32-bit weights must agree, in text and in probabilities. For quantised weights the
distance is reported and not judged: engines round what nodes exchange, each in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.series import Series
from collect.reference import References, ReferenceSays, ReferenceText
from collect.workloads import Greedy

LOG_PROBABILITY_LIMIT = 1e-3
"""How far the logarithm of a token's probability may be from the reference's in 32 bits."""
PRINTED_LIMIT = 1e-6
"""distributed-llama prints probabilities with six decimals."""
CONTEXT_TOKENS = 6
"""Tokens that are shown from a difference on."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a text leaves the reference.

    Attributes:
        prompt: of the text.
        token: its number among the generated tokens, from 1.
        expected: what the reference says from there on.
        found: what the engine says.
        margin: how much larger the reference's logit of its token is than that of the next.
    """

    prompt: str
    token: int
    expected: str
    found: str
    margin: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """A cell against the reference with the same weights.

    Attributes:
        prompts: how many texts were compared.
        differences: of the texts that are not the reference's, in the order of prompts.
        changes: absolute difference of the logarithm of each scored token's probability, where the
            engine reports it; empty where the text was not scored.
        beyond: how many of them are larger than 32-bit weights allow.
        misread: the scored text was split into other tokens.
        perplexity: of the scored text; None where it was not scored.
    """

    series: Series
    cell: CellResult
    prompts: int
    differences: tuple[Difference, ...]
    changes: tuple[float, ...]
    beyond: int
    misread: bool
    perplexity: float | None

    @property
    def is_judged(self) -> bool:
        """Whether it has to agree."""
        return self.series.weights == "f32"

    @property
    def agrees(self) -> bool:
        """Whether everything that was compared is the reference's."""
        return not (self.differences or self.beyond or self.misread)

    @property
    def is_wrong(self) -> bool:
        """Whether it has to agree and does not."""
        return self.is_judged and not self.agrees


def agreements(
    workload: Greedy,
    all_series: Sequence[Series],
    trials: pd.DataFrame,
    texts: pd.DataFrame,
    references: References,
) -> tuple[Agreement, ...]:
    """Every cell with a done trial against its reference, in the order of the series.

    Args:
        workload: of the run.
        all_series: of the run.
        trials: the run's table of that name.
        texts: the run's table of that name.
        references: what the run's models say.
    """
    done = trials[trials["state"] == "done"].sort_values("repeat")
    by_cell = {str(cell): rows for cell, rows in done.groupby("cell_id", sort=False)}
    said = {str(trial): rows for trial, rows in texts.groupby("trial_id", sort=False)}
    return tuple(
        _agreement(workload, series, cell, by_cell[cell.record.cell_id], said, reference)
        for series in all_series
        for cell in series.measured
        if (reference := references.of(series.model, series.weights)) is not None
    )


def _agreement(
    workload: Greedy,
    series: Series,
    cell: CellResult,
    trials: pd.DataFrame,
    said: Mapping[str, pd.DataFrame],
    reference: ReferenceSays,
) -> Agreement:
    prompts = 0
    differences: list[Difference] = []
    changes: list[float] = []
    beyond, misread, perplexity = 0, False, None
    for trial in trials.to_dict("records"):
        rows = said.get(str(trial["trial_id"]))
        repeat = int(trial["repeat"])
        prompt = workload.prompt(repeat)
        if prompt is not None:
            pieces = [] if rows is None else [str(text) for text in rows["text"].fillna("")]
            differences += difference(prompt, pieces, reference.continuations[repeat - 1])
            prompts += 1
            continue
        scores = [] if rows is None else rows["log_probability"].tolist()
        perplexity = float(trial["perplexity"])
        misread = len(scores) != len(reference.scored)
        if not misread:
            changes, beyond = _changes(scores, reference.scored)
    return Agreement(
        series, cell, prompts, tuple(differences), tuple(changes), beyond, misread, perplexity
    )


def difference(prompt: str, pieces: Sequence[str], expected: ReferenceText) -> Iterator[Difference]:
    """The first token that is another one, if there is any.

    Args:
        prompt: of the text.
        pieces: what each generated token adds to it.
        expected: the reference's text.
    """
    wanted = expected.pieces[: expected.compared]
    for index, piece in enumerate(wanted):
        if index >= len(pieces) or pieces[index] != piece:
            end = index + CONTEXT_TOKENS
            yield Difference(
                prompt,
                index + 1,
                "".join(wanted[index:end]),
                "".join(pieces[index:end]),
                expected.margins[index],
            )
            return


def _changes(scores: Sequence[object], expected: Sequence[float]) -> tuple[list[float], int]:
    """Absolute differences, and how many of them are too large for 32-bit weights."""
    changes, beyond = [], 0
    for score, wanted in zip(scores, expected, strict=True):
        if not isinstance(score, float):
            continue
        change = abs(score - wanted)
        changes.append(change)
        beyond += change > LOG_PROBABILITY_LIMIT + PRINTED_LIMIT / math.exp(wanted)
    return changes, beyond


def distances(says: ReferenceSays, exact: ReferenceSays) -> list[float]:
    """Absolute differences of the logarithms of the scored tokens' probabilities."""
    return _changes(says.scored, exact.scored)[0]
