"""What asking APIs costs: the most that it can, beforehand, and what it did, by `usage`.

No token is shorter than a byte, so a question has at most as many tokens as bytes, and an answer at
most as many as are allowed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collect.account import Account
from collect.attempt import AttemptRecord
from collect.measurement import Answer
from collect.parsers.of_attempt import answers_of
from collect.run import Price
from collect.workloads import Questions
from core.errors import HerdError
from experiments.engines.base import Cell, Endpoint
from experiments.engines.chat_server import most_prompt_tokens
from experiments.engines.openai import is_replayed

ANSWERED = 200
"""HTTP status of an answer; one with another status is not charged."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What answers of one system cost.

    Attributes:
        answers: how many were asked for.
        read_tokens: by `usage`.
        generated_tokens: by `usage`.
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
        """The cost according to `usage`."""
        return self.price.of(self.read_tokens, self.generated_tokens)

    @property
    def most_cost(self) -> float:
        """Of all, and that cannot be more."""
        return self.told_cost + self.price.of(self.most_read_tokens, self.most_generated_tokens)

    def plus(self, other: Spending) -> Spending:
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


def most_of_trial(cell: Cell) -> Spending | None:
    """The most that a trial can cost; None if it costs nothing, as far as anyone said."""
    workload = cell.workload
    if cell.endpoint is None or cell.endpoint.price is None or is_replayed(cell):
        return None
    if not isinstance(workload, Questions):
        return None
    return Spending(
        system=str(cell.params["system"]),
        price=cell.endpoint.price,
        answers=len(workload.asked),
        untold=len(workload.asked),
        most_read_tokens=sum(most_prompt_tokens(workload, q) for q in workload.asked),
        most_generated_tokens=len(workload.asked) * workload.max_tokens,
    )


def spending_of(folder: Path, record: AttemptRecord, cell: Cell) -> Spending | None:
    """What an attempt cost; the most that it can where its log cannot be read."""
    most, workload = most_of_trial(cell), cell.workload
    if most is None or not isinstance(workload, Questions):
        return None
    try:
        answers = answers_of(folder, record)
    except Exception:  # noqa: BLE001 - what others write may raise anything
        return most
    bill = Spending(system=most.system, price=most.price)
    asked = {question.id: question for question in workload.asked}
    if not asked.keys() >= {answer.question for answer in answers}:
        return most
    for answer in answers:
        bill = bill.plus(_charge(bill, answer, most_prompt_tokens(workload, asked[answer.question]),
                                 workload.max_tokens))  # fmt: skip
    return bill


def _charge(bill: Spending, answer: Answer, most_read: int, most_generated: int) -> Spending:
    one = Spending(system=bill.system, price=bill.price, answers=1)
    if answer.tokens_from == "usage" and answer.prompt_tokens is not None:
        return replace(one, read_tokens=answer.prompt_tokens, generated_tokens=answer.tokens)
    if answer.status not in (None, ANSWERED):
        return one
    return replace(one, untold=1, most_read_tokens=most_read, most_generated_tokens=most_generated)


Left = Sequence[tuple[Spending, int]]
"""What is still to ask: the most that it costs once, and how often it is asked."""


def left_of(cells: Mapping[str, Cell], pending: Counter[str]) -> Left:
    """What is left of a run that costs money.

    Args:
        cells: cell id to cell.
        pending: trials that are left of each.
    """
    found = [(most_of_trial(cell), pending[cell_id]) for cell_id, cell in cells.items()]
    return [(most, count) for most, count in found if most is not None and count]


