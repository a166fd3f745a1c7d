"""Two runs as they are compared: cells, speeds, quality, what differs, and how sure that is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.answers.asked_pairs import FIRST, TIMED, WHOLE
from analysis.cells.cells import CellResult
from analysis.cells.family import Claim
from analysis.reading import study_in
from analysis.statistics.floor import Floor
from analysis.statistics.two_runs import ASSUMED, Between, Mean, assumed, between_runs
from analysis.study import Study
from analysis.text.wording import plural
from analysis.two_runs.changes import RunDifference, changes_of
from analysis.two_runs.pairing import (
    NotPaired,
    PairedCell,
    Pairing,
    measured_by_both,
    pairing_of,
    parts_of_study,
)
from analysis.two_runs.quality import QualityChange, quality_changes, system_of
from analysis.two_runs.repeated import SPEEDS, RepeatedRuns, logs_of, repeats_of
from analysis.two_runs.speeds import SpeedChange, SpeedPair, speed_changes
from core.errors import HerdError

ANSWERS = (FIRST, WHOLE)
"""What of answers is timed here: times turned round, so that more is better."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What the user wants to know.

    Attributes:
        bound: by how much two runs of the same differ at most in 95 % of cases, where that is not
            measured: 0.03 is 3 %.
        limit: share by which no speed may be slower; None without a limit.
        names: of both runs as the user gave them; empty where no one did.
    """

    bound: float = ASSUMED
    limit: float | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """Two runs compared.

    Attributes:
        baseline: the run that is compared with.
        contender: the run that is looked at.
        pairing: their cells.
        speeds: what became of each speed of each cell.
        quality: what became of answers and texts.
        changes: what differs between the runs, as far as they recorded it.
        between: quantity to how far two runs of the same differ in it.
        repeats: further runs of the same cells as the baseline's, then as the contender's.
        margin: relative difference below which two speeds count as the same.
        asked: what the user wants to know.
    """

    baseline: Study
    contender: Study
    pairing: Pairing
    speeds: tuple[SpeedChange, ...]
    quality: tuple[QualityChange, ...]
    changes: tuple[RunDifference, ...]
    between: Mapping[str, Between]
    repeats: tuple[RepeatedRuns, ...]
    margin: float
    asked: Asking

    @property
    def pairs(self) -> tuple[PairedCell, ...]:
        """The cells that both have."""
        return self.pairing.pairs

    @property
    def left(self) -> tuple[NotPaired, ...]:
        """The cells that are not compared."""
        return self.pairing.left

    def found(self, claim: Claim) -> tuple[SpeedChange, ...]:
        """The speeds with this verdict."""
        return tuple(one for one in self.speeds if one.compared.finding is claim)

    @property
    def lost(self) -> tuple[PairedCell, ...]:
        """Cells that the baseline measured, whose trials all failed in the contender."""
        return tuple(pair for pair in self.pairs if pair.is_lost)

    @property
    def unfinished(self) -> tuple[PairedCell, ...]:
        """Cells that the baseline measured, for which the contender cannot pass a limit.

        It has trials left, none that is done, or too few for a verdict where the baseline's are
        enough. Lost ones break a limit and are not among them.
        """
        few = {
            one.asked.key
            for one in self.speeds
            if not one.means.is_tried and len(one.asked.baseline) >= one.means.fewest
        }
        return tuple(
            pair
            for pair in self.pairs
            if pair.baseline.is_measured
            and not pair.is_lost
            and (pair.is_open or not pair.contender.is_measured or pair.key in few)
        )

    @property
    def beyond(self) -> tuple[SpeedChange, ...]:
        """Speeds that are slower by more than the limit."""
        return tuple(one for one in self.speeds if one.is_beyond)

    @property
    def is_regression(self) -> bool:
        """There is a limit, and a speed or a cell that breaks it."""
        return self.asked.limit is not None and bool(self.beyond or self.lost)

    @property
    def is_judged(self) -> bool:
        """Some speed has enough trials for a verdict."""
        return any(one.means.is_tried for one in self.speeds)


def compared_runs(
    baseline: Path, contender: Path, others: Sequence[Path] = (), asked: Asking | None = None
) -> TwoRuns:
    """Compare two runs; reads only.

    Args:
        baseline: folder of the run that is compared with.
        contender: folder of the run that is looked at.
        others: folders of runs that may be further ones of the same.
        asked: what the user wants to know.

    Raises:
        HerdError: a folder is damaged, both are one run, or no cell can be compared.
    """
    asked = asked or Asking()
    one, other = study_in(baseline), study_in(contender)
    if baseline.resolve() == contender.resolve() or _are_one(one, other):
        raise HerdError(f"{one.run.run} is compared with itself: name two runs.")
    return compared_studies(one, other, others, asked)


def compared_studies(one: Study, other: Study, others: Sequence[Path], asked: Asking) -> TwoRuns:
    """Compare two runs that were read.

    Args:
        one: the baseline.
        other: the contender.
        others: folders of further runs; those of the same cells show how far two such runs differ.
        asked: what the user wants to know.

    Raises:
        HerdError: no cell can be compared.
    """
    pairing = pairing_of(one, other)
    if not pairing.pairs:
        reasons = Counter(left.why for left in pairing.left)
        told = "; ".join(f"{plural(n, 'cell')}: {why}" for why, n in reasons.items())
        raise HerdError(
            f"{one.run.run} and {other.run.run} have no cell that can be compared ({told}). It "
            "takes the same workload and the same axes; an axis that has one value in each run may "
            "differ. `fab history` lists what each run asked."
        )
    repeats = _repeats(one, other, others)
    between = {what: _between(what, repeats, asked.bound) for what in (*SPEEDS, *ANSWERS)}
    margin = max(one.run.equivalence_margin, other.run.equivalence_margin)
    speeds = tuple(_asked(one, other, pairing))
    return TwoRuns(
        baseline=one,
        contender=other,
        pairing=pairing,
        speeds=speed_changes(speeds, between, margin, _floors(one, other), asked.limit),
        quality=quality_changes(one, other, measured_by_both(pairing.pairs)),
        changes=tuple(changes_of(one.run, other.run, pairing.settings, _placed(pairing))),
        between=between,
        repeats=repeats,
        margin=margin,
        asked=asked,
    )


def _placed(pairing: Pairing) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    for pair in pairing.pairs:
        yield pair.baseline.record.nodes, pair.contender.record.nodes


def _are_one(one: Study, other: Study) -> bool:
    """Whether two folders hold the same run; an export without names has another plan's id."""
    return all(
        getattr(one.run, what) == getattr(other.run, what) for what in ("run", "created_at", "seed")
    )


