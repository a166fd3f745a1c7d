"""How many bytes and seconds an answer may take."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

from herd_ask.ground import AnswerError, count_of

TOKEN_LIMITS = ("max_completion_tokens", "max_tokens", "n_predict")
TOKENS_UNLIMITED = 8192
"""Taken for the limit where a body names none."""
BYTES_FOR_ALL = 256 * 1024
BYTES_PER_TOKEN = 2048
"""An event of a stream, which is about a token, has some hundred bytes."""
BYTES_PER_PROBABILITY = 512
"""For each of the likely tokens that a body asks for in addition to the chosen one."""
BYTES_PER_ASKED_BYTE = 8
"""llama-server repeats a question at the end, escaped."""
LONGEST_LINE = 1 << 20
SECONDS_PER_TOKEN = 10.0
"""The longest time for a whole answer, in addition to the silence that is allowed once."""


class Limits:
    """What an answer may take: `data` in bytes, `total_s` in all, for so many `tokens`."""

    def __init__(self, body: Any, silence_s: float) -> None:  # noqa: ANN401 - whatever is sent
        told = body if isinstance(body, dict) else {}
        named = (count_of(told.get(name)) for name in TOKEN_LIMITS)
        self.tokens = next((count for count in named if count is not None), TOKENS_UNLIMITED)
        wide = sum(count_of(told.get(name)) or 0 for name in ("n_probs", "top_logprobs"))
        each = BYTES_PER_TOKEN + BYTES_PER_PROBABILITY * wide
        asked = BYTES_PER_ASKED_BYTE * len(json.dumps(body))
        self.data = BYTES_FOR_ALL + asked + self.tokens * each
        self.line = min(self.data, LONGEST_LINE + asked)
        slowest_s = min(silence_s, SECONDS_PER_TOKEN) * self.tokens
        self.total_s = 2 * silence_s + slowest_s


@contextlib.contextmanager
def within(limits: Limits) -> Iterator[None]:
    """Raise AnswerError in anything that takes longer."""

    def late(_signal: int, _frame: object) -> None:
        raise AnswerError(f"the answer was not whole after {limits.total_s:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limits.total_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
