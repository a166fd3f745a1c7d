"""What a system's own answers and attempts show, good and bad, without a look at other systems."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.answers.detail import Detail
from analysis.answers.prices import cost_of_system, in_currency
from analysis.answers.systems import SystemAnswers
from analysis.text.sentence import reported, say
from analysis.text.wording import bare, number, percent, plural
from collect.tables import Tables

TURNS_IN_CIRCLES = 0.2
"""Share of word runs said again from which an answer repeats itself."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement about a system.

    Attributes:
        text: with the figure that backs it.
        where: id of the part of the page that shows the figure.
    """

    text: str
    where: str


def own_strengths(system: SystemAnswers) -> list[Statement]:
    """Say that each question got the same answer in every trial; nothing if asked only once."""
    differing, repeated = _variants(system)
    if not repeated or differing:
        return []
    return [
        Statement(
            say(
                "The same answer in every trial to {repeated}",
                repeated=plural(repeated, "question"),
            ),
            "side-by-side",
        )
    ]


def own_shortcomings(system: SystemAnswers, found: Detail, tables: Tables) -> list[Statement]:
    """List what a system should improve, without a comparison.

    Args:
        system: with its answers.
        found: what counting found in them.
        tables: of the run, also for attempts that do not count.
    """
    return [
        *_shortcomings(found),
        *_unsteady(system),
        *_retries(system),
        *_costs(system, tables.answers),
        *_failures(system, tables.attempts),
    ]


def _shortcomings(found: Detail) -> list[Statement]:
    lines = []
    if found.cut_off:
        share = say(
            "{cut_off} of {answers}", cut_off=found.cut_off, answers=plural(found.answers, "answer")
        )
        lines.append(
            Statement(say("Cut off at the most tokens allowed: {share}", share=share), "detail")
        )
    if found.refused:
        share = say(
            "{refused} of {answers}", refused=found.refused, answers=plural(found.answers, "answer")
        )
        lines.append(Statement(say("Refused to answer: {share}", share=share), "detail"))
    if found.again >= TURNS_IN_CIRCLES:
        told = say("Repeats itself: {share} of its runs of three words", share=percent(found.again))
        lines.append(Statement(told, "detail"))
    foreign = found.of_writing - found.own_writing
    if foreign:
        told = say(
            "{foreign} of {of_writing}",
            foreign=foreign,
            of_writing=plural(found.of_writing, "answer"),
        )
        lines.append(
            Statement(say("In another writing than the question: {shown}", shown=told), "detail")
        )
    return lines


def _variants(system: SystemAnswers) -> tuple[int, int]:
    """Questions whose answer differed between trials, and questions asked more than once."""
    by_question = system.answers.fillna({"text": ""}).groupby("question")["text"]
    texts = [list(answers) for _, answers in by_question]
    differing = sum(len(set(answers)) > 1 for answers in texts)
    return differing, sum(len(answers) > 1 for answers in texts)


def _unsteady(system: SystemAnswers) -> list[Statement]:
    differing, repeated = _variants(system)
    if not differing:
        return []
    told = say(
        "{differing} of {repeated}", differing=differing, repeated=plural(repeated, "question")
    )
    return [
        Statement(say("Another answer from trial to trial to {shown}", shown=told), "side-by-side")
    ]


def _retries(system: SystemAnswers) -> list[Statement]:
    again = int((system.answers["tries"].fillna(1) > 1).sum())
    if not again:
        return []
    waited_s = float(system.answers["waited_ms"].max()) / 1000
    told = say("{again} of {answers}", again=again, answers=plural(len(system.answers), "answer"))
    text = say(
        "Had to be asked again for {shown}, up to {waited_s} s longer, in its times",
        shown=told,
        waited_s=number(waited_s),
    )
    return [Statement(text, "side-by-side")]


def _costs(system: SystemAnswers, answers: pd.DataFrame) -> list[Statement]:
    bill = cost_of_system(system, answers)
    if bill is None:
        return []
    cost = in_currency(1000 * bill.answer, bill.price)
    return [
        Statement(
            say(
                "Costs {cost} for 1000 answers, by the prices of {date}",
                cost=cost,
                date=bill.price.date,
            ),
            "price",
        )
    ]


def _failures(system: SystemAnswers, attempts: pd.DataFrame) -> list[Statement]:
    own = attempts[attempts["trial_id"].str.startswith(f"{system.cell.record.cell_id}-r")]
    failed = own[own["outcome"] != "done"]
    if failed.empty:
        return []
    causes = failed["cause"].dropna()
    why = say(": {cause}", cause=bare(reported(str(causes.iloc[0])))) if len(causes) else ""
    return [
        Statement(
            say(
                "{failed} of {own} failed{why}",
                failed=len(failed),
                own=plural(len(own), "attempt"),
                why=why,
            ),
            "failures",
        )
    ]
