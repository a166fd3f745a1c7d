"""Length of answers and how much is in them, by counting: it says nothing about quality."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.answers.systems import SystemAnswers
from analysis.cells.tabulate import Table, table
from analysis.text.sentence import say
from analysis.text.wording import NOTHING, percent
from collect.questions import Question
from collect.spoken_numbers import numbers_in

WORD = re.compile(r"\w+(?:['\u2019.-]\w+)*")
SENTENCE_END = re.compile(r"[.!?\u3002]+(?=\s|$)|\n+")
RUN = 3
"""Words in a row that count as said again when they come a second time."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What counting finds in a system's answers; medians over questions.

    Attributes:
        again: share of three-word sequences that occurred before in the same answer: high for
            repetitive answers.
        own_writing: how many questions without a key were answered in the script of the question.
        of_writing: of how many.
        cut_off: how many answers were cut off at the most tokens allowed.
        refused: how many the server refused.
        answers: of how many.
    """

    words: float
    sentences: float
    numbers: float
    again: float
    own_writing: int
    of_writing: int
    cut_off: int
    refused: int
    answers: int


def detail_of(questions: Sequence[Question], system: SystemAnswers) -> Detail:
    """Count in the first answer to each question."""
    texts = {q.id: _first(system, q.id) for q in questions if len(system.to(q.id))}
    by_writing = [
        (script_of(q.text), script_of(texts[q.id]))
        for q in questions
        if q.key is None and script_of(texts.get(q.id, ""))
    ]

    def median(count: Callable[[str], float]) -> float:
        return float(np.median([count(text) for text in texts.values()]))

    return Detail(
        words=median(lambda text: len(WORD.findall(text))),
        sentences=median(lambda text: len(_sentences(text))),
        numbers=median(lambda text: len(numbers_in(text))),
        again=median(said_again),
        own_writing=sum(asked == answered for asked, answered in by_writing),
        of_writing=len(by_writing),
        cut_off=int(system.answers["truncated"].fillna(value=False).sum()),
        refused=int(system.answers["refused"].fillna(value=False).sum()),
        answers=len(system.answers),
    )


def detail_table(details: dict[str, Detail]) -> Table:
    """A row a system."""
    rows = [
        [
            name,
            *(f"{value:g}" for value in (found.words, found.sentences, found.numbers)),
            percent(found.again),
            say(
                "{own_writing} of {of_writing}",
                own_writing=found.own_writing,
                of_writing=found.of_writing,
            )
            if found.of_writing
            else NOTHING,
            say("{cut_off} of {given}", cut_off=found.cut_off, given=found.answers),
            say("{refused} of {given}", refused=found.refused, given=found.answers),
        ]
        for name, found in details.items()
    ]
    columns = (
        "System", "Words", "Sentences", "Numbers", "Repetition", "Same script as the question",
        "Cut off", "Refused",
    )  # fmt: skip
    return table(columns, rows, columns[1:])


def said_again(text: str) -> float:
    """Compute the share of three-word sequences that occurred before in the text, 0 to 1."""
    words = [word.casefold() for word in WORD.findall(text)]
    runs = list(zip(*(words[start:] for start in range(RUN)), strict=False))
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


def script_of(text: str) -> str:
    """Find the script of most letters of a text: `LATIN`, `HANGUL` …; empty without any."""
    scripts = Counter(
        unicodedata.name(sign, "?").split()[0] for sign in text if sign.isalpha()
    ).most_common(1)
    return scripts[0][0] if scripts else ""


def _first(system: SystemAnswers, question: str) -> str:
    return str(system.to(question)["text"].fillna("").iloc[0])


def _sentences(text: str) -> list[str]:
    return [part for part in SENTENCE_END.split(text) if WORD.search(part)]