def _repeats(one: Study, other: Study, others: Sequence[Path]) -> tuple[RepeatedRuns, ...]:
    """Further runs of the baseline's cells, then of the contender's, each run once."""
    ours = repeats_of(one.run, _cells(one), others, [other.run.run])
    theirs = repeats_of(other.run, _cells(other), others, [one.run.run, *ours.names])
    return ours, theirs


def _cells(study: Study) -> list[CellResult]:
    return [
        cell for part in parts_of_study(study).values() for cell in part.cells if _has_speed(cell)
    ]  # fmt: skip


def _has_speed(cell: CellResult) -> bool:
    return bool(cell.nodes) and not cell.software


def _between(what: str, repeats: Sequence[RepeatedRuns], bound: float) -> Between:
    if what not in SPEEDS:
        return assumed(bound)
    groups: list[list[Mapping[str, Mean]]] = [
        [means[what] for means in one.means if means[what]] for one in repeats
    ]
    return between_runs(groups, bound)


def _floors(one: Study, other: Study) -> dict[str, Floor]:
    """The wider noise floor of the two runs, of each quantity that has one."""
    found: dict[str, Floor] = {}
    for study in (*parts_of_study(one).values(), *parts_of_study(other).values()):
        for what, floor in (study.noise.floors if study.noise else {}).items():
            if what not in found or floor.ratio > found[what].ratio:
                found[what] = floor
    return found


def _asked(one: Study, other: Study, pairing: Pairing) -> Iterator[SpeedPair]:
    ours, others = parts_of_study(one), parts_of_study(other)
    for pair in measured_by_both(pairing.pairs):
        yield from _of_trials(pair)
        yield from _of_answers(pair, ours[pair.part], others[pair.part])


def _of_trials(pair: PairedCell) -> Iterator[SpeedPair]:
    if not (_has_speed(pair.baseline) and _has_speed(pair.contender)):
        return
    for what, column in SPEEDS.items():
        before, after = logs_of(pair.baseline, column), logs_of(pair.contender, column)
        if before and after:
            yield SpeedPair(what, pair.key, pair.name, before, after, bool(pair.changed))


def _of_answers(pair: PairedCell, one: Study, other: Study) -> Iterator[SpeedPair]:
    first = system_of(one, pair.baseline.record.cell_id)
    second = system_of(other, pair.contender.record.cell_id)
    if not (first and second and first.is_comparable and second.is_comparable):
        return
    for what in ANSWERS:
        column = TIMED[what][0]
        before, after = _soon(first.by_question(column)), _soon(second.by_question(column))
        if before.keys() & after.keys():
            yield SpeedPair(what, pair.key, pair.name, before, after, bool(pair.changed))


def _soon(times: Mapping[str, float]) -> dict[str, float]:
    """Question to the logarithm of 1/s, of times in ms."""
    return {question: -math.log(ms / 1000) for question, ms in times.items() if ms > 0}
