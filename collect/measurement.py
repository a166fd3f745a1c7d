"""What a parser makes of an attempt's logs. Absent values are None, never 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

PhaseName = Literal["evaluation", "prediction"]
TokenSource = Literal["usage", "timings", "pieces"]


class TokenRecord(NamedTuple):
    """One line of an engine that reports per token. A tuple, because there may be millions.

    Attributes:
        index: position among the records of its attempt, from 0.
        phase: `evaluation` is prefill, `prediction` decode: tables keep these names.
        tokens: how many tokens the line represents.
        compute_ms: root's time in computing.
        sync_ms: root's time in waiting for and exchanging with other nodes.
        total_ms: both, or what the engine gives as total.
        sent_kib: sent by the root since the line before.
        received_kib: received by the root since then.
        text: what was generated, as printed.
    """

    index: int  # type: ignore[assignment]  # of a tuple, which nobody asks it for
    phase: PhaseName
    tokens: int
    compute_ms: float | None
    sync_ms: float | None
    total_ms: float | None
    sent_kib: float | None
    received_kib: float | None
    text: str | None


@dataclass(frozen=True, slots=True)
class ServerTime:
    """One server's part of a step, of an engine that sends each token through a chain of servers.

    Attributes:
        index: of the step's record among the token records.
        phase: of the step.
        position: in the chain, from 0.
        node: where the server is.
        layers: how many it has.
        wait_ms: how long the client waited for its answer.
        compute_ms: how long it worked on it by its own clock; None where it does not report it.
    """

    index: int
    phase: PhaseName
    position: int
    node: str
    layers: int
    wait_ms: float
    compute_ms: float | None


@dataclass(frozen=True, slots=True)
class Phase:
    """The sum of a phase.

    Attributes:
        tokens: number of tokens.
        total_ms: time for all of them, as precise as the engine reports it.
        compute_ms: computing part of it, None where the engine does not split.
        sync_ms: waiting part.
        sent_kib: root's traffic in the phase.
        received_kib: traffic to the root.
        sync_low_ms: the least waiting part that the log allows, where the engine cuts the parts
            of each line off to whole milliseconds; None where it does not, or no bound is known.
        sync_high_ms: the greatest waiting part, in the same way.
    """

    tokens: int
    total_ms: float
    compute_ms: float | None = None
    sync_ms: float | None = None
    sent_kib: float | None = None
    received_kib: float | None = None
    sync_low_ms: float | None = None
    sync_high_ms: float | None = None

    @staticmethod
    def of(tokens: int, total_ms: float) -> Phase | None:
        """Make a phase from its total; None if it has no token, or took no time."""
        return Phase(tokens, total_ms) if tokens > 0 and total_ms > 0 else None

    @property
    def sync_share_low(self) -> float | None:
        """The least share of waiting in the time (0 to 1) that the log allows; None: no bound."""
        return None if self.sync_low_ms is None else self.sync_low_ms / self.total_ms

    @property
    def sync_share_high(self) -> float | None:
        """Return the most."""
        return None if self.sync_high_ms is None else self.sync_high_ms / self.total_ms

    @property
    def ms_per_token(self) -> float:
        """Mean time of one token in milliseconds."""
        return self.total_ms / self.tokens

    @property
    def tokens_per_s(self) -> float:
        """Mean rate."""
        return 1000.0 * self.tokens / self.total_ms


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system answered to one question.

    Attributes:
        question: id of the question.
        tokens: how many were generated, by `tokens_from`.
        tokens_from: the server's `usage`, its `timings`, or counted `pieces` of the stream, which
            may be fewer than tokens.
        prompt_tokens: of the question with its template; None where the server does not report it.
        ttft_ms: from sending to the first piece of the answer that is not empty.
        decode_ms: from the first such piece to the last.
        total_ms: from sending to the end.
        finish_reason: in the server's words.
        truncated: whether it was cut off at the most tokens allowed; None if it is unknown.
        temperature: asked for.
        temperature_used: by the server.
        error: why it is not whole; None if it is.
        refused: whether the server says that it will not answer; some say so in `text` instead.
        tries: how often it was asked, tries that failed before the first piece included.
        waited_ms: from the beginning of the first try to that of the last; in no other time.
        replayed: it was kept from before and says nothing of time.
        status: of HTTP; None if no answer came.
        served_model: as the server calls what answered; None where it does not report it.
        left_out: what the server said that cannot be, such as a count that is no whole number.
    """

    question: str
    text: str
    tokens: int
    tokens_from: TokenSource
    prompt_tokens: int | None
    ttft_ms: float | None
    decode_ms: float | None
    total_ms: float | None
    finish_reason: str | None
    truncated: bool | None
    temperature: float | None
    temperature_used: float | None
    error: str | None
    refused: bool = False
    tries: int = 1
    waited_ms: float = 0.0
    replayed: bool = False
    served_model: str | None = None
    status: int | None = None
    left_out: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float | None:
        """Rate of decoding: all tokens but the first, over the time after it."""
        if not self.decode_ms or self.tokens <= 1:  # one token takes no such time
            return None
        return 1000.0 * (self.tokens - 1) / self.decode_ms


@dataclass(frozen=True, slots=True)
class SaidToken:
    """A token that a model generated, or whose probability it was asked for.

    Attributes:
        text: what it adds to a text; None where the engine does not print it.
        log_probability: natural logarithm; None where the engine does not report it.
    """

    text: str | None
    log_probability: float | None


@dataclass(frozen=True, slots=True)
class AtOnce:
    """What several deployments made that ran at the same time.

    Attributes:
        deployments: how many.
        tokens: that all generated.
        window_s: from the moment at which the first began to generate until the last ended.
        overlap: share of the window in which all generated (0 to 1).
        slowest_tokens_per_s: of the slowest.
        sum_tokens_per_s: of the speeds of all, each over its own time.
    """

    deployments: int
    tokens: int
    window_s: float
    overlap: float
    slowest_tokens_per_s: float
    sum_tokens_per_s: float

    @property
    def tokens_per_s(self) -> float:
        """Tokens of all over the window."""
        return self.tokens / self.window_s


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that the logs of one attempt say.

    Attributes:
        samples: generated tokens (benchmark), 1 (perplexity) or answers (questions); compare with
            what was asked.
        prefill: reading the prompt.
        decode: generating.
        perplexity: per token of the engine's own tokeniser.
        text: generated text, where the engine prints it.
        tokens: per-token records, where the engine prints them.
        required_memory_mib: what the root says that it needs.
        flags: what is odd about the logs, a sentence each.
        answers: to questions, in the order of asking.
        said: tokens with their probabilities, where the engine reports these.
        servers: parts of servers, step by step and along the chain, where there is one.
        at_once: of several deployments; the phases are then those of the median deployment.
    """

    samples: int
    prefill: Phase | None = None
    decode: Phase | None = None
    perplexity: float | None = None
    text: str | None = None
    tokens: tuple[TokenRecord, ...] = ()
    required_memory_mib: float | None = None
    flags: tuple[str, ...] = field(default=())
    answers: tuple[Answer, ...] = ()
    said: tuple[SaidToken, ...] = ()
    servers: tuple[ServerTime, ...] = ()
    at_once: AtOnce | None = None