def unpriced(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Systems that take a key, so that asking them may cost, and have no price."""
    found = (
        str(cell.params["system"])
        for cell in cells
        if cell.endpoint and may_cost(cell.endpoint) and not is_replayed(cell)
    )
    return tuple(dict.fromkeys(found))


def may_cost(endpoint: Endpoint) -> bool:
    """Whether an API that takes a key has no price."""
    return endpoint.key_env is not None and endpoint.price is None


class Purse:
    """The money of a run, or of a judge.

    Args:
        left: what is to be asked.
        max_cost: what all may cost together, with what was paid before; None for no ceiling.
        unpriced: systems to ask that have no price.
    """

    def __init__(
        self, left: Left, max_cost: float | None = None, unpriced: Sequence[str] = ()
    ) -> None:
        self._left = left
        self._max_cost = max_cost
        self._unpriced = unpriced
        self._bills: dict[str, Spending] = {}

    def estimate(self) -> list[str]:
        """What is left to ask, the most that it can cost, and what limits it; none if it is free.

        A line a system, their sum, and the ceiling.
        """
        lines = self._estimates()
        if not lines:
            return []
        if len(lines) > 1 and len(self._currencies()) == 1:
            all_most = sum(count * most.most_cost for most, count in self._left)
            lines.append(f"together at most {_money(all_most, self._left[0][0].price)}")
        lines += [f"{name}: no price is given" for name in self._unpriced]
        return [*lines, self._rule()]

    def require(self) -> None:
        """See that the ceiling is known to hold.

        Raises:
            HerdError: what was spent and what is left may cost more, or there is no price.
        """
        if self._max_cost is None:
            return
        self._require_prices()
        left = sum(count * most.most_cost for most, count in self._left)
        if self._spent() + left > self._max_cost:
            raise HerdError(
                "Planning: this may cost more than --max-cost "
                f"{self._max_cost:g}: {'; '.join(self._estimates())}"
                f"{self._spent_so_far()}. Ask fewer or shorter questions, allow shorter answers "
                "(`max_tokens`), or give a higher --max-cost."
            )

    def refuse_beyond(self, most: Spending | None) -> None:
        """See that asking once more, for that much at most, keeps below the ceiling.

        Raises:
            HerdError: it may not: attempts failed and are asked again.
        """
        if most is None or self._max_cost is None:
            return
        if self._spent() + most.most_cost > self._max_cost:
            raise HerdError(
                f"Asking {most.system} once more may cost {_money(most.most_cost, most.price)}, "
                f"which exceeds --max-cost {self._max_cost:g}{self._spent_so_far()}. All "
                "answers so far are kept: repeat the command with a higher --max-cost to "
                "continue."
            )

    def pay(self, bill: Spending | None) -> None:
        """Take the cost of what was asked out of the budget; None is free."""
        if bill is not None:
            before = self._bills.get(bill.system)
            self._bills[bill.system] = before.plus(bill) if before else bill

    def lines(self) -> list[str]:
        """The bill, a line a system."""
        return [bill.line() for bill in self._bills.values()]

    def _estimates(self) -> list[str]:
        return [
            f"{most.system}: {count * most.answers} answers to ask, at most "
            f"{_money(count * most.most_cost, most.price)} (prices of {most.price.date})"
            for most, count in self._left
        ]

    def _rule(self) -> str:
        if self._max_cost is None:
            return (
                "Questions that fail are asked again and cost again; `--max-cost` limits the total."
            )
        return f"--max-cost {self._max_cost:g}: no question is asked that could exceed it."

    def _currencies(self) -> set[str]:
        return {most.price.currency for most, _ in self._left}

    def _spent(self) -> float:
        return sum(bill.most_cost for bill in self._bills.values())

    def _spent_so_far(self) -> str:
        lines = self.lines()
        return f"; so far {'; '.join(lines)}" if lines else ""

    def _require_prices(self) -> None:
        currencies = self._currencies()
        if len(currencies) > 1:
            raise HerdError(
                f"--max-cost: the systems have prices in {', '.join(sorted(currencies))}. Ask "
                "them one after the other, each with its own limit."
            )
        for name in self._unpriced:
            raise HerdError(
                f"--max-cost: {name} has no price. Add a `price` to it in the file of systems."
            )


def run_purse(
    cells: Mapping[str, Cell],
    account: Account | None,
    pending: Counter[str],
    max_cost: float | None,
) -> Purse:
    """The money of a run.

    Args:
        cells: cell id to cell.
        account: of the continued run, whose attempts were paid; None for a new one.
        pending: trials that are left of each cell.
        max_cost: what all may cost together; None for no ceiling.
    """
    purse = Purse(left_of(cells, pending), max_cost, unpriced(cells[one] for one in pending))
    for trial in account.trials if account else ():
        for attempt in trial.attempts:
            if attempt.record is not None and trial.cell.cell_id in cells:
                purse.pay(spending_of(attempt.folder, attempt.record, cells[trial.cell.cell_id]))
    return purse


def _money(cost: float, price: Price) -> str:
    return f"{cost:.4f} {price.currency}"


def parse_sum(text: str | None) -> float | None:
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
