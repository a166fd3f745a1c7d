"""Identical arms that answered questions: their times are compared, and their texts must agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from analysis.answers.answers import counting
from analysis.answers.asked_pairs import TIMED
from analysis.answers.systems import SystemAnswers, systems_of
from analysis.cells.arms import (
    Armed,
    Noise,
    Texts,
    both_arms,
    name_of,
    noise_of,
    sides_of,
    speeds_of_arms,
    with_floors,
)
from analysis.cells.family import Pair
from analysis.cells.series import Series
from analysis.statistics.proportions import FEWEST_TO_NAME
from analysis.statistics.stats import paired_ratio
from collect.run import RunManifest
from collect.tables import Tables
from collect.workloads import Questions


def noise_with_answers(run: RunManifest, tables: Tables) -> Noise | None:
    """What the arms of a run showed, those that answered questions included.

    Args:
        run: with both arms.
        tables: of both.
    """
    noise = noise_of(run, tables)
    if noise is None or not isinstance(run.workload, Questions) or tables.answers.empty:
        return noise
    counted = counting(tables.answers, tables.trials)
    systems = {one.cell.record.cell_id: one for one in systems_of(noise.arms, counted, {})}
    pairs = [*speeds_of_arms(noise.arms), *_times(noise.arms, systems)]
    with_texts = replace(noise, texts=tuple(_texts(noise.arms, systems)))
    return with_floors(with_texts, pairs, run.equivalence_margin)


def _times(arms: Sequence[Series], systems: dict[str, SystemAnswers]) -> Iterator[Armed]:
    """Each time of both arms by question, turned into speeds."""
    for series, cell, other in both_arms(arms):
        one, two = (systems.get(each.record.cell_id) for each in (cell, other))
        if one is None or two is None or not one.is_comparable:
            continue
        name = name_of(series, cell, arms)
        for what, (column, is_time) in TIMED.items():
            first, second = one.by_question(column), two.by_question(column)
            ratio = paired_ratio(second, first) if is_time else paired_ratio(first, second)
            if ratio is not None and ratio.blocks:
                sides = sides_of(name, cell, other)
                pair = Pair(what, *sides, len(ratio.blocks), ratio, fewest=FEWEST_TO_NAME)
                yield series, cell, name, pair


def _texts(arms: Sequence[Series], systems: dict[str, SystemAnswers]) -> Iterator[Texts]:
    for series, cell, other in both_arms(arms):
        one, two = (systems.get(each.record.cell_id) for each in (cell, other))
        if one is None or two is None:
            continue
        columns = ["question", "repeat", "text"]
        both = one.answers[columns].merge(two.answers[columns], on=columns[:2])
        differing = int((both["text_x"] != both["text_y"]).sum())
        yield Texts(cell, name_of(series, cell, arms), len(both), differing)
