"""Speeds of cells that two runs have: ratios, and what may be said of each.

Everything is corrected together. Three things must be exceeded: the noise of trials and of runs (in
the interval and the p-value), the noise floor of identical arms, and what unchanged cells changed
by. These are controls, and show what the day did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.cells.family import Claim, Compared, Family, Pair, Side
from analysis.statistics.floor import Floor
from analysis.statistics.proportions import FEWEST_TO_NAME, holm
from analysis.statistics.two_runs import (
    Between,
    Logs,
    TwoMeans,
    alike_of,
    mean_of,
    over_questions,
    two_means,
)
from analysis.text.sentence import say
from analysis.text.wording import within
from core.student import two_sided_p

AS_CONTROLS = "unchanged cells differ about as much"
WITHIN = "the ratio is within {margin}, which counts as the same"
ONE_SIDED = 0.025
"""Share of comparisons that may be called slower by more than a limit where none is."""
Cells = Mapping[str, Logs]
"""Cell to the logarithms of its speeds, by block."""


@dataclass(frozen=True, slots=True)
class SpeedPair:
    """A cell that both runs have, and one of its speeds.

    Attributes:
        what: the quantity, such as `tokens/s`.
        key: identifies the cell.
        name: the cell for readers.
        baseline: logarithms of the speed in the baseline, by block, or by question; of answers
            that of 1/s.
        contender: the same in the contender.
        is_changed: something of it was changed, as far as it is recorded.
    """

    what: str
    key: str
    name: str
    baseline: Mapping[int, float] | Mapping[str, float]
    contender: Mapping[int, float] | Mapping[str, float]
    is_changed: bool = True

    @property
    def per_s(self) -> tuple[float, float]:
        """The geometric means of the baseline and of the contender, each over all it has."""
        baseline, contender = (
            math.exp(math.fsum(logs.values()) / len(logs))
            for logs in (self.baseline, self.contender)
        )
        return baseline, contender


@dataclass(frozen=True, slots=True)
class SpeedChange:
    """What became of a speed.

    Attributes:
        asked: the cell.
        means: of both runs, with the error of their ratio.
        compared: its verdict after all corrections, for the contender; a limit of the noise that
            took a verdict away is its `why`.
        p_beyond: how often chance makes it look so much slower, after correction, if it is slower
            by just the limit; None without a limit, or with too few trials.
    """

    asked: SpeedPair
    means: TwoMeans
    compared: Compared
    p_beyond: float | None = None

    @property
    def is_beyond(self) -> bool:
        """It is slower by more than the limit."""
        slower = self.compared.finding is Claim.SLOWER
        return slower and self.p_beyond is not None and self.p_beyond < ONE_SIDED


def speed_changes(
    asked: Sequence[SpeedPair],
    between: Mapping[str, Between],
    margin: float,
    floors: Mapping[str, Floor] | None = None,
    limit: float | None = None,
) -> tuple[SpeedChange, ...]:
    """Compare the speeds of two runs.

    Args:
        asked: every cell and speed that both have, each once.
        between: quantity to how far two runs of the same differ in it.
        margin: relative difference below which two speeds count as the same.
        floors: quantity to how far identical arms differ in it, where that was measured.
        limit: share by which no speed may be slower: 0.05 is 5 %.
    """
    means = _means(asked, between)
    above = _above_controls(asked, means)
    family = Family(_pairs(asked, means, above), margin, floors=floors)
    plain = Family(_pairs(asked, means, [0.0] * len(asked)), margin, floors=floors)
    rows = [
        _outside(_controlled(row, without), margin)
        for row, without in zip(family.rows, plain.rows, strict=True)
    ]
    beyond = _p_beyond(means, limit)
    together = zip(asked, means, rows, beyond, strict=True)
    return tuple(SpeedChange(*one) for one in together)


def _means(asked: Sequence[SpeedPair], between: Mapping[str, Between]) -> list[TwoMeans]:
    alike = {
        (what, side): alike_of([_blocks(getattr(one, side)) for one in asked if one.what == what])
        for what in {one.what for one in asked}
        for side in ("contender", "baseline")
    }
    found = []
    for one in asked:
        contender, baseline = _blocks(one.contender), _blocks(one.baseline)
        if contender and baseline:
            means = (
                mean_of(contender, alike[one.what, "contender"]),
                mean_of(baseline, alike[one.what, "baseline"]),
            )
            found.append(two_means(*means, between[one.what]))
            continue
        later, earlier = (
            {str(key): value for key, value in side.items()}
            for side in (one.contender, one.baseline)
        )
        paired = over_questions(later, earlier, between[one.what], FEWEST_TO_NAME)
        if paired is None:
            raise ValueError(f"the cell {one.key} has no {one.what} in common")
        found.append(paired)
    return found


def _blocks(logs: Mapping[int, float] | Mapping[str, float]) -> Logs:
    """Those of trials; empty where they are of questions."""
    return {key: value for key, value in logs.items() if isinstance(key, int)}


def _pairs(
    asked: Sequence[SpeedPair], means: Sequence[TwoMeans], above: Sequence[float]
) -> Iterator[Pair]:
    """Make a comparison of each, whose p-value is not below that against the controls."""
    for one, found, least in zip(asked, means, above, strict=True):
        sides = Side(f"{one.key} contender", one.name), Side(f"{one.key} baseline", one.name)
        p_value = None if found.p_value is None else max(found.p_value, least)
        ratio, is_above = found.ratio, found.log > 0
        yield Pair(one.what, *sides, found.n, ratio, p_value, is_above, fewest=found.fewest)


def _above_controls(asked: Sequence[SpeedPair], means: Sequence[TwoMeans]) -> list[float]:
    """How often chance makes a changed cell differ so much from the unchanged ones.

    Returns:
        1 where it differs the other way; 0 of unchanged cells, and where there are none.
    """
    found = []
    for one, own in zip(asked, means, strict=True):
        controls = _controls(asked, means, one.what)
        if not one.is_changed or not controls:
            found.append(0.0)
            continue
        level = math.fsum(control.log for control in controls) / len(controls)
        error = math.hypot(
            own.error, math.sqrt(math.fsum(c.error**2 for c in controls)) / len(controls)
        )
        is_same_way = (own.log - level) * own.log > 0
        found.append(two_sided_p((own.log - level) / error, own.degrees) if is_same_way else 1.0)
    return found


def _controls(asked: Sequence[SpeedPair], means: Sequence[TwoMeans], what: str) -> list[TwoMeans]:
    return [
        found
        for one, found in zip(asked, means, strict=True)
        if one.what == what and not one.is_changed and found.is_tried
    ]


def _controlled(row: Compared, without: Compared) -> Compared:
    """Say why, where controls took a verdict away."""
    is_taken = row.finding is Claim.UNKNOWN and without.finding in (Claim.FASTER, Claim.SLOWER)
    return Compared(row.pair, row.p_adjusted, row.finding, say(AS_CONTROLS)) if is_taken else row


def _outside(row: Compared, margin: float) -> Compared:
    """Take a verdict away whose ratio is within what counts as the same."""
    is_spoken = row.finding in (Claim.FASTER, Claim.SLOWER) and row.ratio is not None
    if not is_spoken or not row.ratio or abs(math.log(row.ratio.value)) > math.log1p(margin):
        return row
    why = say(WITHIN, margin=within(margin))
    return Compared(row.pair, row.p_adjusted, Claim.UNKNOWN, why)


def _p_beyond(means: Sequence[TwoMeans], limit: float | None) -> list[float | None]:
    given = [one.p_slower(limit) if limit is not None else None for one in means]
    raised = iter(holm([p_value for p_value in given if p_value is not None]))
    return [None if p_value is None else next(raised) for p_value in given]
