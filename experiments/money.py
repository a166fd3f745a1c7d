"""What asking APIs costs: the most that it can, beforehand, and what it did, by `usage`.

No token is shorter than a byte, so a question has at most as many tokens as bytes, and an answer at
most as many as are allowed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from collect.account import Account
from collect.attempt import AttemptRecord
from collect.errors import HerdError
from collect.measurement import Answer
from collect.parsers import answers_of
from collect.run import Price, Questions
from experiments.engines.asking import most_prompt_tokens
from experiments.engines.base import Cell
from experiments.engines.openai import is_replayed

ANSWERED = 200
"""HTTP status of an answer; one with another status is not charged."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What answers of one system cost.

    Attributes:
        answers: how many were asked for.
        read_tokens: by `usage`.
        generated_tokens: likewise.
        untold: answers that broke off, or whose server does not count.
        most_read_tokens: the most that these may have read.
        most_generated_tokens: and generated.
    """

    system: str
    price: Price
    answers: int = 0
    read_tokens: int = 0
    generated_tokens: int = 0
    untold: int = 0
    most_read_tokens: int = 0
    most_generated_tokens: int = 0

    @property
    def told_cost(self) -> float:
        """Of what `usage` tells."""
        return self.price.of(self.read_tokens, self.generated_tokens)

    @property
    def most_cost(self) -> float:
        """Of all, and that cannot be more."""
        return self.told_cost + self.price.of(self.most_read_tokens, self.most_generated_tokens)

    def plus(self, other: Bill) -> Bill:
        """Both together."""
        return replace(
            self,
            answers=self.answers + other.answers,
            read_tokens=self.read_tokens + other.read_tokens,
            generated_tokens=self.generated_tokens + other.generated_tokens,
            untold=self.untold + other.untold,
            most_read_tokens=self.most_read_tokens + other.most_read_tokens,
            most_generated_tokens=self.most_generated_tokens + other.most_generated_tokens,
        )

    def line(self) -> str:
        """As a person reads it."""
        untold = ""
        if self.untold:
            most = self.most_cost - self.told_cost
            untold = f", and at most {_money(most, self.price)} for {self.untold} not counted"
        return (
            f"{self.system}: {self.answers} answers, {self.read_tokens} tokens read, "
            f"{self.generated_tokens} generated: {_money(self.told_cost, self.price)}{untold} "
            f"(prices of {self.price.date})"
        )


def most_of_trial(cell: Cell) -> Bill | None:
    """The most that a trial can cost; None if it costs nothing, as far as anyone said."""
    workload = cell.workload
    if cell.endpoint is None or cell.endpoint.price is None or is_replayed(cell):
        return None
    if not isinstance(workload, Questions):
        return None
    return Bill(
        system=str(cell.params["system"]),
        price=cell.endpoint.price,
        answers=len(workload.asked),
        untold=len(workload.asked),
        most_read_tokens=sum(most_prompt_tokens(workload, q) for q in workload.asked),
        most_generated_tokens=len(workload.asked) * workload.max_tokens,
    )


def bill_of(folder: Path, record: AttemptRecord, cell: Cell) -> Bill | None:
    """What an attempt cost; the most that it can where its log cannot be read."""
    most, workload = most_of_trial(cell), cell.workload
    if most is None or not isinstance(workload, Questions):
        return None
    try:
        answers = answers_of(folder, record)
    except HerdError:
        return most
    bill = Bill(system=most.system, price=most.price)
    asked = {question.id: question for question in workload.asked}
    for answer in answers:
        bill = bill.plus(_charge(bill, answer, most_prompt_tokens(workload, asked[answer.question]),
                                 workload.max_tokens))  # fmt: skip
    return bill


def _charge(bill: Bill, answer: Answer, most_read: int, most_generated: int) -> Bill:
    one = Bill(system=bill.system, price=bill.price, answers=1)
    if answer.tokens_from == "usage" and answer.prompt_tokens is not None:
        return replace(one, read_tokens=answer.prompt_tokens, generated_tokens=answer.tokens)
    if answer.status not in (None, ANSWERED):
        return one
    return replace(one, untold=1, most_read_tokens=most_read, most_generated_tokens=most_generated)


class Purse:
    """The money of a run.

    Args:
        cells: cell id to cell.
        run: folder of the run that goes on; None for a new one.
        pending: trials that are left of each cell.
        max_cost: what all may cost together; None for no ceiling.
    """

    def __init__(
        self,
        cells: Mapping[str, Cell],
        run: Path | None,
        pending: Counter[str],
        max_cost: float | None,
    ) -> None:
        self._cells = cells
        self._pending = pending
        self._max_cost = max_cost
        self._bills: dict[str, Bill] = {}
        for trial in Account.read(run).trials if run else ():
            for attempt in trial.attempts:
                if attempt.record is not None and trial.cell.cell_id in cells:
                    self.pay(cells[trial.cell.cell_id], attempt.folder, attempt.record)

    def estimate(self) -> list[str]:
        """What is left to ask and the most that it can cost, a line a system."""
        return [
            f"{most.system}: {count * most.answers} answers to ask, at most "
            f"{_money(count * most.most_cost, most.price)} (prices of {most.price.date})"
            for most, count in self._left()
        ]

    def require(self) -> None:
        """See that the ceiling is known to hold.

        Raises:
            HerdError: what was spent and what is left may cost more, or nobody said what it costs.
        """
        if self._max_cost is None:
            return
        self._require_prices()
        left = sum(count * most.most_cost for most, count in self._left())
        if self._spent() + left > self._max_cost:
            raise HerdError(
                "Planning: this may cost more than --max-cost "
                f"{self._max_cost:g}: {'; '.join(self.estimate())}"
                f"{self._spent_so_far()}. Ask fewer or shorter questions, allow shorter answers "
                "(`max_tokens`), or give a higher --max-cost."
            )

    def refuse_beyond(self, cell: Cell) -> None:
        """See that one more attempt of a cell keeps below the ceiling.

        Raises:
            HerdError: it may not: attempts failed and are asked again.
        """
        most = most_of_trial(cell)
        if most is None or self._max_cost is None:
            return
        if self._spent() + most.most_cost > self._max_cost:
            raise HerdError(
                f"Asking {most.system} once more may cost {_money(most.most_cost, most.price)}, "
                f"which goes beyond --max-cost {self._max_cost:g}{self._spent_so_far()}. All that "
                "was asked is kept: give the same command with a higher --max-cost to go on."
            )

    def pay(self, cell: Cell, folder: Path, record: AttemptRecord) -> None:
        """Take what an attempt cost out of the purse."""
        bill = bill_of(folder, record, cell)
        if bill is not None:
            before = self._bills.get(bill.system)
            self._bills[bill.system] = before.plus(bill) if before else bill

    def lines(self) -> list[str]:
        """The bill of the run, a line a system."""
        return [bill.line() for bill in self._bills.values()]

    def _left(self) -> list[tuple[Bill, int]]:
        found = [(most_of_trial(self._cells[cell_id]), n) for cell_id, n in self._pending.items()]
        return [(most, count) for most, count in found if most is not None]

    def _spent(self) -> float:
        return sum(bill.most_cost for bill in self._bills.values())

    def _spent_so_far(self) -> str:
        lines = self.lines()
        return f"; so far {'; '.join(lines)}" if lines else ""

    def _require_prices(self) -> None:
        asked = [self._cells[cell_id] for cell_id in self._pending]
        currencies = {cell.endpoint.price.currency for cell in asked
                      if cell.endpoint and cell.endpoint.price}  # fmt: skip
        if len(currencies) > 1:
            raise HerdError(
                f"--max-cost: the systems have prices in {', '.join(sorted(currencies))}. Ask them "
                "one after the other, each with a ceiling of its own."
            )
        for cell in asked:
            end = cell.endpoint
            if end and end.key_env and end.price is None and not is_replayed(cell):
                raise HerdError(
                    f"--max-cost: nobody said what {cell.params['system']} costs. "
                    "Give it a `price` in the file of systems."
                )


def _money(cost: float, price: Price) -> str:
    return f"{cost:.4f} {price.currency}"


def money(text: str | None) -> float | None:
    """A sum as the command line has it.

    Raises:
        HerdError: it is none.
    """
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise HerdError(f"--max-cost {text}: give an amount, such as 0.50.")
    return value
