"""Per system: strengths and what to improve, each line with its figure and where it stands."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.accuracy import Accuracy
from analysis.detail import Detail
from analysis.prices import bill_of, money
from analysis.systems import INTERNET, System
from analysis.wording import bare, number, percent, plural
from collect.ratings import RUBRICS
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


Figures = Mapping[str, Mapping[str, float]]
"""System to question to figure."""


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What systems are compared by, and how it is spoken of.

    Attributes:
        unit: of the figures times `scale`.
        ahead: what the best is beside the others; `behind` the worst.
        where: id of the part of the page that shows it.
        middle: of the figures over questions.
    """

    best: str
    worst: str
    unit: str
    ahead: str
    behind: str
    where: str
    scale: float = 1.0
    higher_is_better: bool = True
    middle: Callable[[list[float]], float] = statistics.median


def _time(best: str, worst: str, where: str) -> _Quantity:
    return _Quantity(
        best, worst, "s", "sooner than", "later than", where, scale=1e-3, higher_is_better=False
    )


TIMED = {
    "ttft_ms": _time("First token soonest", "Longest wait for the first token", "first-token"),
    "total_ms": _time("Whole answer soonest", "Longest wait for the whole answer", "whole-answer"),
    "tokens_per_s": _Quantity(
        "Writes fastest", "Writes slowest", "tokens/s", "faster than", "slower than", "waiting"
    ),
}
"""Columns of the answers table."""
RATED = {
    rubric: _Quantity(
        f"Rated best for {rubric}", f"Rated lowest for {rubric}", "of 5", "above", "below",
        "ratings", middle=statistics.fmean,
    )
    for rubric in RUBRICS
}  # fmt: skip


def traits_of(
    systems: Sequence[System],
    accuracy: Accuracy | None,
    details: Mapping[str, Detail],
    tables: Tables,
    scores: pd.DataFrame | None = None,
) -> tuple[Traits, ...]:
    """The traits of every system, beside the others of the run.

    Args:
        systems: of the run.
        accuracy: by the keys; None where no question has one.
        details: name of a system to what counting found in its answers.
        tables: of the run, for what attempts that do not count tell.
        scores: what raters gave, a row a judgement (`analysis.ratings`); None without any.
    """
    good: dict[str, list[Line]] = {system.name: [] for system in systems}
    bad: dict[str, list[Line]] = {system.name: [] for system in systems}
    remote = {system.name for system in systems if system.is_remote}
    for column, quantity in TIMED.items():
        figures = {s.name: s.by_question(column) for s in systems if s.by_question(column)}
        _extremes(figures, quantity, good, bad, remote)
    if scores is not None:
        for rubric, quantity in RATED.items():
            _extremes(_rated(systems, scores, rubric), quantity, good, bad)
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


def _rated(systems: Sequence[System], scores: pd.DataFrame, rubric: str) -> Figures:
    """Mean over raters, by system and question."""
    rated = scores.dropna(subset=[rubric])
    found = {}
    for system in systems:
        own = rated[rated["cell_id"] == system.cell.record.cell_id]
        means = own.groupby("question", sort=False)[rubric].mean()
        if len(means):
            found[system.name] = {str(question): float(mean) for question, mean in means.items()}
    return found


def _extremes(
    figures: Figures,
    quantity: _Quantity,
    good: Mapping[str, list[Line]],
    bad: Mapping[str, list[Line]],
    remote: Collection[str] = (),
) -> None:
    """The best and the worst of a quantity, each if it is so on most questions as well."""
    middles = {name: quantity.middle(list(of.values())) for name, of in figures.items()}
    ranked = sorted(middles, key=lambda name: middles[name], reverse=quantity.higher_is_better)
    if len(ranked) < 2 or middles[ranked[0]] == middles[ranked[-1]]:  # noqa: PLR2004 - no two
        return
    than = "the other" if len(ranked) == 2 else "all others"  # noqa: PLR2004
    best, worst = ranked[0], ranked[-1]
    for name, rivals, lines, title, word, is_best in (
        (best, ranked[1:], good, quantity.best, quantity.ahead, True),
        (worst, ranked[:-1], bad, quantity.worst, quantity.behind, False),
    ):
        sign = 1 if quantity.higher_is_better == is_best else -1
        times, of = _ahead(figures[name], [figures[rival] for rival in rivals], sign)
        if 2 * times <= of:
            continue
        told = f"{number(middles[name] * quantity.scale)} {quantity.unit}"
        over = f" ({INTERNET})" if name in remote else ""
        text = f"{title}: {told}{over}, {word} {than} on {times} of {plural(of, 'question')}"
        lines[name].append(Line(text, quantity.where))


def _ahead(
    own: Mapping[str, float], others: Sequence[Mapping[str, float]], sign: int
) -> tuple[int, int]:
    """On how many questions a figure, times the sign, is above all others, and of how many."""
    shared = [name for name in own if all(name in other for other in others)]
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
