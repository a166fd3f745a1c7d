"""What llama-herd's own client and server of Petals wrote.

Format: `roles/petals/files/programs/herd_petals/client.py`, a JSON object a line; a server logs as
upstream does (docs/petals.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collect.errors import HerdError
from collect.measurement import (
    Measurement,
    Phase,
    PhaseName,
    SaidToken,
    ServerTime,
    TokenRecord,
)

PROGRAM = "/petals/bin/petals-"
_OWN_WORDS = re.compile(r"^error: (.{1,400})$", re.MULTILINE)
_RAISED = re.compile(r"^((?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?:: .{1,300})?)$", re.MULTILINE)


def is_petals(argv: Sequence[str]) -> bool:
    """Whether a command line is of a program of Petals."""
    return any(PROGRAM in argument for argument in argv[:1])


def measurement(out: bytes, err: bytes) -> Measurement:
    """What a client measured.

    Raises:
        HerdError: a line is torn, or nothing was measured.
    """
    records = [_record(line) for line in out.decode(errors="replace").splitlines()]
    try:
        scored = [record for record in records if record["event"] == "perplexity"]
        steps = [record for record in records if record["event"] == "step"]
        if scored:
            return _perplexity(scored[-1])
        if steps:
            layers = {
                str(name): int(end) - int(start)
                for record in records
                if record["event"] == "swarm"
                for name, start, end in record["servers"]
            }
            return _steps(steps, layers)
    except (KeyError, TypeError, ValueError):
        raise HerdError("The log of the client of Petals lacks something in a record.") from None
    cause = failure_cause(out.decode(errors="replace"), err.decode(errors="replace"))
    raise HerdError(f"The client of Petals measured nothing{f': {cause}' if cause else ''}.")


def failure_cause(out: str, err: str) -> str | None:
    """Why a program of Petals failed, by its own words or its last exception; None if unsaid."""
    for text in (err, out):
        if words := _OWN_WORDS.findall(text):
            return str(words[-1])
    for text in (err, out):
        if raised := _RAISED.findall(text):
            return str(raised[-1])
    return None


def _record(line: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "event" not in record:
        raise HerdError(f"The log of the client of Petals is torn: {line[:80]}")
    return record


def _perplexity(record: Mapping[str, Any]) -> Measurement:
    scores = tuple(float(score) for score in record["scores"])
    return Measurement(
        samples=1,
        evaluation=Phase(tokens=len(scores), total_ms=float(record["total_ms"])),
        perplexity=float(record["value"]),
        said=tuple(SaidToken(None, score) for score in scores),
    )


def _steps(steps: Sequence[Mapping[str, Any]], layers: Mapping[str, int]) -> Measurement:
    """The first step reads the prompt and yields the first token; each other yields one more."""
    first, *others = steps
    prediction_ms = sum(float(step["total_ms"]) for step in others)
    is_scored = "log_probability" in first
    return Measurement(
        samples=len(steps),
        evaluation=Phase(tokens=int(first["tokens"]), total_ms=float(first["total_ms"])),
        prediction=Phase(tokens=len(others), total_ms=prediction_ms) if others else None,
        text="".join(str(step["text"]) for step in steps),
        tokens=tuple(_token(index, step) for index, step in enumerate(steps)),
        said=tuple(SaidToken(str(s["text"]), float(s["log_probability"])) for s in steps)
        if is_scored
        else (),
        servers=tuple(
            part for index, step in enumerate(steps) for part in _parts(index, step, layers)
        ),
    )


def _token(index: int, step: Mapping[str, Any]) -> TokenRecord:
    """What the client computes itself, and how long it waited for the chain of servers."""
    total_ms, chain_ms = float(step["total_ms"]), float(step["chain_ms"])
    return TokenRecord(
        index=index,
        phase=_phase(step),
        tokens=int(step["tokens"]),
        compute_ms=total_ms - chain_ms,
        sync_ms=chain_ms,
        total_ms=total_ms,
        sent_kib=None,
        received_kib=None,
        text=str(step["text"]),
    )


def _parts(index: int, step: Mapping[str, Any], layers: Mapping[str, int]) -> Iterator[ServerTime]:
    """What each server had to do with a step; early clients did not ask how long it computed."""
    computing = step.get("computing_ms", {})
    for position, (name, wait_ms) in enumerate(step["servers_ms"].items()):
        yield ServerTime(
            index=index,
            phase=_phase(step),
            position=position,
            node=str(name),
            layers=layers[name],
            wait_ms=float(wait_ms),
            compute_ms=float(computing[name]) if name in computing else None,
        )


def _phase(step: Mapping[str, Any]) -> PhaseName:
    return "evaluation" if step["phase"] == "evaluation" else "prediction"
