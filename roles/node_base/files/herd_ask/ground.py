"""What all modules of the client use: why there is no answer, and JSON that can be trusted."""

from __future__ import annotations

import json
import math
from typing import Any

PIECE_BYTES = 65536
LARGEST_COUNT = 2**53
LONGEST_WORD = 300
"""Of a model's name and what else a server says in a word."""
HOPELESS = 3
UNUSABLE = 4


class AnswerError(Exception):
    """Why an answer is not whole.

    `again`: it may be in another try; `after_s`: not before so long, as the server says.
    `hopeless`: no try will bring it.
    """

    def __init__(
        self,
        words: str,
        *,
        again: bool = False,
        hopeless: bool = False,
        after_s: float | None = None,
    ) -> None:
        super().__init__(words)
        self.again = again
        self.hopeless = hopeless
        self.after_s = after_s


class Odd(str):
    """A number of JSON that none can reckon with, as it was written."""

    __slots__ = ()


def _whole(text: str) -> Any:  # noqa: ANN401 - int or Odd
    return int(text) if len(text) <= len(str(LARGEST_COUNT)) + 1 else Odd(text[:40])


def _decimal(text: str) -> Any:  # noqa: ANN401 - float or Odd
    number = float(text)
    return number if math.isfinite(number) else Odd(text[:40])


def parsed(data: bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value of a JSON text. Raises ValueError if it is none."""
    try:
        return json.loads(
            data.decode("utf-8"), parse_int=_whole, parse_float=_decimal, parse_constant=Odd
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def count_of(value: object) -> int | None:
    """A value that is a count; None for any other."""
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None
