"""What was answered to each question, side by side, and how long it took."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.answers.asked_pairs import WHOLE
from analysis.answers.systems import ASKED_TO_FIRST, ASKED_TO_WHOLE, SystemAnswers, with_waiting
from analysis.cells.family import Claim, Compared, Family
from analysis.cells.tabulate import Table, table
from analysis.text.sentence import say, together
from analysis.text.wording import NOTHING, interval, number, plural, ratio
from collect.grading import is_right
from collect.questions import Question

TIMES = ((ASKED_TO_FIRST, 1e-3), (ASKED_TO_WHOLE, 1e-3), ("tokens_per_s", 1.0))
"""Columns of what readers see, and the factor to its unit: seconds, tokens/s."""


@dataclass(frozen=True, slots=True)
class SystemAnswer:
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
class AnsweredQuestion:
    """A question with what each system answered."""

    question: Question
    cards: tuple[SystemAnswer, ...]


def counting(answers: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The answers of attempts that count, with the cell and repeat of their trial."""
    of_trials = trials[["attempt_id", "cell_id", "repeat"]].dropna()
    found = answers.merge(of_trials, on="attempt_id")
    return found.assign(replayed=found["replayed"].fillna(value=False).astype(bool))


def exported(
    questions: Sequence[Question], systems: Sequence[SystemAnswers], answers: pd.DataFrame
) -> pd.DataFrame:
    """The answers table with the system's name, what a user waited, and whether it is right."""
    names = {system.cell.record.cell_id: system.name for system in systems}
    keys = {question.id: question.key for question in questions}
    right = [
        None if (key := keys.get(str(question))) is None else is_right(key, str(text))
        for question, text in zip(answers["question"], answers["text"].fillna(""), strict=True)
    ]
    frame = with_waiting(answers).assign(
        right=pd.Series(right, index=answers.index, dtype="boolean")
    )
    frame.insert(0, "system", answers["cell_id"].map(names))
    return frame


def waiting_table(systems: Sequence[SystemAnswers]) -> Table:
    """Tabulate each system's times to first token and whole answer, medians over questions.

    If a system had to be asked again, a column has the time of the last try only.
    """
    again = any(system.asked_again for system in systems)
    rows = [
        [
            system.name,
            str(len(system.by_question("total_ms"))),
            *(interval(system.estimate(name, scale), brief=True) for name, scale in TIMES),
            *([interval(system.estimate("total_ms", 1e-3), brief=True)] if again else []),
            *(
                [
                    say(
                        "{asked_again} of {timed}",
                        asked_again=system.asked_again,
                        timed=len(system.timed),
                    )
                ]
                if again
                else []
            ),
            how_timed(system),
        ]
        for system in systems
    ]
    columns = (
        "System", "Questions timed", "TTFT, s: median (95 %)",
        "Whole answer, s", "Tokens/s after the first",
        *(("Last try only, s", "Asked again") if again else ()), "Measured",
    )  # fmt: skip
    return table(columns, rows, columns[1:-1])


def how_timed(system: SystemAnswers) -> str:
    """What the times of a system are times of."""
    if system.cell.emulated:
        return "not: an emulated processor"
    if system.timed.empty:
        return "not: replayed answers"
    where = (
        system.path
        if system.is_comparable
        else say("{path}, with a software GPU", path=system.path)
    )
    replayed = int(system.answers["replayed"].sum())
    return (
        say(
            "{where}; {replayed} left out",
            where=where,
            replayed=plural(replayed, "replayed answer"),
        )
        if replayed
        else where
    )


