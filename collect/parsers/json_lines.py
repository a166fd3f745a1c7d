"""What programs write as JSON, a line each: typed before anything is reckoned with it.

A server, and anyone who sends a run, may write anything. What a line of our own clients lacks makes
the log torn. What a server says and cannot be (a negative or fractional count, a text for a number)
is left out, so that one odd answer does not hide the others; the caller says so in a flag.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.errors import HerdError
from core.foreign import one_line

MOST_TOKENS = 10_000_000
"""Of an answer, or of a line; far beyond any context."""
LONGEST_MS = 1e12
"""Thirty years."""
LOWEST_LOG_PROBABILITY = -3.5e38
"""A little below the lowest float32, which llama-server writes for a token that cannot be."""


def whole_text(text: object) -> object:
    """Halves of a character that came in two pieces put together, and single ones replaced."""
    if not isinstance(text, str) or not _has_half(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _has_half(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


Text = Annotated[str, BeforeValidator(whole_text)]
"""Text that can be written in UTF-8."""
Tokens = Annotated[int, Field(strict=True, ge=0, le=MOST_TOKENS)]
Milliseconds = Annotated[float, Field(strict=True, ge=0, le=LONGEST_MS)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=LONGEST_MS)]
"""A moment of a monotonic clock."""
LogProbability = Annotated[float, Field(strict=True, ge=LOWEST_LOG_PROBABILITY, le=0.001)]
"""Natural logarithm of a probability, which is at most 1 but for rounding."""


class LogLine(BaseModel):
    """A line of a log; other text in it is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


LineKind = TypeVar("LineKind", bound=LogLine)


def objects(out: bytes, whose: str) -> Iterator[dict[str, Any]]:
    """The JSON object of each line.

    Args:
        out: a log.
        whose: as in `the client of Petals`.

    Raises:
        HerdError: a line is none.
    """
    for line in out.decode(errors="replace").removesuffix("\n").split("\n") if out else ():
        try:
            loaded = json.loads(line)
        except (ValueError, RecursionError):
            loaded = None
        if not isinstance(loaded, dict):
            raise torn(whose, line)
        yield loaded


def as_line(loaded: dict[str, Any], kind: type[LineKind], whose: str) -> LineKind:
    """The object as a line of that kind.

    Raises:
        HerdError: it is none, and in what.
    """
    try:
        return kind.model_validate(loaded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = one_line(".".join(map(str, first["loc"])), 100)
        raise HerdError(
            f"The log of {whose} is torn: {where}: {one_line(first['msg'], 200)}"
        ) from None


def torn(whose: str, line: str) -> HerdError:
    """The error about a line that is none."""
    return HerdError(f"The log of {whose} is torn: {one_line(line, 80)}")


def count_of(value: object) -> int | None:
    """What a server counts; None where it says none, or what cannot be one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MOST_TOKENS else None
