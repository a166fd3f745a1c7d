"""Compute what answers of paid APIs cost, by the prices recorded when the run began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answers.systems import SystemAnswers
from analysis.cells.tabulate import Table, table
from analysis.text.sentence import say
from analysis.text.wording import number
from collect.run import Price


@dataclass(frozen=True, slots=True)
class SystemCost:
    """What a system cost.

    Attributes:
        read: tokens of all questions that were sent, of every attempt; replayed ones are free.
        generated: of their answers.
        total: of both.
        answer: of an answer, median over those that count, replayed ones as if they were asked.
        is_whole: the API reported all tokens that it read.
    """

    price: Price
    read: int
    generated: int
    total: float
    answer: float
    is_whole: bool


def cost_of_system(system: SystemAnswers, answers: pd.DataFrame) -> SystemCost | None:
    """The bill of a system; None if it has no price.

    Args:
        system: whose.
        answers: the run's whole table, attempts that do not count included: they cost, too.
    """
    if system.api is None or system.api.price is None:
        return None
    price = system.api.price
    own = answers[answers["trial_id"].str.startswith(f"{system.cell.record.cell_id}-r")]
    paid = own[~own["replayed"].fillna(value=False).astype(bool)]
    read, generated = int(paid["prompt_tokens"].sum()), int(paid["tokens"].sum())
    counted = system.answers.fillna({"prompt_tokens": 0})
    each = [
        price.of(float(asked), float(answered))
        for asked, answered in zip(counted["prompt_tokens"], counted["tokens"], strict=True)
    ]
    return SystemCost(
        price=price,
        read=read,
        generated=generated,
        total=price.of(read, generated),
        answer=float(np.median(each)),
        is_whole=bool(own["prompt_tokens"].notna().all()),
    )


def price_table(systems: Sequence[SystemAnswers], answers: pd.DataFrame) -> Table | None:
    """A row a paid system; None if there is none."""
    rows = [_row(system, bill) for system in systems if (bill := cost_of_system(system, answers))]
    columns = (
        "System", "Price of a million tokens: read, generated", "On", "Tokens read", "Generated",
        "Bill of this run", "1000 answers",
    )  # fmt: skip
    return table(columns, rows, columns[3:]) if rows else None


def _row(system: SystemAnswers, bill: SystemCost) -> list[str]:
    price, least = bill.price, "" if bill.is_whole else "at least "
    return [
        system.name,
        f"{price.input:g}, {price.output:g} {price.currency}",
        price.date.isoformat(),
        say("{least}{read}", least=least, read=bill.read),
        str(bill.generated),
        say("{least}{in_currency}", least=least, in_currency=in_currency(bill.total, price)),
        say(
            "{least}{in_currency}", least=least, in_currency=in_currency(1000 * bill.answer, price)
        ),
    ]


def in_currency(amount: float, price: Price) -> str:
    """`0.0123 USD`: three digits, however small."""
    return f"{number(amount)} {price.currency}"
