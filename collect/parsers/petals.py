"""What llama-herd's own client and server of Petals wrote.

Format: `roles/petals/files/programs/herd_petals/client.py`, a JSON object a line; a server logs as
upstream does (docs/petals.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from collect.measurement import (
    Measurement,
    Phase,
    PhaseName,
    SaidToken,
    ServerTime,
    TokenRecord,
)
from collect.parsers.json_lines import (
    MOST_TOKENS,
    LogLine,
    LogProbability,
    Milliseconds,
    Text,
    Tokens,
    as_line,
    objects,
    torn,
)
from collect.parsers.parser import Ended, Parser
from core.errors import HerdError

if TYPE_CHECKING:
    from collect.attempt import Role

_CLIENT = "the client of Petals"
_HOLDS = re.compile(rb"^Holding blocks on ([^\r\n]{1,200})$", re.MULTILINE)
_ADAPTER = re.compile(rb'\{"event": "adapter", "sha256": "([0-9a-f]{64})"')
_OWN_WORDS = re.compile(r"^error: (.{1,400})$", re.MULTILINE)
_RAISED = re.compile(
    r"^((?:\w{1,80}\.){0,12}\w{0,80}(?:Error|Exception|Interrupt)(?:: .{1,300})?)$", re.MULTILINE
)


class _Swarm(LogLine):
    """Which servers there are, and which layers each has: the first, and the one after the last."""

    servers: tuple[tuple[Text, Tokens, Tokens], ...]


class _Step(LogLine):
    phase: PhaseName
    tokens: Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS)]
    text: Text
    total_ms: Milliseconds
    chain_ms: Milliseconds
    servers_ms: dict[Text, Milliseconds]
    computing_ms: dict[Text, Milliseconds] = Field(default_factory=dict)
    log_probability: LogProbability | None = None

    @model_validator(mode="after")
    def _holds_its_part(self) -> Self:
        if self.chain_ms > self.total_ms:
            raise ValueError(f"{self.chain_ms} ms of {self.total_ms} ms cannot be")
        return self


class _Perplexity(LogLine):
    value: Annotated[float, Field(strict=True, ge=0.999, le=1e300)]
    total_ms: Milliseconds
    scores: Annotated[tuple[LogProbability, ...], Field(min_length=1)]


def measurement(out: bytes, err: bytes) -> Measurement:
    """What a client measured.

    Raises:
        HerdError: a line is torn, or nothing was measured.
    """
    scored: list[_Perplexity] = []
    steps: list[_Step] = []
    layers: dict[str, int] = {}
    for loaded in objects(out, _CLIENT):
        event = loaded.get("event")
        if event == "perplexity":
            scored.append(as_line(loaded, _Perplexity, _CLIENT))
        elif event == "step":
            steps.append(as_line(loaded, _Step, _CLIENT))
        elif event == "swarm":
            layers |= {name: end - start for name, start, end in _servers(loaded)}
        elif not isinstance(event, str):
            raise torn(_CLIENT, str(loaded))
    if scored:
        return _perplexity(scored[-1])
    if steps:
        return _steps(steps, layers)
    cause = failure_cause(out.decode(errors="replace"), err.decode(errors="replace"))
    raise HerdError(f"The client of Petals measured nothing{f': {cause}' if cause else ''}.")


def _servers(loaded: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    for name, start, end in as_line(loaded, _Swarm, _CLIENT).servers:
        if end < start:
            raise HerdError(f"The log of {_CLIENT} is torn: layers {start} to {end} of a server.")
        yield name, start, end


def failure_cause(out: str, err: str) -> str | None:
    """Why a program of Petals failed, by its own words or its last exception; None if unsaid."""
    for text in (err, out):
        if words := _OWN_WORDS.findall(text):
            return str(words[-1])
    for text in (err, out):
        if raised := _RAISED.findall(text):
            return str(raised[-1])
    return None


def _perplexity(told: _Perplexity) -> Measurement:
    return Measurement(
        samples=1,
        prefill=Phase.of(len(told.scores), told.total_ms),
        perplexity=told.value,
        said=tuple(SaidToken(None, score) for score in told.scores),
    )


def _steps(steps: Sequence[_Step], layers: Mapping[str, int]) -> Measurement:
    """The first step reads the prompt and yields the first token; each other yields one more."""
    first, *others = steps
    scores = [step.log_probability for step in steps]
    return Measurement(
        samples=len(steps),
        prefill=Phase.of(first.tokens, first.total_ms),
        decode=Phase.of(len(others), sum(step.total_ms for step in others)),
        text="".join(step.text for step in steps),
        tokens=tuple(_token(index, step) for index, step in enumerate(steps)),
        said=tuple(SaidToken(step.text, step.log_probability) for step in steps)
        if None not in scores
        else (),
        servers=tuple(
            part for index, step in enumerate(steps) for part in _parts(index, step, layers)
        ),
    )


def _token(index: int, step: _Step) -> TokenRecord:
    """What the client computes itself, and how long it waited for the chain of servers."""
    return TokenRecord(
        index=index,
        phase=step.phase,
        tokens=step.tokens,
        compute_ms=step.total_ms - step.chain_ms,
        sync_ms=step.chain_ms,
        total_ms=step.total_ms,
        sent_kib=None,
        received_kib=None,
        text=step.text,
    )


def _parts(index: int, step: _Step, layers: Mapping[str, int]) -> Iterator[ServerTime]:
    """What each server had to do with a step; early clients did not ask how long it computed."""
    for position, (name, wait_ms) in enumerate(step.servers_ms.items()):
        if name not in layers:
            raise HerdError(f"The log of {_CLIENT} is torn: it does not say what {name} has.")
        yield ServerTime(
            index=index,
            phase=step.phase,
            position=position,
            node=name,
            layers=layers[name],
            wait_ms=wait_ms,
            compute_ms=step.computing_ms.get(name),
        )


class _Petals(Parser):
    """The client's log, and what client and servers say when they fail."""

    def measurement(self, argv: Sequence[str], out: bytes, err: bytes) -> Measurement:  # noqa: ARG002 - there is one program
        """Read what the client wrote."""
        return measurement(out, err)

    def computed_on(self, role: Role, out: bytes, err: bytes) -> str | None:  # noqa: ARG002 - only servers say it
        """Find the GPU that has a server's blocks; None where some are on its CPU."""
        if role != "worker":
            return None  # the text that it generates may say anything
        held = [name.decode(errors="replace").strip() for name in _HOLDS.findall(out)]
        return held[-1] if held and "cpu" not in held else None

    def adapter_read(self, role: Role, out: bytes) -> str | None:  # noqa: ARG002 - servers never say it
        """Find the hash of the prompts, which a client says before all else."""
        found = _ADAPTER.match(out)
        return found[1].decode() if found else None

    def complaint(self, process: Ended) -> str | None:
        """Find its last error; a healthy server logs exceptions, too."""
        return failure_cause(process.out, process.err) if process.badly else None


PARSER = _Petals()
