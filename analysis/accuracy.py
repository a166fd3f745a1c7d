"""How many of the questions with a key each system answers rightly, and whether that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from analysis.proportions import FEWEST_TO_NAME, LEVEL, Discordance, Share, discordance, holm
from analysis.systems import System
from analysis.tabulate import Table, table
from analysis.wording import DASH, count, listing, percent, plural
from collect.grading import is_right
from collect.questions import Question

Grades = Mapping[str, bool]
"""Question with a key to whether it was answered rightly."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems on the same questions.

    Attributes:
        p_value: of the exact McNemar test, raised after Holm for there being several pairs.
    """

    first: str
    second: str
    found: Discordance
    p_value: float

    @property
    def better(self) -> str | None:
        """The one that may be called better; None if neither may."""
        if self.found.questions < FEWEST_TO_NAME or self.p_value >= LEVEL:
            return None
        return self.first if self.found.first_only > self.found.second_only else self.second


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What the systems of a run got right.

    Attributes:
        questions: those with a key.
        grades: name of a system to its grades.
        silent: name of a system to how many of them it answered with nothing.
    """

    questions: tuple[Question, ...]
    grades: Mapping[str, Grades]
    silent: Mapping[str, int]

    def share(self, name: str) -> Share:
        """How much a system got right."""
        grades = self.grades[name]
        return Share(sum(grades.values()), len(grades))

    @property
    def may_name(self) -> bool:
        """There are enough questions to call one system better than another."""
        return len(self.questions) >= FEWEST_TO_NAME

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every two systems."""
        pairs = list(combinations(self.grades, 2))
        found = [discordance(self.grades[one], self.grades[other]) for one, other in pairs]
        raised = holm([each.p_value for each in found])
        return tuple(
            Pair(first, second, each, p_value)
            for (first, second), each, p_value in zip(pairs, found, raised, strict=True)
        )


def accuracy_of(questions: Sequence[Question], systems: Sequence[System]) -> Accuracy | None:
    """Grade every system; None if no question has a key.

    The unit is the question. Where it was asked several times, it is answered rightly if more
    than half of its answers are right.
    """
    keyed = tuple(question for question in questions if question.key is not None)
    if not keyed or not systems:
        return None
    return Accuracy(
        questions=keyed,
        grades={s.name: {q.id: _is_right(q, s) for q in keyed} for s in systems},
        silent={s.name: sum(not "".join(_texts(q, s)).strip() for q in keyed) for s in systems},
    )


def _texts(question: Question, system: System) -> list[str]:
    return [str(text) for text in system.to(question.id)["text"].fillna("")]


def _is_right(question: Question, system: System) -> bool:
    texts = _texts(question, system)
    if question.key is None or not texts:
        return False
    return 2 * sum(is_right(question.key, text) for text in texts) > len(texts)


def share_table(found: Accuracy) -> Table:
    """A row a system, with denominators."""
    rows = []
    for name in found.grades:
        share = found.share(name)
        rows.append([name, str(share.hits), str(share.of), _share(share), str(found.silent[name])])
    columns = ("System", "Right", "Of", "Share (95 %, Wilson)", "Answered with nothing")
    return table(columns, rows, columns[1:])


def topic_table(found: Accuracy) -> Table | None:
    """Right answers by topic, a column a system; None where all is one topic."""
    topics = dict.fromkeys(question.topic or "other" for question in found.questions)
    if len(topics) == 1:
        return None
    rows = []
    for topic in topics:
        ids = [q.id for q in found.questions if (q.topic or "other") == topic]
        cells = [
            f"{sum(grades[name] for name in ids)} of {len(ids)}" for grades in found.grades.values()
        ]
        rows.append([topic, *cells])
    return table(("Topic", *found.grades), rows, tuple(found.grades))


def pair_table(found: Accuracy) -> Table | None:
    """Every two systems, paired by question."""
    rows = [
        [
            pair.first,
            pair.second,
            str(pair.found.first_only),
            str(pair.found.second_only),
            p_in_words(pair.p_value),
            _finding(pair, may_name=found.may_name),
        ]
        for pair in found.pairs
    ]
    columns = ("System", "Beside", "Right alone", "Other right alone", "p (McNemar, Holm)", "So")
    return table(columns, rows, columns[2:5]) if rows else None


def _finding(pair: Pair, *, may_name: bool) -> str:
    if not may_name:
        return f"{plural(pair.found.questions, 'question')}: too few to name one"
    if pair.better is None:
        return "no difference beyond chance"
    return f"{pair.better} is right more often"


def sentences(found: Accuracy) -> list[str]:
    """What may be said of the systems' accuracy."""
    asked = len(found.questions)
    shares = [f"{name} {_short(found.share(name))}" for name in found.grades]
    told = [f"Right by the key, of {plural(asked, 'question')} with one: {listing(shares)}."]
    if len(found.grades) == 1:
        return told
    if not found.may_name:
        few = (
            f"No system can be called more accurate than another by {count(asked)} keyed "
            f"question{'' if asked == 1 else 's'}: that takes {FEWEST_TO_NAME} or more."
        )
        return [*told, few]
    better = [pair for pair in found.pairs if pair.better]
    told += [_better(pair, len(found.pairs)) for pair in better]
    if len(better) < len(found.pairs):
        rest = "other pair" if better else "pair"
        told.append(f"No {rest} of systems differs in accuracy beyond chance.")
    return told


def _better(pair: Pair, pairs: int) -> str:
    is_first = pair.better == pair.first
    more, less = pair.found.first_only, pair.found.second_only
    if not is_first:
        more, less = less, more
    other = pair.second if is_first else pair.first
    holm_of = f", Holm over {pairs} pairs" if pairs > 1 else ""
    p_value = p_in_words(pair.p_value)
    return (
        f"{pair.better} is right more often than {other}: alone right on {more} questions, alone "
        f"wrong on {less} (exact McNemar{holm_of}: p {'' if '<' in p_value else '= '}{p_value})."
    )


def p_in_words(p_value: float) -> str:
    """`0.031`, `< 0.001`."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"  # noqa: PLR2004


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{percent(share.value)} ({100 * low:.0f}{DASH}{100 * high:.0f})"


def _short(share: Share) -> str:
    low, high = share.interval
    return f"{share.hits} (95 %: {100 * low:.0f}{DASH}{100 * high:.0f} %)"
