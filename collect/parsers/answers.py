"""What `herd-ask` wrote: a line of JSON for each question (format: roles/node_base/files/herd_ask).

Times are differences of the monotonic clock of the machine that asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from collect.measurement import Answer, Measurement, Phase, TokenSource
from collect.parsers.json_lines import (
    LogLine,
    Seconds,
    Text,
    as_line,
    count_of,
    objects,
    whole_text,
)
from core.errors import HerdError
from core.record import Number

CLIENT = "herd-ask"
_CUT = frozenset({"length", "limit"})
_ENDED = frozenset({"eos", "word", "stop"})
_FILTERED = "content_filter"


class _Earlier(LogLine):
    connect_s: Seconds


class _Reply(LogLine):
    """A line of the client about a question. What the server said is typed where it is used."""

    id: str
    text: Text
    pieces: list[Any]
    status: Annotated[int, Field(strict=True, ge=0, le=999)] | None
    connect_s: Seconds | None = None
    sent_s: Seconds | None
    first_piece_s: Seconds | None
    last_piece_s: Seconds | None
    done_s: Seconds | None
    earlier: tuple[_Earlier, ...] | None = None
    replayed: Annotated[bool, Field(strict=True)] = False
    error: Text | None
    usage: Any
    timings: Any
    finish_reason: Any
    refusal: Any = None
    model: Any = None

    @model_validator(mode="after")
    def _runs_forwards(self) -> Self:
        moments = (self.sent_s, self.first_piece_s, self.last_piece_s, self.done_s)
        known = [moment for moment in moments if moment is not None]
        if any(later < earlier for earlier, later in pairwise(known)):
            raise ValueError("its moments run backwards")
        return self


class _Body(LogLine):
    """What a request asks for."""

    temperature: Number | None = None
    max_tokens: Annotated[int, Field(strict=True, ge=0)] | None = None


class _Asked(LogLine):
    id: str
    body: _Body


def measurement(
    client_argv: Sequence[str],
    server_argv: Sequence[str],
    client_out: bytes,
    *,
    stops_without_reason: bool = False,
) -> Measurement:
    """What the client of an attempt measured; arguments as of `read_answers`.

    Raises:
        HerdError: a line is torn, or a question has no whole answer.
    """
    answers = read_answers(
        client_argv, server_argv, client_out, stops_without_reason=stops_without_reason
    )
    for answer in answers:
        if answer.error is not None:
            raise HerdError(f"The question {answer.question} has no answer: {answer.error}.")
    return Measurement(
        samples=len(answers),
        decode=_decoding(answers),
        text="\n\n".join(answer.text for answer in answers),
        flags=tuple(_flags(answers)),
        answers=answers,
    )


def read_answers(
    client_argv: Sequence[str],
    server_argv: Sequence[str],
    client_out: bytes,
    *,
    stops_without_reason: bool = False,
) -> tuple[Answer, ...]:
    """Every answer that was begun, whole or not, in the order of asking.

    Args:
        client_argv: command line of the client, which holds what was asked.
        server_argv: of the server, whose flags may overrule what a request asks for.
        client_out: standard output of the client.
        stops_without_reason: see `Parser`.

    Raises:
        HerdError: a line is torn.
    """
    bodies = _bodies(client_argv)
    overruled = server_argv if stops_without_reason else None
    found: dict[str, Answer] = {}
    for loaded in objects(client_out, CLIENT):
        reply = as_line(loaded, _Reply, CLIENT)
        if reply.id not in bodies or reply.id in found:
            raise HerdError(f"The log of {CLIENT} answers what was not asked, or twice.")
        found[reply.id] = _answer(reply, bodies[reply.id], overruled)
    return tuple(found.values())


def _answer(reply: _Reply, body: _Body, overruled: Sequence[str] | None) -> Answer:
    """One answer; `overruled`: command line of a server that goes by it and gives no reasons."""
    told = _Told(reply)
    tokens, source = told.tokens()
    reason = told.words("finish_reason", reply.finish_reason)
    sent_s, first_s, last_s, done_s = (
        None if reply.replayed else moment
        for moment in (reply.sent_s, reply.first_piece_s, reply.last_piece_s, reply.done_s)
    )
    earlier = reply.earlier or ()
    return Answer(
        question=reply.id,
        text=reply.text,
        tokens=tokens,
        tokens_from=source,
        prompt_tokens=told.count("usage", "prompt_tokens"),
        ttft_ms=_ms(sent_s, first_s),
        decode_ms=_ms(first_s, last_s),
        total_ms=_ms(sent_s, done_s),
        finish_reason=reason,
        truncated=_truncated(reason, tokens, body.max_tokens, means_it=overruled is None),
        temperature=body.temperature,
        temperature_used=body.temperature
        if overruled is None
        else _flag(overruled, "--temperature"),
        error=reply.error,
        refused=bool(reply.refusal) or reason == _FILTERED,
        tries=1 + len(earlier),
        waited_ms=0.0 if reply.replayed or not earlier else _waited_ms(earlier, reply),
        replayed=reply.replayed,
        served_model=told.words("model", reply.model),
        status=reply.status,
        left_out=tuple(told.left_out),
    )


class _Told:
    """What the server said of an answer, as far as it can be.

    Attributes:
        left_out: what it said that cannot be.
    """

    def __init__(self, reply: _Reply) -> None:
        self._reply = reply
        self.left_out: list[str] = []

    def tokens(self) -> tuple[int, TokenSource]:
        """How many were generated, by the best source that says so."""
        if (tokens := self.count("usage", "completion_tokens")) is not None:
            return tokens, "usage"
        if (tokens := self.count("timings", "predicted_n")) is not None:
            return tokens, "timings"
        return len(self._reply.pieces), "pieces"

    def count(self, part: str, name: str) -> int | None:
        """A count in a part of the reply; None where there is none."""
        told = getattr(self._reply, part)
        if told is None:
            return None
        value = told.get(name) if isinstance(told, dict) else told
        count = count_of(value)
        if count is None and value is not None:
            self.left_out.append(f"{part}.{name}")
        return count

    def words(self, name: str, value: object) -> str | None:
        """A text; None where there is none."""
        if isinstance(value, str):
            return str(whole_text(value))[:_LONGEST_WORDS]
        if value is not None:
            self.left_out.append(name)
        return None


_LONGEST_WORDS = 200


def _waited_ms(earlier: Sequence[_Earlier], reply: _Reply) -> float:
    return max(0.0, _ms(earlier[0].connect_s, reply.connect_s) or 0.0)


def _truncated(
    reason: str | None, tokens: int, max_tokens: int | None, *, means_it: bool
) -> bool | None:
    """Whether an answer was cut off at the most tokens allowed; None if it is unknown.

    No piece is less than a token, so as many pieces as tokens allowed are all of them.
    """
    if reason in _CUT or (max_tokens is not None and tokens >= max_tokens):
        return True
    return False if means_it and reason in _ENDED else None


def _decoding(answers: Sequence[Answer]) -> Phase | None:
    """All tokens but the first of each answer, whose time is that of reading the question."""
    timed = [answer for answer in answers if answer.decode_ms]
    tokens = sum(answer.tokens - 1 for answer in timed)
    total_ms = sum(answer.decode_ms or 0.0 for answer in timed)
    return Phase.of(tokens, total_ms)


def _flags(answers: Sequence[Answer]) -> list[str]:
    flags = []
    if any(answer.tokens_from == "pieces" for answer in answers):
        flags.append("the server does not count tokens: pieces are counted, which may be fewer")
    refused = [answer.question for answer in answers if answer.refused]
    if refused:
        flags.append(f"refused to answer: {', '.join(refused)}")
    if any(answer.replayed for answer in answers):
        flags.append("answers were kept from an earlier run: they say nothing of time")
    empty = [answer.question for answer in answers if not answer.text.strip()]
    if empty:
        flags.append(f"answered with nothing: {', '.join(empty)}")
    odd = [f"{name} of {a.question}" for a in answers for name in a.left_out]
    if odd:
        flags.append(f"the server says what cannot be, which is left out: {', '.join(odd)}")
    other = next((a for a in answers if a.temperature != a.temperature_used), None)
    if other is not None:
        flags.append(
            f"a temperature of {_number(other.temperature)} was asked for and the server used "
            f"{_number(other.temperature_used)}"
        )
    return flags


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _bodies(client_argv: Sequence[str]) -> Mapping[str, _Body]:
    """Question id to what was asked."""
    found = {}
    for word in client_argv:
        if word.startswith("{"):
            for loaded in objects(word.encode("utf-8", "replace"), f"what {CLIENT} was to ask"):
                asked = as_line(loaded, _Asked, f"what {CLIENT} was to ask")
                found[asked.id] = asked.body
    return found


def _flag(argv: Sequence[str], name: str) -> float | None:
    if name not in argv[:-1]:
        return None
    try:
        value = float(argv[argv.index(name) + 1])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _ms(begin_s: float | None, end_s: float | None) -> float | None:
    return None if begin_s is None or end_s is None else (end_s - begin_s) * 1000.0