def time_pairs(systems: Sequence[SystemAnswers], family: Family) -> Table | None:
    """Every two systems, paired by question: who was sooner how often, and the times' ratio."""
    rows = []
    for first, second in itertools.combinations(systems, 2):
        found = family.find(WHOLE, second.name, first.name)
        if found is None or found.ratio is None:
            continue
        one, other = (system.by_question(ASKED_TO_WHOLE) for system in (first, second))
        sooner = sum(one[question] < other[question] for question in map(str, found.ratio.blocks))
        times = ratio(found.ratio, brief=True)
        how_often = say("{sooner} of {n}", sooner=sooner, n=found.pair.n)
        rows.append([first.name, second.name, how_often, times, _so(found)])
    columns = ("System", "Against", "Faster on", "Ratio of times (95 %)", "Verdict")
    return table(columns, rows, [columns[3]]) if rows else None


def _so(second: Compared) -> str:
    """Say how the first system compares with the second, from the opposite comparison."""
    if not second.is_tried:
        return say("{n}: too few to generalise", n=plural(second.pair.n, "question"))
    told = {Claim.FASTER: "slower", Claim.SLOWER: "faster"}
    return told.get(second.finding, str(second.finding))


def asked(
    questions: Sequence[Question], systems: Sequence[SystemAnswers]
) -> tuple[AnsweredQuestion, ...]:
    """Every question with the answers of all systems, and the times of all their trials."""
    return tuple(
        AnsweredQuestion(
            question,
            tuple(
                _card(question, system, answers)
                for system in systems
                if len(answers := system.to(question.id))
            ),
        )
        for question in questions
    )


def _card(question: Question, system: SystemAnswers, answers: pd.DataFrame) -> SystemAnswer:
    texts = [str(text) for text in answers["text"].fillna("")]
    others = sum(text != texts[0] for text in texts)
    facts = [_tokens(answers), *_times(system, question), *_cut(answers), *_troubles(answers)]
    if others:
        facts.append(
            say(
                "different answer in {others} of {texts}",
                others=others,
                texts=plural(len(texts), "trial"),
            )
        )
    mark = ""
    if question.key is not None:
        mark = "right" if is_right(question.key, texts[0]) else "wrong"
    return SystemAnswer(system.name, texts[0].strip() or "(nothing)", mark, tuple(facts))


def _tokens(answers: pd.DataFrame) -> str:
    # A piece may hold several tokens, but not more are generated than are allowed.
    at_least = (answers["tokens_from"] == "pieces") & (answers["truncated"] != True)  # noqa: E712
    counts = dict.fromkeys(
        say("{count} or more", count=count) if more else str(count)
        for count, more in zip(answers["tokens"], at_least.fillna(value=True), strict=True)
    )
    return say("{counts} tokens", counts=together(counts, ", "))


def _times(system: SystemAnswers, question: Question) -> list[str]:
    """The times of every trial; none that are not the system's own."""
    timed = system.timed
    timed = timed[timed["question"] == question.id]
    if timed.empty:
        return ["replayed, not timed"] if system.has_replayed else ["not timed"]
    first, whole = (_each(timed[name] * scale) for name, scale in TIMES[:2])
    rate = _each(timed["tokens_per_s"])
    return [
        say("TTFT {first} s", first=first),
        say("whole answer {whole} s", whole=whole),
        say("{rate} tokens/s", rate=rate),
    ]


def _each(values: pd.Series) -> str:
    return together((number(float(value)) for value in values.dropna()), ", ") or NOTHING


def _cut(answers: pd.DataFrame) -> list[str]:
    words = {True: "cut off", False: "whole"}
    told = dict.fromkeys(answers["truncated"].map(words).fillna("not reported if cut off"))
    return list(told)


def _troubles(answers: pd.DataFrame) -> list[str]:
    """Refusals, repeated asking and what broke off."""
    told = ["refused to answer"] if answers["refused"].fillna(value=False).any() else []
    tries = answers["tries"].fillna(1)
    if tries.max() > 1:
        waited_s = float(answers["waited_ms"].max()) / 1000
        told.append(
            say(
                "asked {most} times, {waited_s} s of it before the last try",
                most=tries.max(),
                waited_s=number(waited_s),
            )
        )
    return [*told, *(str(error) for error in answers["error"].dropna().unique())]
