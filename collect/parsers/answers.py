"""What `herd-ask` wrote: a line of JSON for each question (format: roles/node_base/files/herd-ask).

Times are differences of the monotonic clock of the machine that asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from collect.errors import HerdError
from collect.measurement import Answer, Measurement, Phase, TokenSource

CLIENT = "herd-ask"
_CUT = frozenset({"length", "limit"})
_ENDED = frozenset({"eos", "word", "stop"})
_FILTERED = "content_filter"
SERVERS_WITHOUT_REASON = frozenset({"dllama-api"})
"""Their `stop` says only that the stream is over, also of an answer that was cut off."""


def measurement(
    client_argv: Sequence[str], server_argv: Sequence[str], client_out: bytes
) -> Measurement:
    """What the client of an attempt measured.

    Raises:
        HerdError: a line is torn, or a question has no whole answer.
    """
    answers = read_answers(client_argv, server_argv, client_out)
    for answer in answers:
        if answer.error is not None:
            raise HerdError(f"The question {answer.question} has no answer: {answer.error}.")
    return Measurement(
        samples=len(answers),
        prediction=_decoding(answers),
        text="\n\n".join(answer.text for answer in answers),
        flags=tuple(_flags(answers)),
        answers=answers,
    )


def read_answers(
    client_argv: Sequence[str], server_argv: Sequence[str], client_out: bytes
) -> tuple[Answer, ...]:
    """Every answer that was begun, whole or not, in the order of asking.

    Args:
        client_argv: command line of the client, which holds what was asked.
        server_argv: of the server, whose flags may overrule what a request asks for.
        client_out: standard output of the client.

    Raises:
        HerdError: a line is torn.
    """
    bodies = _bodies(client_argv)
    program = _program(server_argv)
    answers = []
    for line in client_out.decode(errors="replace").splitlines():
        try:
            record = json.loads(line)
            body = bodies[record["id"]]
            answers.append(_answer(record, body, program, server_argv))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise HerdError(f"The log of {CLIENT} is torn: {line[:80]}") from None
    return tuple(answers)


def _answer(
    record: Mapping[str, Any], body: Mapping[str, Any], program: str, server_argv: Sequence[str]
) -> Answer:
    tokens, source = _tokens(record)
    replayed = bool(record.get("replayed"))
    sent_s, first_s, last_s, done_s = (
        None if replayed else record[name]
        for name in ("sent_s", "first_piece_s", "last_piece_s", "done_s")
    )
    earlier = record.get("earlier") or []
    asked = body.get("temperature")
    return Answer(
        question=str(record["id"]),
        text=_joined(record["text"]),
        tokens=tokens,
        tokens_from=source,
        prompt_tokens=(record["usage"] or {}).get("prompt_tokens"),
        ttft_ms=_ms(sent_s, first_s),
        decode_ms=_ms(first_s, last_s),
        total_ms=_ms(sent_s, done_s),
        finish_reason=record["finish_reason"],
        truncated=_truncated(record["finish_reason"], tokens, body.get("max_tokens"), program),
        temperature=asked,
        temperature_used=_flag(server_argv, "--temperature")
        if program in SERVERS_WITHOUT_REASON
        else asked,
        error=record["error"],
        refused=bool(record.get("refusal")) or record["finish_reason"] == _FILTERED,
        tries=1 + len(earlier),
        waited_ms=0.0 if replayed or not earlier else _waited_ms(earlier, record),
        replayed=replayed,
        served_model=record.get("model"),
        status=record["status"],
    )


def _waited_ms(earlier: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> float:
    return _ms(earlier[0]["connect_s"], record["connect_s"]) or 0.0


def _tokens(record: Mapping[str, Any]) -> tuple[int, TokenSource]:
    usage = record["usage"] or {}
    if "completion_tokens" in usage:
        return int(usage["completion_tokens"]), "usage"
    timings = record["timings"] or {}
    if "predicted_n" in timings:
        return int(timings["predicted_n"]), "timings"
    return len(record["pieces"]), "pieces"


def _truncated(
    reason: str | None, tokens: int, max_tokens: int | None, program: str
) -> bool | None:
    """Whether an answer was cut off at the most tokens allowed; None if nothing tells.

    No piece is less than a token, so as many pieces as tokens allowed are all of them.
    """
    if reason in _CUT or (max_tokens is not None and tokens >= max_tokens):
        return True
    tells = reason in _ENDED and program not in SERVERS_WITHOUT_REASON
    return False if tells else None


def _decoding(answers: Sequence[Answer]) -> Phase | None:
    """All tokens but the first of each answer, whose time is that of reading the question."""
    timed = [answer for answer in answers if answer.decode_ms]
    tokens = sum(answer.tokens - 1 for answer in timed)
    total_ms = sum(answer.decode_ms or 0.0 for answer in timed)
    return Phase(tokens=tokens, total_ms=total_ms) if tokens > 0 and total_ms > 0 else None


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
    other = next((a for a in answers if a.temperature != a.temperature_used), None)
    if other is not None:
        flags.append(
            f"a temperature of {other.temperature:g} was asked for and the server used "
            f"{other.temperature_used:g}"
        )
    return flags


def _bodies(client_argv: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Question id to what was sent."""
    questions = [json.loads(word) for word in client_argv if word.startswith("{")]
    return {question["id"]: question["body"] for question in questions}


def _program(argv: Sequence[str]) -> str:
    """Name of the program, past one that buffers its lines."""
    names = [PurePosixPath(word).name for word in argv if word.startswith("/opt/")]
    return names[0] if names else ""


def _flag(argv: Sequence[str], name: str) -> float | None:
    return float(argv[argv.index(name) + 1]) if name in argv[:-1] else None


def _ms(begin_s: float | None, end_s: float | None) -> float | None:
    return None if begin_s is None or end_s is None else (end_s - begin_s) * 1000.0


def _joined(text: str) -> str:
    """Halves of a character that came in two pieces, put together."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
