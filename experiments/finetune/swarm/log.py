"""What a client that trains prompts wrote: a JSON object a line, typed before it is believed."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from collect.parsers.json_lines import LogLine, Milliseconds, Tokens, as_line, objects, torn
from core.errors import HerdError

_CLIENT = "the client that trains"
_Nats = Annotated[float, Field(strict=True, ge=0, le=1e12)]


class TunedStep(LogLine):
    """A step: the sum of its losses in nats, tokens with a loss, all tokens, its time."""

    nats: _Nats
    counted: Tokens
    read: Tokens
    total_ms: Milliseconds


class _State(LogLine):
    steps: Tokens
    tensors: Annotated[str, Field(max_length=1 << 24)]


class _HeldOut(LogLine):
    nats: tuple[_Nats, ...]
    counted: tuple[Tokens, ...]


@dataclass
class JobLog:
    """What a job came to.

    Attributes:
        steps: each step.
        state: prompts and moments after the last, as safetensors; None without steps.
        nats: of each held-out example, in order.
        counted: tokens with a loss of each.
    """

    steps: list[TunedStep] = field(default_factory=list)
    state: bytes | None = None
    nats: list[float] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)


def read_job(out: bytes, after: int | None, held_out: int) -> JobLog:
    """Read a job's log.

    Args:
        out: what the client printed.
        after: steps in all that the state must be of; None for a job without steps.
        held_out: examples that it must have read.

    Raises:
        HerdError: it is torn, or says less than it must.
    """
    found = JobLog()
    done = None
    for loaded in objects(out, _CLIENT):
        event = loaded.get("event")
        if event == "step":
            found.steps.append(as_line(loaded, TunedStep, _CLIENT))
        elif event == "state":
            told = as_line(loaded, _State, _CLIENT)
            done, found.state = told.steps, _bytes(told.tensors)
        elif event == "held_out":
            scored = as_line(loaded, _HeldOut, _CLIENT)
            found.nats += scored.nats
            found.counted += scored.counted
    if done != after or not held_out == len(found.nats) == len(found.counted):
        raise HerdError(f"The log of {_CLIENT} is torn: it ends before its work.")
    return found


def _bytes(tensors: str) -> bytes:
    try:
        return base64.b64decode(tensors, validate=True)
    except (binascii.Error, ValueError):
        raise torn(_CLIENT, tensors[:60]) from None
