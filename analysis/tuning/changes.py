"""Every figure of a base and its tuned model in a run, and what its change shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.family import Claim, Compared, Family
from analysis.cells.scaling import DECODE, SPEED
from analysis.statistics.proportions import FEWEST_TO_NAME, holm
from analysis.text.sentence import Sentence, say
from analysis.tuning.arms import Arms, Read, arms_of
from analysis.tuning.pairs import (
    Effect,
    PairedChange,
    ScoredText,
    change_of_documents,
    change_of_questions,
    sign_flip_p,
)
from collect.run import RunManifest
from core.bootstrap import paired_change

COLUMNS = (
    "tuned", "base", "part", "cells", "quantity", "before", "after", "change", "low", "high",
    "count", "p_adjusted", "result",
)  # fmt: skip
"""Of `before-after.csv`."""


class Quantity(StrEnum):
    """What is compared before and after."""

    BITS = "bits per byte"
    RIGHT = "right by the key"
    RATED = "rated"
    SPEED = "tokens/s"


@dataclass(frozen=True, slots=True)
class PartFigures:
    """What a run, or one part of it, gave of each cell.

    Attributes:
        title: what readers call the part; empty for a run without parts.
        cells: of the run or part.
        read: cell to the hashes of the weights that its attempts read.
        adapters: cell to the hashes of the adapters that its attempts read.
        documents: cell to document to what the model made of it.
        grades: cell to question with a key to whether it was answered rightly.
        ratings: rubric to cell to question to the mean over raters.
        family: the comparisons of speeds.
        is_control: nothing but speed was measured, which tuning must not change.
    """

    title: str
    cells: tuple[CellResult, ...]
    read: Read
    adapters: Read
    documents: Mapping[str, Mapping[str, ScoredText]]
    grades: Mapping[str, Mapping[str, bool]]
    ratings: Mapping[str, Mapping[str, Mapping[str, float]]]
    family: Family
    is_control: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """One figure before and after.

    Attributes:
        part: title of the part; empty for a run without parts.
        rubric: by which answers were rated; empty for other quantities.
        change: over documents or questions; None for speed.
        p_adjusted: after Holm over all such changes of the report; None where none was tried.
        effect: what the change shows; None for speed.
        speed: the comparison of speeds; None for other quantities.
    """

    arms: Arms
    part: str
    quantity: Quantity
    rubric: str = ""
    change: PairedChange | None = None
    p_adjusted: float | None = None
    effect: Effect | None = None
    speed: Compared | None = None

    @property
    def name(self) -> str:
        """The quantity, with the rubric of ratings."""
        return (
            say("{quantity} for {rubric}", quantity=self.quantity, rubric=self.rubric)
            if self.rubric
            else str(self.quantity)
        )


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """What tuning changed in a run.

    Attributes:
        rows: figures that were compared, in the order of the parts.
        refusals: why others are not, a sentence each.
        unchecked: pairs whose weights are unknown.
    """

    rows: tuple[Changed, ...]
    refusals: tuple[Sentence, ...]
    unchecked: tuple[str, ...]


def before_after_of(run: RunManifest, parts: Sequence[PartFigures]) -> BeforeAfter:
    """Compare every pair of a run in every part of it.

    Args:
        run: the run's plan.
        parts: what was measured; one for a run without parts.
    """
    rows: list[Changed] = []
    refusals: dict[Sentence, None] = {}
    unchecked: dict[str, None] = {}
    for part in parts:
        found = arms_of(run, part.cells, part.read, part.adapters)
        refusals |= dict.fromkeys(found.refusals)
        unchecked |= dict.fromkeys(found.unchecked)
        for arms in found.arms:
            rows += _rows(arms, part)
    return BeforeAfter(_corrected(rows), tuple(refusals), tuple(unchecked))


def _rows(arms: Arms, part: PartFigures) -> Iterator[Changed]:
    before, after = arms.before.record.cell_id, arms.after.record.cell_id
    if before in part.documents and after in part.documents:
        change = change_of_documents(part.documents[before], part.documents[after])
        if change is not None:
            yield Changed(arms, part.title, Quantity.BITS, change=change)
    if before in part.grades and after in part.grades:
        change = change_of_questions(part.grades[before], part.grades[after])
        if change is not None:
            yield Changed(arms, part.title, Quantity.RIGHT, change=change)
    for rubric, ratings in part.ratings.items():
        change = _change_of_ratings(ratings.get(before, {}), ratings.get(after, {}))
        if change is not None:
            yield Changed(arms, part.title, Quantity.RATED, rubric, change)
    speed = part.family.find(SPEED, after, before) if part.is_control else None
    if speed is not None:
        yield Changed(arms, part.title, Quantity.SPEED, speed=speed)


def _change_of_ratings(
    before: Mapping[str, float], after: Mapping[str, float]
) -> PairedChange | None:
    """Compare mean ratings over the questions whose answers of both arms were rated."""
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return None
    of_before, of_after = ([arm[name] for name in shared] for arm in (before, after))
    found = paired_change(of_before, of_after) if len(shared) >= FEWEST_TO_NAME else None
    changes = [new - old for old, new in zip(of_before, of_after, strict=True)]
    return PairedChange(
        before=sum(of_before) / len(shared),
        after=sum(of_after) / len(shared),
        low=found.low if found else None,
        high=found.high if found else None,
        count=len(shared),
        fewest=FEWEST_TO_NAME,
        p_value=max(found.p_value, sign_flip_p(changes)) if found else None,
        less_is_better=False,
    )


def _corrected(rows: Sequence[Changed]) -> tuple[Changed, ...]:
    """The rows with their effects: all changes of a report are corrected together (Holm)."""
    given = [row.change.p_value if row.change else None for row in rows]
    raised = iter(holm([p_value for p_value in given if p_value is not None]))
    found = []
    for row, p_value in zip(rows, given, strict=True):
        p_adjusted = None if p_value is None else next(raised)
        effect = row.change.effect(p_adjusted) if row.change else None
        found.append(
            Changed(row.arms, row.part, row.quantity, row.rubric, row.change, p_adjusted, effect,
                row.speed)
        )  # fmt: skip
    return tuple(found)


def frame_of(rows: Sequence[Changed]) -> pd.DataFrame:
    """`before-after.csv`: a row a figure, numbers as numbers, the columns always."""
    return pd.DataFrame([_cells(row) for row in rows], columns=list(COLUMNS))


def _cells(row: Changed) -> list[object]:
    arms, change, speed = row.arms, row.change, row.speed
    head = [arms.tuned, arms.base, row.part, arms.where, row.name]
    figures: list[float | None] = []
    tail: list[object] = []
    if change is not None:
        figures = [change.before, change.after, change.change, change.low, change.high]
        tail = [change.count, row.p_adjusted, str(row.effect)]
    elif speed is not None:
        found = speed.ratio
        medians = [median_speed(cell) for cell in (arms.before, arms.after)]
        ends = [found.value, found.low, found.high] if found else [None] * 3
        figures = [*medians, *ends]
        tail = [speed.pair.n, speed.p_adjusted, str(speed.finding)]
    return [*head, *(None if one is None else float(f"{one:.6g}") for one in figures), *tail]


def median_speed(cell: CellResult) -> float | None:
    """A cell's median tokens/s."""
    found = cell.estimate(DECODE)
    return found.value if found else None


def counts_of(rows: Sequence[Changed], effect: Effect | Claim) -> int:
    """How many rows show an effect."""
    return sum(effect in (row.effect, row.speed and row.speed.finding) for row in rows)
