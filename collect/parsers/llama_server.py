"""What `llama-server` answered to its own `/completion`, as `herd-ask` wrote it down."""

from __future__ import annotations

import math
from collections.abc import Sequence

from collect.measurement import Measurement, SaidToken
from collect.parsers.json_lines import LogLine, LogProbability, Text, as_line, objects
from core.errors import HerdError

_CLIENT = "the client of llama-server"

PATH = "/completion"


class _Token(LogLine):
    token: Text
    logprob: LogProbability


class _Reply(LogLine):
    error: Text | None
    probabilities: tuple[_Token, ...] | None


def is_asked(argv: Sequence[str]) -> bool:
    """Whether a client's command line asks for completions of this kind."""
    return any(argument.endswith(PATH) for argument in argv[:2])


def measurement(out: bytes) -> Measurement:
    """The tokens of all answers, in order; several answers are one text that was scored.

    Raises:
        HerdError: no answer, a torn one, or one that the server did not finish.
    """
    replies = [as_line(loaded, _Reply, _CLIENT) for loaded in objects(out, _CLIENT)]
    answers = [_tokens(reply) for reply in replies]
    if not answers:
        raise HerdError(f"The log of {_CLIENT} holds no answer.")
    said = tuple(token for answer in answers for token in answer)
    scores = [token.log_probability for token in said if token.log_probability is not None]
    is_score = len(answers) > 1 and len(scores) == len(said)
    return Measurement(
        samples=len(said),
        perplexity=_perplexity(scores) if is_score and scores else None,
        text="".join(token.text or "" for token in said),
        said=said,
    )


def _perplexity(scores: Sequence[float]) -> float:
    try:
        return math.exp(-sum(scores) / len(scores))
    except OverflowError:
        raise HerdError("llama-server calls a token of the text impossible.") from None


def _tokens(reply: _Reply) -> list[SaidToken]:
    if reply.error is not None:
        raise HerdError(f"llama-server did not answer: {reply.error}.")
    return [SaidToken(one.token, one.logprob) for one in reply.probabilities or ()]
