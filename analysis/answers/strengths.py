"""List each system's strengths and what to improve, compared with the others of the run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.answers.accuracy import RIGHT, Accuracy
from analysis.answers.asked_pairs import FIRST, RATE, WHOLE, Figures, rated_for, ratings_of
from analysis.answers.asked_pairs import TIMED as COLUMNS
from analysis.answers.detail import Detail
from analysis.answers.own_traits import Statement, own_shortcomings, own_strengths
from analysis.answers.systems import INTERNET, SystemAnswers
from analysis.cells.family import Family, standing
from analysis.text.sentence import say
from analysis.text.wording import listing, number, plural
from collect.ratings import RUBRICS
from collect.tables import Tables


@dataclass(frozen=True, slots=True)
class Traits:
    """What is good about a system, and what is not."""

    system: str
    strengths: tuple[Statement, ...]
    to_improve: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What systems are compared by, and how it is spoken of.

    Attributes:
        what: as the comparisons of the report call it.
        title: without a claim; `best` and `worst` with one.
        unit: of the figures times `scale`.
        ahead: how the best compares with the others; `behind` the worst.
        where: id of the part of the page that shows it.
        middle: of the figures over questions.
    """

    what: str
    title: str
    best: str
    worst: str
    unit: str
    ahead: str
    behind: str
    where: str
    scale: float = 1.0
    higher_is_better: bool = True
    middle: Callable[[list[float]], float] = statistics.median


def _time(what: str, title: str, best: str, worst: str, where: str) -> _Quantity:
    return _Quantity(
        what, title, best, worst, "s", "sooner than", "later than", where, scale=1e-3,
        higher_is_better=False,
    )  # fmt: skip


TIMED = (
    _time(
        FIRST, "First token", "First token soonest", "Longest wait for the first token",
        "first-token",
    ),
    _time(
        WHOLE, "Whole answer", "Whole answer soonest", "Longest wait for the whole answer",
        "whole-answer",
    ),
    _Quantity(
        RATE, "Tokens/s of an answer", "Writes fastest", "Writes slowest", "tokens/s", "more than",
        "less than", "waiting",
    ),
)  # fmt: skip
RATED = {
    rubric: _Quantity(
        rated_for(rubric), say("Rated for {rubric}", rubric=rubric),
        say("Rated best for {rubric}", rubric=rubric),
        say("Rated lowest for {rubric}", rubric=rubric), "of 5", "above", "below", "ratings",
        middle=statistics.fmean,
    )
    for rubric in RUBRICS
}  # fmt: skip


def traits_of(
    systems: Sequence[SystemAnswers],
    accuracy: Accuracy | None,
    details: Mapping[str, Detail],
    tables: Tables,
    family: Family,
    scores: pd.DataFrame | None = None,
) -> tuple[Traits, ...]:
    """Return the traits of every system, compared with the others of the run.

    Args:
        systems: of the run.
        accuracy: by the keys; None where no question has one.
        details: name of a system to what counting found in its answers.
        tables: of the run, also for attempts that do not count.
        family: the comparisons of the report.
        scores: what raters gave, a row a judgement (`analysis.answers.ratings`); None without any.
    """
    good: dict[str, list[Statement]] = {system.name: [] for system in systems}
    bad: dict[str, list[Statement]] = {system.name: [] for system in systems}
    remote = {system.name for system in systems if system.is_remote}
    for quantity in TIMED:
        column, _ = COLUMNS[quantity.what]
        timed = [system for system in systems if system.is_comparable]
        figures = {s.name: s.by_question(column) for s in timed if s.by_question(column)}
        _extremes(figures, quantity, family, good, bad, remote)
    if scores is not None:
        for rubric, quantity in RATED.items():
            _extremes(ratings_of(systems, scores, rubric), quantity, family, good, bad)
    if accuracy is not None:
        _right(accuracy, family, good, bad)
    for system in systems:
        good[system.name] += own_strengths(system)
        bad[system.name] += own_shortcomings(system, details[system.name], tables)
    return tuple(Traits(s.name, tuple(good[s.name]), tuple(bad[s.name])) for s in systems)


