"""Records of a distributed-llama root on their way to who keeps, counts or prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import compress, repeat
from typing import Any, NamedTuple

from collect.measurement import PhaseName, TokenRecord

_record: Callable[[Iterable[object]], TokenRecord] = partial(tuple.__new__, TokenRecord)


class Records(NamedTuple):
    """Records of one phase, one behind the other, column by column: there may be millions.

    Attributes:
        first: index of the first one.
        phase: of all of them; the other fields are those of `TokenRecord`, a value for each.
    """

    first: int
    phase: PhaseName
    tokens: Sequence[int]
    compute_ms: Sequence[float | None]
    sync_ms: Sequence[float | None]
    total_ms: Sequence[float]
    sent_kib: Sequence[float | None]
    received_kib: Sequence[float | None]
    text: Sequence[str | None]

    @classmethod
    def of(cls, rows: Sequence[TokenRecord]) -> Records:
        """Records, at least one, which are all of one phase."""
        _, _, *columns = zip(*rows, strict=True)
        return cls(rows[0].index, rows[0].phase, *columns)

    @property
    def lines(self) -> int:
        """How many there are; at least one."""
        return len(self.tokens)

    def rows(self) -> list[TokenRecord]:
        """The records one by one."""
        first, phase, *columns = self
        indices = range(first, first + self.lines)
        return list(map(_record, zip(indices, repeat(phase), *columns, strict=False)))

    def only(self, wanted: Sequence[bool], first: int) -> Records:
        """Some of them, numbered from `first`."""
        columns: list[list[Any]] = [list(compress(column, wanted)) for column in self[2:]]
        return Records(first, self.phase, *columns)


Take = Callable[[Records], None]
"""Who takes records as they are read, some at once."""
