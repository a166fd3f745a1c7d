"""What `llama-server` answered to its own `/completion`, as `herd-ask` wrote it down."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from collect.errors import HerdError
from collect.measurement import Measurement, SaidToken

PATH = "/completion"


def is_asked(argv: Sequence[str]) -> bool:
    """Whether a client's command line asks for completions of this kind."""
    return any(argument.endswith(PATH) for argument in argv[:2])


def measurement(out: bytes) -> Measurement:
    """The tokens of all answers, in order; several answers are one text that was scored.

    Raises:
        HerdError: no answer, a torn one, or one that the server did not finish.
    """
    answers = [_answer(line) for line in out.decode(errors="replace").splitlines()]
    if not answers:
        raise HerdError("The log of the client of llama-server holds no answer.")
    said = tuple(token for answer in answers for token in answer)
    scores = [token.log_probability for token in said if token.log_probability is not None]
    is_score = len(answers) > 1 and len(scores) == len(said)
    return Measurement(
        samples=len(said),
        perplexity=math.exp(-sum(scores) / len(scores)) if is_score else None,
        text="".join(token.text or "" for token in said),
        said=said,
    )


def _answer(line: str) -> list[SaidToken]:
    try:
        answer: dict[str, Any] = json.loads(line)
        if answer["error"] is not None:
            raise HerdError(f"llama-server did not answer: {answer['error']}.")
        return [
            SaidToken(str(token["token"]), float(token["logprob"]))
            for token in answer["probabilities"] or ()
        ]
    except (ValueError, KeyError, TypeError):
        raise HerdError("The log of the client of llama-server is torn.") from None