def _extremes(
    figures: Figures,
    quantity: _Quantity,
    family: Family,
    good: Mapping[str, list[Statement]],
    bad: Mapping[str, list[Statement]],
    remote: Collection[str] = (),
) -> None:
    """Who is ahead and who behind: proved where there are enough questions, else only counted."""
    if len(figures) <= 1:
        return
    few = any(not row.is_tried for row in family.rows if row.pair.what == quantity.what)
    for name in figures:
        told = say(
            "{middle} {unit}",
            middle=number(_middle(figures, quantity, name) * quantity.scale),
            unit=quantity.unit,
        )
        over = say(" ({INTERNET})", INTERNET=INTERNET) if name in remote else ""
        told += over
        for lines, is_best in ((good, True), (bad, False)):
            make = _counted if few else _proved
            text = make(figures, quantity, family, name, told, is_best=is_best)
            if text:
                lines[name].append(Statement(text, quantity.where))


def _middle(figures: Figures, quantity: _Quantity, name: str) -> float:
    return quantity.middle(list(figures[name].values()))


def _counted(
    figures: Figures,
    quantity: _Quantity,
    _: Family,
    name: str,
    told: str,
    *,
    is_best: bool,
) -> str:
    """`Whole answer on these 6 questions: 1.2 s, sooner than the other on 5 of 6`; may be empty.

    Of the highest or lowest, if it is so on most questions as well.
    """
    rivals = [other for other in figures if other != name]
    sign = 1 if quantity.higher_is_better == is_best else -1
    own = sign * _middle(figures, quantity, name)
    times, of = _ahead(figures[name], [figures[rival] for rival in rivals], sign)
    if any(sign * _middle(figures, quantity, rival) >= own for rival in rivals) or 2 * times <= of:
        return ""
    word = quantity.ahead if is_best else quantity.behind
    than = "the other" if len(rivals) == 1 else "all others"
    return say(
        "{title} on {these}: {shown}, {word} {than} on {times} of {of}",
        title=quantity.title,
        these=_these(of),
        shown=told,
        word=word,
        than=than,
        times=times,
        of=of,
    )


def _proved(
    figures: Figures,
    quantity: _Quantity,
    family: Family,
    name: str,
    told: str,
    *,
    is_best: bool,
) -> str:
    """`Whole answer soonest: 1.2 s, sooner than a and b; not told apart from c`; may be empty."""
    ahead, behind, rest = standing(family, quantity.what, name, figures)
    over, under = (ahead, behind) if is_best else (behind, ahead)
    if not over or under:
        return ""
    title = quantity.best if is_best else quantity.worst
    word = quantity.ahead if is_best else quantity.behind
    apart = say("; not distinguishable from {rest}", rest=listing(rest)) if rest else ""
    return say(
        "{title}: {shown}, {word} {over}{apart}",
        title=title,
        shown=told,
        word=word,
        over=listing(over),
        apart=apart,
    )


def _these(questions: int) -> str:
    return (
        say("these {questions} questions", questions=questions)
        if questions > 1
        else "this question"
    )


def _ahead(
    own: Mapping[str, float], others: Sequence[Mapping[str, float]], sign: int
) -> tuple[int, int]:
    """On how many questions a figure, times the sign, is above all others, and of how many."""
    shared = [name for name in own if all(name in other for other in others)]
    count = sum(all(sign * (own[name] - o[name]) > 0 for o in others) for name in shared)
    return count, len(shared)


def _right(
    accuracy: Accuracy,
    family: Family,
    good: Mapping[str, list[Statement]],
    bad: Mapping[str, list[Statement]],
) -> None:
    hits = {name: accuracy.share(name).hits for name in accuracy.grades}
    for name in accuracy.grades:
        share = accuracy.share(name)
        told = say("{hits} of {of}", hits=share.hits, of=plural(share.of, "keyed question"))
        if not accuracy.may_name and max(hits.values()) > min(hits.values()):
            lines = good if hits[name] == max(hits.values()) else bad
            if hits[name] in (max(hits.values()), min(hits.values())):
                lines[name].append(
                    Statement(
                        say("Right on {these}: {hits}", these=_these(share.of), hits=share.hits),
                        "accuracy",
                    )
                )
        ahead, behind, _ = standing(family, RIGHT, name, accuracy.grades)
        if ahead:
            good[name].append(
                Statement(
                    say("Right more often than {ahead}: {shown}", ahead=listing(ahead), shown=told),
                    "accuracy",
                )
            )
        if behind:
            bad[name].append(
                Statement(
                    say(
                        "Right less often than {behind}: {shown}",
                        behind=listing(behind),
                        shown=told,
                    ),
                    "accuracy",
                )
            )
        if accuracy.silent[name]:
            nothing = plural(accuracy.silent[name], "keyed question")
            bad[name].append(
                Statement(say("Answered {nothing} with nothing", nothing=nothing), "accuracy")
            )
