"""What was answered to each question, side by side, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.stats import paired_ratio
from analysis.systems import System
from analysis.tabulate import Table, table
from analysis.wording import NOTHING, interval, number, plural, ratio
from collect.grading import is_right
from collect.questions import Question

TIMES = ("ttft_ms", "total_ms", "tokens_per_s")


@dataclass(frozen=True, slots=True)
class Card:
    """A system's answer to a question.

    Attributes:
        system: name of the system.
        text: the first trial's answer.
        mark: `right` or `wrong` by the question's key; else empty.
        facts: tokens, times of every trial, and what is odd, a few words each.
    """

    system: str
    text: str
    mark: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what each system answered."""

    question: Question
    cards: tuple[Card, ...]

    @property
    def answers(self) -> Table:
        """The same as a table."""
        rows = [[card.system, card.text, card.mark, ", ".join(card.facts)] for card in self.cards]
        return table(("System", "Answer", "By the key", "Tokens and times"), rows)


def counting(answers: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The answers of attempts that count, with the cell and repeat of their trial."""
    of_trials = trials[["attempt_id", "cell_id", "repeat"]].dropna()
    found = answers.merge(of_trials, on="attempt_id")
    return found.assign(replayed=found["replayed"].fillna(value=False).astype(bool))


def exported(
    questions: Sequence[Question], systems: Sequence[System], answers: pd.DataFrame
) -> pd.DataFrame:
    """The answers table with the system's name and whether the key calls the answer right."""
    names = {system.cell.record.cell_id: system.name for system in systems}
    keys = {question.id: question.key for question in questions}
    right = [
        None if (key := keys.get(str(question))) is None else is_right(key, str(text))
        for question, text in zip(answers["question"], answers["text"].fillna(""), strict=True)
    ]
    frame = answers.assign(right=pd.Series(right, index=answers.index, dtype="boolean"))
    frame.insert(0, "system", answers["cell_id"].map(names))
    return frame


def waiting_table(systems: Sequence[System]) -> Table:
    """Per system: waiting for the first token and for all, as medians over questions."""
    rows = [
        [
            system.name,
            str(len(system.by_question("total_ms"))),
            *(interval(system.estimate(name), brief=True) for name in TIMES),
            how_timed(system),
        ]
        for system in systems
    ]
    columns = (
        "System", "Questions timed", "First token after, ms: median (95 %)",
        "Whole answer after, ms", "Tokens/s after the first", "Measured",
    )  # fmt: skip
    return table(columns, rows, columns[1:5])


def how_timed(system: System) -> str:
    """What the times of a system are times of."""
    if system.cell.emulated:
        return "not: an emulated processor"
    if system.timed.empty:
        return "not: replayed answers"
    where = system.path
    replayed = int(system.answers["replayed"].sum())
    return f"{where}; {plural(replayed, 'replayed answer')} left out" if replayed else where


def pair_table(systems: Sequence[System], column: str = "total_ms") -> Table | None:
    """Every two systems, paired by question: who was sooner how often, and the times' ratio."""
    rows = []
    for index, first in enumerate(systems):
        for second in systems[index + 1 :]:
            one, other = first.by_question(column), second.by_question(column)
            shared = one.keys() & other.keys()
            found = paired_ratio(one, other) if shared else None
            if found is None:
                continue
            sooner = sum(one[question] < other[question] for question in shared)
            rows.append(
                [first.name, second.name, f"{sooner} of {len(shared)}", ratio(found, brief=True)]
            )
    columns = ("System", "Beside", "Sooner on", "Times the other's time: median (95 %)")
    return table(columns, rows, [columns[3]]) if rows else None


def asked(questions: Sequence[Question], systems: Sequence[System]) -> tuple[Asked, ...]:
    """Every question with the answers of all systems, and the times of all their trials."""
    return tuple(
        Asked(
            question,
            tuple(
                _card(question, system, answers)
                for system in systems
                if len(answers := system.to(question.id))
            ),
        )
        for question in questions
    )


def _card(question: Question, system: System, answers: pd.DataFrame) -> Card:
    texts = [str(text) for text in answers["text"].fillna("")]
    others = sum(text != texts[0] for text in texts)
    facts = [_tokens(answers), *_times(system, question), *_cut(answers), *_troubles(answers)]
    if others:
        facts.append(f"otherwise in {others} of {plural(len(texts), 'trial')}")
    mark = ""
    if question.key is not None:
        mark = "right" if is_right(question.key, texts[0]) else "wrong"
    return Card(system.name, texts[0].strip() or "(nothing)", mark, tuple(facts))


def _tokens(answers: pd.DataFrame) -> str:
    # A piece may hold several tokens, but not more are generated than are allowed.
    at_least = (answers["tokens_from"] == "pieces") & (answers["truncated"] != True)  # noqa: E712
    counts = dict.fromkeys(
        f"{count} or more" if more else str(count)
        for count, more in zip(answers["tokens"], at_least.fillna(value=True), strict=True)
    )
    return f"{', '.join(counts)} tokens"


def _times(system: System, question: Question) -> list[str]:
    """The times of every trial; none that are not the system's own."""
    timed = system.timed
    timed = timed[timed["question"] == question.id]
    if timed.empty:
        return ["replayed, not timed"] if system.has_replayed else ["not timed"]
    first, whole = (_each(timed[name] / 1000) for name in ("ttft_ms", "total_ms"))
    rate = _each(timed["tokens_per_s"])
    return [f"first after {first} s", f"whole after {whole} s", f"{rate} tokens/s"]


def _each(values: pd.Series) -> str:
    return ", ".join(number(float(value)) for value in values.dropna()) or NOTHING


def _cut(answers: pd.DataFrame) -> list[str]:
    words = {True: "cut off", False: "whole"}
    told = dict.fromkeys(answers["truncated"].map(words).fillna("not told if cut off"))
    return list(told)


def _troubles(answers: pd.DataFrame) -> list[str]:
    """Refusals, repeated asking and what broke off."""
    told = ["refused to answer"] if answers["refused"].fillna(value=False).any() else []
    tries = answers["tries"].fillna(1)
    if tries.max() > 1:
        waited_s = float(answers["waited_ms"].max()) / 1000
        told.append(f"asked {tries.max()} times, {number(waited_s)} s of waiting left out")
    return [*told, *(str(error) for error in answers["error"].dropna().unique())]
