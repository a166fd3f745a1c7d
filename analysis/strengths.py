"""Per system: strengths and what to improve, each line with its figure and where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.accuracy import Accuracy
from analysis.detail import Detail
from analysis.prices import bill_of, money
from analysis.systems import INTERNET, System
from analysis.wording import bare, number, percent, plural
from collect.tables import Tables

TURNS_IN_CIRCLES = 0.2
"""Share of word runs said again from which an answer repeats itself."""


@dataclass(frozen=True, slots=True)
class Line:
    """A statement about a system.

    Attributes:
        text: with the figure that backs it.
        where: id of the part of the page that shows the figure.
    """

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What is good about a system, and what is not."""

    system: str
    strengths: tuple[Line, ...]
    to_improve: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What systems are compared by: a column of the answers, and how it is spoken of."""

    column: str
    best: str
    worst: str
    where: str
    higher_is_better: bool = False


QUANTITIES = (
    _Quantity("ttft_ms", "First token soonest", "Longest wait for the first token", "first-token"),
    _Quantity(
        "total_ms", "Whole answer soonest", "Longest wait for the whole answer", "whole-answer"
    ),
    _Quantity("tokens_per_s", "Writes fastest", "Writes slowest", "waiting", higher_is_better=True),
)


def traits_of(
    systems: Sequence[System],
    accuracy: Accuracy | None,
    details: Mapping[str, Detail],
    tables: Tables,
) -> tuple[Traits, ...]:
    """The traits of every system, beside the others of the run.

    Args:
        systems: of the run.
        accuracy: by the keys; None where no question has one.
        details: name of a system to what counting found in its answers.
        tables: of the run, for what attempts that do not count tell.
    """
    good: dict[str, list[Line]] = {system.name: [] for system in systems}
    bad: dict[str, list[Line]] = {system.name: [] for system in systems}
    for quantity in QUANTITIES:
        _extremes(systems, quantity, good, bad)
    if accuracy is not None:
        _right(accuracy, good, bad)
    for system in systems:
        bad[system.name] += _shortcomings(details[system.name])
        good[system.name] += _steady(system)
        bad[system.name] += _unsteady(system)
        bad[system.name] += [
            *_retries(system),
            *_costs(system, tables.answers),
            *_failures(system, tables.attempts),
        ]
    return tuple(Traits(s.name, tuple(good[s.name]), tuple(bad[s.name])) for s in systems)


def _extremes(
    systems: Sequence[System],
    quantity: _Quantity,
    good: Mapping[str, list[Line]],
    bad: Mapping[str, list[Line]],
) -> None:
    """The best and the worst of a quantity, if there are two that differ."""
    measured = [(s, found.value) for s in systems if (found := s.estimate(quantity.column))]
    ranked = sorted(measured, key=lambda pair: pair[1], reverse=quantity.higher_is_better)
    if len(ranked) < 2 or ranked[0][1] == ranked[-1][1]:  # noqa: PLR2004 - nothing to compare
        return
    best, worst = ranked[0][0], ranked[-1][0]
    than = "the other" if len(ranked) == 2 else "all others"  # noqa: PLR2004
    more, less = ("faster", "slower") if quantity.higher_is_better else ("sooner", "later")
    for system, word, rivals, lines, is_best in (
        (best, more, ranked[1:], good, True),
        (worst, less, ranked[:-1], bad, False),
    ):
        times, of = _ahead(system, [rival for rival, _ in rivals], quantity, is_best=is_best)
        if 2 * times <= of:  # the medians say so, and most questions do not
            continue
        value = system.by_question(quantity.column).values()
        told = _measure(float(np.median(list(value))), quantity)
        lines[system.name].append(
            Line(
                f"{quantity.best if is_best else quantity.worst}: {told}{_over(system)}, {word} "
                f"than {than} on {times} of {plural(of, 'question')}",
                quantity.where,
            )
        )


def _measure(value: float, quantity: _Quantity) -> str:
    if quantity.higher_is_better:
        return f"{number(value)} tokens/s"
    return f"{number(value / 1000)} s"


def _over(system: System) -> str:
    return f" ({INTERNET})" if system.is_remote else ""


def _ahead(
    system: System, rivals: Iterable[System], quantity: _Quantity, *, is_best: bool
) -> tuple[int, int]:
    """On how many questions a system is ahead of all others, or behind, and of how many."""
    own = system.by_question(quantity.column)
    others = [rival.by_question(quantity.column) for rival in rivals]
    shared = [name for name in own if all(name in other for other in others)]
    sign = 1 if quantity.higher_is_better == is_best else -1
    count = sum(all(sign * (own[name] - o[name]) > 0 for o in others) for name in shared)
    return count, len(shared)


def _right(
    accuracy: Accuracy, good: Mapping[str, list[Line]], bad: Mapping[str, list[Line]]
) -> None:
    shares = {name: accuracy.share(name) for name in accuracy.grades}
    most, least = (pick(s.hits for s in shares.values()) for pick in (max, min))
    for name, share in shares.items():
        told = f"{share.hits} of {plural(share.of, 'keyed question')}"
        if share.hits == most > least:
            good[name].append(Line(f"Most answers right: {told}", "accuracy"))
        elif share.hits == least < most:
            bad[name].append(Line(f"Fewest answers right: {told}", "accuracy"))
        if accuracy.silent[name]:
            nothing = plural(accuracy.silent[name], "keyed question")
            bad[name].append(Line(f"Answered {nothing} with nothing", "accuracy"))


def _shortcomings(found: Detail) -> list[Line]:
    lines = []
    if found.cut_off:
        share = f"{found.cut_off} of {plural(found.answers, 'answer')}"
        lines.append(Line(f"Cut off at the most tokens allowed: {share}", "detail"))
    if found.refused:
        share = f"{found.refused} of {plural(found.answers, 'answer')}"
        lines.append(Line(f"Refused to answer: {share}", "detail"))
    if found.again >= TURNS_IN_CIRCLES:
        share = percent(found.again)
        lines.append(Line(f"Repeats itself: {share} of its runs of three words", "detail"))
    foreign = found.of_writing - found.own_writing
    if foreign:
        told = f"{foreign} of {plural(found.of_writing, 'answer')}"
        lines.append(Line(f"In another writing than the question: {told}", "detail"))
    return lines


def _variants(system: System) -> tuple[int, int]:
    """Questions whose answer differed between trials, and questions asked more than once."""
    by_question = system.answers.fillna({"text": ""}).groupby("question")["text"]
    texts = [list(answers) for _, answers in by_question]
    differing = sum(len(set(answers)) > 1 for answers in texts)
    return differing, sum(len(answers) > 1 for answers in texts)


def _steady(system: System) -> list[Line]:
    differing, repeated = _variants(system)
    if not repeated or differing:
        return []
    return [
        Line(f"The same answer in every trial to {plural(repeated, 'question')}", "side-by-side")
    ]


def _unsteady(system: System) -> list[Line]:
    differing, repeated = _variants(system)
    if not differing:
        return []
    told = f"{differing} of {plural(repeated, 'question')}"
    return [Line(f"Another answer from trial to trial to {told}", "side-by-side")]


def _retries(system: System) -> list[Line]:
    again = int((system.answers["tries"].fillna(1) > 1).sum())
    if not again:
        return []
    waited_s = float(system.answers["waited_ms"].max()) / 1000
    told = f"{again} of {plural(len(system.answers), 'answer')}"
    text = f"Had to be asked again for {told}, up to {number(waited_s)} s longer"
    return [Line(text, "side-by-side")]


def _costs(system: System, answers: pd.DataFrame) -> list[Line]:
    bill = bill_of(system, answers)
    if bill is None:
        return []
    cost = money(1000 * bill.answer, bill.price)
    return [Line(f"Costs {cost} for 1000 answers, by the prices of {bill.price.date}", "price")]


def _failures(system: System, attempts: pd.DataFrame) -> list[Line]:
    own = attempts[attempts["trial_id"].str.startswith(f"{system.cell.record.cell_id}-r")]
    failed = own[own["outcome"] != "done"]
    if failed.empty:
        return []
    causes = failed["cause"].dropna()
    why = f": {bare(str(causes.iloc[0]))}" if len(causes) else ""
    return [Line(f"{len(failed)} of {plural(len(own), 'attempt')} failed{why}", "failures")]
