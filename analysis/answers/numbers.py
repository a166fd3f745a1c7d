"""The tables of a report as plain numbers for CSV files: each figure and each end has a column.

Shares are from 0 to 1. `<figure>_low` and `_high` are the ends of its interval, or of the range of
few values: `<figure>_coverage` says how often such ends hold the true figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.answers.accuracy import Accuracy
from analysis.answers.asked_pairs import WHOLE
from analysis.answers.detail import Detail
from analysis.answers.prices import cost_of_system
from analysis.answers.systems import ASKED_TO_FIRST, ASKED_TO_WHOLE, SystemAnswers
from analysis.cells.cells import CellResult
from analysis.cells.family import Family
from analysis.cells.scaling import DECODE, Scaling
from analysis.cells.series import Series
from analysis.cells.sync import sync_share
from analysis.statistics.stats import Estimate, karp_flatt

Row = dict[str, Any]


def _ends(name: str, found: Estimate | None) -> Row:
    """A figure, its ends and what these cover."""
    return {
        name: found and found.value,
        f"{name}_low": found and found.low,
        f"{name}_high": found and found.high,
        f"{name}_coverage": found and found.coverage,
    }


def cell_frame(all_series: Sequence[Series], scalings: Sequence[Scaling]) -> pd.DataFrame:
    """A row a cell, in the order of the table that readers see."""
    by_series = {id(scaling.series): scaling for scaling in scalings}
    return pd.DataFrame(
        [
            _cell(series, cell, by_series.get(id(series)))
            for series in all_series
            for cell in series.cells
        ]
    )


def _cell(series: Series, cell: CellResult, scaling: Scaling | None) -> Row:
    rate = cell.estimate(DECODE)
    point = scaling.point(cell.nodes) if scaling else None
    serial = point.serial_fraction if point else None
    ends = (point.speed_up.high, point.speed_up.low) if point else (None, None)
    low, high = (None if end is None else karp_flatt(end, cell.nodes) for end in ends)
    told = serial is not None and 0 <= serial <= 1
    sent, received = (cell.estimate(f"{way}_kib_per_token") for way in ("sent", "received"))
    share = sync_share(cell)
    return {
        "model": series.model,
        "series": series.label,
        "nodes": cell.nodes,
        "state": cell.state,
        "trials_done": cell.counts["done"],
        "trials_planned": cell.planned,
        "attempts_good": cell.attempts.good,
        "attempts_made": cell.attempts.made,
        **_ends("tokens_per_s", rate),
        "tokens_per_s_smallest": rate and rate.minimum,
        "tokens_per_s_largest": rate and rate.maximum,
        "variation": rate and rate.variation,
        **_ends("ms_per_token", cell.estimate("decode_ms_per_token")),
        "baseline_nodes": scaling.baseline.nodes if scaling and point else None,
        **_ends("speed_up", point.speed_up if point else None),
        "blocks_compared": len(point.speed_up.blocks) if point else None,
        "efficiency": point.efficiency if point else None,
        "serial_fraction": serial if told else None,
        "serial_fraction_low": low if told else None,
        "serial_fraction_high": high if told else None,
        "sync_share_low": share and share.low,
        "sync_share_high": share and share.high,
        "root_kib_per_token": sent.value + received.value if sent and received else None,
    }


def waiting_frame(systems: Sequence[SystemAnswers]) -> pd.DataFrame:
    """A row a system: seconds that its user waited, medians over questions."""
    return pd.DataFrame(
        [
            {
                "system": system.name,
                "questions_timed": len(system.by_question(ASKED_TO_WHOLE)),
                **_ends("first_token_s", system.estimate(ASKED_TO_FIRST, 1e-3)),
                **_ends("whole_answer_s", system.estimate(ASKED_TO_WHOLE, 1e-3)),
                **_ends("tokens_per_s", system.estimate("tokens_per_s")),
                **_ends("last_try_s", system.estimate("total_ms", 1e-3)),
                "answers_asked_again": system.asked_again,
                "answers_timed": len(system.timed),
                "measured": system.path,
            }
            for system in systems
        ]
    )


def waiting_pair_frame(systems: Sequence[SystemAnswers], family: Family) -> pd.DataFrame:
    """A row two systems: on how many questions the first was sooner, and the times' ratio."""
    rows = []
    for index, first in enumerate(systems):
        for second in systems[index + 1 :]:
            found = family.find(WHOLE, second.name, first.name)
            if found is None or found.ratio is None:
                continue
            one, other = (system.by_question(ASKED_TO_WHOLE) for system in (first, second))
            shared = [str(block) for block in found.ratio.blocks]
            rows.append(
                {
                    "system": first.name,
                    "beside": second.name,
                    "questions": len(shared),
                    "sooner": sum(one[question] < other[question] for question in shared),
                    **_ends("times_the_others_time", found.ratio),
                }
            )
    return pd.DataFrame(rows)


def accuracy_frame(found: Accuracy) -> pd.DataFrame:
    """A row a system: right answers of so many, with Wilson's interval."""
    rows = []
    for name in found.grades:
        share = found.share(name)
        low, high = share.interval
        rows.append(
            {
                "system": name,
                "right": share.hits,
                "of": share.of,
                "share": share.value,
                "share_low": low,
                "share_high": high,
                "answered_with_nothing": found.silent[name],
            }
        )
    return pd.DataFrame(rows)


def topic_frame(found: Accuracy) -> pd.DataFrame:
    """A row a topic and system."""
    rows = []
    for topic in dict.fromkeys(question.topic or "other" for question in found.questions):
        ids = [q.id for q in found.questions if (q.topic or "other") == topic]
        rows += [
            {"topic": topic, "system": name, "right": sum(grades[q] for q in ids), "of": len(ids)}
            for name, grades in found.grades.items()
        ]
    return pd.DataFrame(rows)


def accuracy_pair_frame(found: Accuracy, family: Family) -> pd.DataFrame:
    """A row two systems: questions that one of them alone had right, and McNemar's p-value."""
    return pd.DataFrame(
        [
            {
                "system": pair.first,
                "beside": pair.second,
                "questions": pair.found.questions,
                "right_alone": pair.found.first_only,
                "other_right_alone": pair.found.second_only,
                "p_adjusted": pair.p_value,
                "right_more_often": pair.better,
            }
            for pair in found.pairs(family)
        ]
    )


def detail_frame(details: Mapping[str, Detail]) -> pd.DataFrame:
    """A row a system: what counting found in its answers."""
    return pd.DataFrame(
        [
            {
                "system": name,
                "words": found.words,
                "sentences": found.sentences,
                "numbers": found.numbers,
                "said_again": found.again,
                "in_the_questions_writing": found.own_writing,
                "of_writing": found.of_writing,
                "cut_off": found.cut_off,
                "refused": found.refused,
                "answers": found.answers,
            }
            for name, found in details.items()
        ]
    )


def price_frame(systems: Sequence[SystemAnswers], answers: pd.DataFrame) -> pd.DataFrame:
    """Make a row a paid system; `is_whole`: the API reported all tokens that it read."""
    return pd.DataFrame(
        [
            {
                "system": system.name,
                "currency": bill.price.currency,
                "per_million_read": bill.price.input,
                "per_million_generated": bill.price.output,
                "prices_of": bill.price.date.isoformat(),
                "tokens_read": bill.read,
                "tokens_generated": bill.generated,
                "bill": bill.total,
                "per_1000_answers": 1000 * bill.answer,
                "is_whole": bill.is_whole,
            }
            for system in systems
            if (bill := cost_of_system(system, answers))
        ]
    )
