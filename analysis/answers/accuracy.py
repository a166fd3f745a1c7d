"""How many of the questions with a key each system answers rightly, and whether that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from analysis.answers.systems import SystemAnswers
from analysis.cells.family import LEVEL, Family
from analysis.cells.tabulate import Table, table
from analysis.statistics.proportions import FEWEST_TO_NAME, Discordance, Share, discordance
from analysis.text.sentence import Sentence, say
from analysis.text.wording import DASH, NOTHING, listing, percent, plural
from collect.grading import is_right
from collect.questions import Question

RIGHT_OF = "Correct by the key, of {questions} with one: {shares}."
TOO_FEW = (
    "No system can be called more accurate than another: that takes {least} questions with a key "
    "or more."
)
UNKNOWN_OF_TWO = "It is unclear which of the two systems is more accurate."
UNKNOWN_OF_ANY = "For no pair of systems is it clear which is more accurate."
UNKNOWN_OF_OTHERS = "For no other pair of systems is it clear which is more accurate."
BETTER = (
    "{better} is right more often than {other}: it alone was right on {more} questions, and wrong "
    "on {less} (exact McNemar: p {p})."
)
BETTER_OF_MANY = (
    "{better} is right more often than {other}: it alone was right on {more} questions, and wrong "
    "on {less} (exact McNemar, Holm over {comparisons} comparisons: p {p})."
)
RIGHT = "right by the key"
"""What comparisons of accuracy are called."""
LEAST_P = 0.001
"""The smallest p value that is written as a number."""
Grades = Mapping[str, bool]
"""Question with a key to whether it was answered rightly."""


@dataclass(frozen=True, slots=True)
class AccuracyPair:
    """Two systems on the same questions.

    Attributes:
        p_value: of the exact McNemar test, raised for all comparisons of the report (Holm); None
            with fewer questions than may name one.
    """

    first: str
    second: str
    found: Discordance
    p_value: float | None

    @property
    def better(self) -> str | None:
        """The one that may be called better; None if neither may."""
        if self.p_value is None or self.p_value >= LEVEL:
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

    def pairs(self, family: Family) -> tuple[AccuracyPair, ...]:
        """Every two systems, as the comparisons of the report have them."""
        return tuple(
            AccuracyPair(
                one, other, discordance(self.grades[one], self.grades[other]), row.p_adjusted
            )
            for one, other in combinations(self.grades, 2)
            if (row := family.find(RIGHT, one, other))
        )


def accuracy_of(questions: Sequence[Question], systems: Sequence[SystemAnswers]) -> Accuracy | None:
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


def _texts(question: Question, system: SystemAnswers) -> list[str]:
    return [str(text) for text in system.to(question.id)["text"].fillna("")]


def _is_right(question: Question, system: SystemAnswers) -> bool:
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
    columns = ("System", "Right", "Of", "Share (95 %, Wilson)", "Empty answers")
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
            say("{right} of {asked}", right=sum(grades[name] for name in ids), asked=len(ids))
            for grades in found.grades.values()
        ]
        rows.append([topic, *cells])
    return table(("Topic", *found.grades), rows, tuple(found.grades))


def accuracy_pairs(found: Accuracy, family: Family) -> Table | None:
    """Every two systems, paired by question."""
    rows = [
        [
            pair.first,
            pair.second,
            str(pair.found.first_only),
            str(pair.found.second_only),
            NOTHING if pair.p_value is None else p_in_words(pair.p_value),
            _finding(pair),
        ]
        for pair in found.pairs(family)
    ]
    columns = (
        "System",
        "Against",
        "Only this right",
        "Only other right",
        "p (McNemar, Holm)",
        "Verdict",
    )
    return table(columns, rows, columns[2:5]) if rows else None


def _finding(pair: AccuracyPair) -> str:
    if pair.p_value is None:
        return say(
            "{questions}: too few to name one", questions=plural(pair.found.questions, "question")
        )
    return say("{better} is right more often", better=pair.better) if pair.better else "cannot tell"


def sentences(found: Accuracy, family: Family) -> list[Sentence]:
    """What may be said of the systems' accuracy."""
    asked = len(found.questions)
    shares = [
        say("{name} {short}", name=name, short=_short(found.share(name))) for name in found.grades
    ]
    told = [say(RIGHT_OF, questions=plural(asked, "question"), shares=listing(shares))]
    if len(found.grades) == 1:
        return told
    if not found.may_name:
        return [*told, say(TOO_FEW, least=FEWEST_TO_NAME)]
    pairs = found.pairs(family)
    better = [pair for pair in pairs if pair.better]
    told += [_better(pair, family.tried) for pair in better]
    if len(better) < len(pairs):
        few = UNKNOWN_OF_TWO if len(pairs) == 1 else UNKNOWN_OF_ANY
        told.append(say(UNKNOWN_OF_OTHERS if better else few))
    return told


def _better(pair: AccuracyPair, comparisons: int) -> Sentence:
    is_first = pair.better == pair.first
    more, less = pair.found.first_only, pair.found.second_only
    if not is_first:
        more, less = less, more
    other = pair.second if is_first else pair.first
    p_value = p_in_words(pair.p_value or 0.0)
    return say(
        BETTER_OF_MANY if comparisons > 1 else BETTER,
        better=pair.better,
        other=other,
        more=more,
        less=less,
        comparisons=comparisons,
        p=p_value if "<" in p_value else f"= {p_value}",
    )


def p_in_words(p_value: float) -> str:
    """`0.031`, `< 0.001`."""
    return f"< {LEAST_P}" if p_value < LEAST_P else f"{p_value:.3f}"


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{percent(share.value)} ({100 * low:.0f}{DASH}{100 * high:.0f})"


def _short(share: Share) -> str:
    low, high = share.interval
    return f"{share.hits} (95 %: {100 * low:.0f}{DASH}{100 * high:.0f} %)"
