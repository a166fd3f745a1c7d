"""What systems said that were asked to compare answers: a judge that wavers has decided nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.answers.prices import in_currency
from analysis.answers.systems import SystemAnswers
from analysis.cells.tabulate import Table, table
from analysis.text.sentence import Sentence, say
from collect.judging import Judge, Judged, Ruling
from collect.ratings import answer_hash
from core.record import Scalar

LEANS = (
    "Of two answers it chose the one shown first in {first} of {decisions} decisions, and for "
    "{turned} of {pairs} pairs the same place in both orders, which counts as a tie."
)
LONGER = "The longer answer won {longer} of {decided} pairs that it decided."
OWN_MODEL = "It judged answers that its own model wrote, which judges prefer: {systems}."
COST = "Its replies cost {cost} ({read} tokens read, {generated} generated, prices of {date})."
UNKNOWN_COST = "The server did not report the cost of {replies} more."
Outcome = Literal["better", "worse", "tie", "same", "unknown"]
"""Of one answer against another: `same` are equal texts, `unknown` what has no verdict."""
Figures = dict[str, Scalar]
Replies = Mapping[tuple[str, str, str], Ruling]
"""Question, answer shown first, answer shown second to what the judge said."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """A judge and the result of its judgements.

    Attributes:
        outcomes: a row a pair of systems.
        figures: name to value of what the notes say.
        notes: what must be known of this judge, a sentence each.
    """

    judge: Judge
    outcomes: Table
    figures: Figures
    notes: tuple[str, ...]


def opinions(systems: Sequence[SystemAnswers], judges: Sequence[Judged]) -> tuple[Opinion, ...]:
    """What each judge said.

    Args:
        systems: that answered.
        judges: as `collect.judging.read_judges` gives them.
    """
    return tuple(_opinion(systems, one) for one in judges if one.comparisons)


def _opinion(systems: Sequence[SystemAnswers], judged: Judged) -> Opinion:
    replies = {(one.question, one.first, one.second): one for one in judged.comparisons}
    texts = {system.name: system.first_texts() for system in systems}
    rows = []
    for one, other in itertools.combinations(texts, 2):
        counts = _counts(replies, texts[one], texts[other])
        shown = (str(counts[name]) for name in ("better", "worse", "tie", "same", "unknown"))
        rows.append([one, other, *shown])
    columns = ("System", "Against", "Better", "Worse", "Tie", "Same text", "No verdict")
    figures = _figures(judged, replies, systems)
    return Opinion(
        judge=judged.judge,
        outcomes=table(columns, rows, columns[2:]),
        figures=figures,
        notes=tuple(_notes(figures, judged.judge, systems)),
    )


def _counts(
    replies: Replies, texts: Mapping[str, str], others: Mapping[str, str]
) -> Counter[Outcome]:
    return Counter(
        outcome(replies, question, answer_hash(text), answer_hash(others[question]))
        for question, text in texts.items()
        if question in others
    )


def outcome(replies: Replies, question: str, one: str, other: str) -> Outcome:
    """What a judge found, asked in both orders; if it depends on the order, it is a tie."""
    if one == other:
        return "same"
    forth, back = replies.get((question, one, other)), replies.get((question, other, one))
    if forth is None or back is None or forth.choice is None or back.choice is None:
        return "unknown"
    if (forth.choice, back.choice) == ("first", "second"):
        return "better"
    if (forth.choice, back.choice) == ("second", "first"):
        return "worse"
    return "tie"


def _figures(judged: Judged, replies: Replies, systems: Sequence[SystemAnswers]) -> Figures:
    """How the judge leans, and what it cost by the tokens that its server reported."""
    texts = [text.strip() for system in systems for text in system.first_texts().values()]
    by_hash = {answer_hash(text): text for text in texts}
    pairs = {(q, min(one, other), max(one, other)) for q, one, other in replies}
    found = {pair: outcome(replies, *pair) for pair in pairs}
    both = [pair for pair, how in found.items() if how != "unknown"]
    turned = sum(
        len({replies[pair].choice, replies[pair[0], pair[2], pair[1]].choice}) == 1
        and replies[pair].choice != "tie"
        for pair in both
    )
    chosen = [one.choice for one in judged.comparisons if one.choice in ("first", "second")]
    decided = [pair for pair in both if found[pair] in ("better", "worse")]
    return {
        "judge": judged.judge.name,
        "temperature": judged.judge.temperature,
        "first": chosen.count("first"),
        "decisions": len(chosen),
        "turned": turned,
        "pairs": len(both),
        "longer": sum(_longer_won(pair, found[pair], by_hash) for pair in decided),
        "decided": len(decided),
        **_bill(judged),
    }


def _notes(found: Figures, judge: Judge, systems: Sequence[SystemAnswers]) -> Iterator[Sentence]:
    """Say how the judge leans, and what it cost; nothing of that where it has no price."""
    leans = ("first", "decisions", "turned", "pairs")
    yield say(LEANS, **{name: found[name] for name in leans})
    yield say(LONGER, longer=found["longer"], decided=found["decided"])
    own = [system.name for system in systems if _model(system) == judge.model]
    if own:
        yield say(OWN_MODEL, systems=", ".join(own))
    if judge.price is not None:
        yield say(
            COST,
            cost=in_currency(float(found["cost"]), judge.price),
            read=found["read"],
            generated=found["generated"],
            date=found["prices_of"],
        )
        if found["not_reported"]:
            yield say(UNKNOWN_COST, replies=found["not_reported"])


def _bill(judged: Judged) -> Figures:
    price = judged.judge.price
    if price is None:
        return {}
    asked = (*judged.comparisons, *judged.broken)
    told = [one for one in asked if None not in (one.read_tokens, one.generated_tokens)]
    read = sum(one.read_tokens or 0 for one in told)
    generated = sum(one.generated_tokens or 0 for one in told)
    return {
        "read": read,
        "generated": generated,
        "not_reported": len(asked) - len(told),
        "cost": price.of(read, generated),
        "currency": price.currency,
        "prices_of": price.date.isoformat(),
    }


def _model(system: SystemAnswers) -> str:
    return str(system.cell.record.params["model"])


def _longer_won(pair: tuple[str, str, str], how: Outcome, by_hash: Mapping[str, str]) -> bool:
    one, other = (len(by_hash.get(answer, "")) for answer in pair[1:])
    return (one > other) if how == "better" else (other > one)
