"""The blocks that a distributed-llama root prints at its end: totals, or a perplexity."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from collect.measurement import SaidToken

_EOL = rb"\r?\n"
# Every run in a pattern is bounded: a log may hold a line of a megabyte.
_RATE = rb" {1,16}tokens/s: (\S{1,40}) \((\S{1,40}) ms/tok\)"
_TOKENS = rb" {1,16}nTokens: (-?\d{1,9})"  # -1 for a prompt without a token
_BLOCK_DE = re.compile(
    rb"^Evaluation%b {1,16}nBatches: \d{1,9}%b%b%b%b%bPrediction%b%b%b%b\r?$"
    % (_EOL, _EOL, _TOKENS, _EOL, _RATE, _EOL, _EOL, _TOKENS, _EOL, _RATE),
    re.MULTILINE,
)
_BLOCK_ABC = re.compile(
    rb"^Generated tokens: {1,16}(\d{1,9})%b(?:Avg tokens / second: (\S{1,40})%b)?"
    rb"Avg generation time: {1,16}(\S{1,40}) ms%bAvg inference time: {1,16}(\S{1,40}) ms%b"
    rb"Avg transfer time: {1,16}(\S{1,40}) ms\r?$" % ((_EOL,) * 4),
    re.MULTILINE,
)
_PERPLEXITY = re.compile(
    rb"^Results%b {1,16}perplexity: (\S{1,40}) \(lower = better\)%b"
    rb" {1,16}avgLogProb: (\S{1,40})%b {1,16}bitPerToken: (\S{1,40})\r?$" % ((_EOL,) * 3),
    re.MULTILINE,
)
_EVALUATING = re.compile(rb"^Evaluating (\d{1,9}) tokens\.\.\.\r?$", re.MULTILINE)
_PROBABILITY = re.compile(rb"^ {0,16}(\d{1,9}) / \d{1,9}, prob=([01]\.\d{1,12})\r?$", re.MULTILINE)
MOST_FIGURE = 1e12
"""More is no time and no rate: milliseconds of 31 years."""
PERPLEXITY_TO = 1.5e-6
"""How far, in nats, the same mean in two spellings may be off: six decimals and 32 bits."""
PRINTED_TO = 0.51e-6
"""What a probability with six decimals may be off."""
_ENDING = tuple(
    mark.encode() for mark in ("🚨", "⭕", "🔄", "Cannot connect to ", "terminate called after ")
)
_ASSERTION = re.compile(rb"\S{1,40}: \S{1,200}:\d{1,9}: .{0,400}Assertion `")


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """A phase as the block shows it; figures that are no numbers are None.

    Attributes:
        tokens: number of tokens.
        ms_per_token: mean, printed with two decimals.
        tokens_per_s: mean, printed with two decimals.
        compute_ms: mean computing part of a token (eras A to C).
        sync_ms: mean transfer part of a token (eras A to C).
    """

    tokens: int
    ms_per_token: float | None
    tokens_per_s: float | None
    compute_ms: float | None = None
    sync_ms: float | None = None

    @property
    def total_ms(self) -> float | None:
        """Time of all tokens, from whichever of the two figures was rounded less."""
        if self.ms_per_token is None:
            return None
        if self.tokens_per_s and self.tokens_per_s > self.ms_per_token:
            return 1000.0 * self.tokens / self.tokens_per_s
        return self.tokens * self.ms_per_token

    @property
    def rounding_ms(self) -> float:
        """How far `total_ms` may be from the truth because of two printed decimals."""
        best = max(self.tokens_per_s or 0.0, self.ms_per_token or 0.0)
        return 0.0051 * (self.total_ms or 0.0) / best if best else 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """The block of an inference; eras A to C do not separate the prompt from the rest."""

    prefill: PhaseSummary | None
    decode: PhaseSummary
    tells_rate: bool
    """Whether it has tokens/s, which era A and B have not."""


@dataclass(frozen=True, slots=True)
class PerplexityResult:
    """The block of a perplexity.

    Attributes:
        tokens: of the text.
        perplexity: per token; NaN where what was printed is no number, as for the other two.
        average_log_probability: natural logarithm.
        bits_per_token: the same to base 2.
        probabilities: of each token but the first; empty where they were too many to keep.
    """

    tokens: int
    perplexity: float
    average_log_probability: float
    bits_per_token: float
    probabilities: tuple[float, ...]

    @property
    def fault(self) -> str | None:
        """Why the perplexity cannot be what the engine measured, as a clause; None if it can.

        The engine prints the same mean three times: as perplexity, as mean of logarithms and in
        bits. It computes with 32 bits, so seven digits must agree.
        """
        found, log_mean, bits = self.perplexity, self.average_log_probability, self.bits_per_token
        if not 1 <= found <= MOST_FIGURE:
            return f"the perplexity {found:g} is none: it is 1 or more"
        if not abs(math.log(found) + log_mean) <= PERPLEXITY_TO:
            return f"the perplexity {found:f} is not that of its avgLogProb {log_mean:f}"
        if not abs(bits * math.log(2) + log_mean) <= 2 * PERPLEXITY_TO:
            return f"the bitPerToken {bits:f} is not that of the avgLogProb {log_mean:f}"
        return self._fault_of_probabilities()

    def _fault_of_probabilities(self) -> str | None:
        """Whether the mean can be that of the tokens, each printed with six decimals."""
        if not self.probabilities:
            return None
        low, high = (
            math.fsum(math.log(max(p + by, 1e-300)) for p in self.probabilities)
            / len(self.probabilities)
            for by in (-PRINTED_TO, PRINTED_TO)
        )
        # A sum in 32 bits may lose so much, in the worst case, with each token.
        lost = 1e-6 - 1e-7 * len(self.probabilities) * self.average_log_probability
        if low - lost <= self.average_log_probability <= high + lost:
            return None
        return (
            f"the avgLogProb {self.average_log_probability:f} is not that of its tokens, "
            f"which is between {low:f} and {high:f}"
        )

    @property
    def said(self) -> tuple[SaidToken, ...]:
        """The tokens; a probability that was printed as 0 is not known."""
        return tuple(SaidToken(None, math.log(p) if p else None) for p in self.probabilities)


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows the last record, taken apart.

    Attributes:
        text: the rest of the last record's text.
        summary: the block, if it is whole.
        ending: everything after it, or after the text where there is no summary.
    """

    text: bytes
    summary: Summary | None
    ending: bytes


def take_apart(tail: bytes) -> Tail:
    """Separate text, summary and failure. The last whole block counts: text may hold one."""
    for pattern, read in ((_BLOCK_DE, _read_de), (_BLOCK_ABC, _read_abc)):
        blocks = list(pattern.finditer(tail))
        if blocks:
            text = tail[: blocks[-1].start()]
            if pattern is _BLOCK_DE:  # a blank line stands before it
                text = text.removesuffix(b"\n").removesuffix(b"\r")
            return Tail(text, read(blocks[-1]), tail[blocks[-1].end() :])
    lines = tail.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.startswith(_ENDING) or _ASSERTION.match(line):
            return Tail(b"".join(lines[:index]), None, b"".join(lines[index:]))
    return Tail(tail, None, b"")


_OF_BLOCK = re.compile(
    rb"^(?: {0,16}nTokens: |   tokens/s: |Avg [a-z]{4,12} time: |   bitPerToken: )", re.MULTILINE
)


def has_part_of_block(tail: bytes) -> bool:
    """Whether there are lines of totals, whole block or not."""
    return _OF_BLOCK.search(tail) is not None


def ends_block(lines: bytes) -> bool:
    """Whether the last of these lines ends a block of totals or of a perplexity."""
    lines = lines.removesuffix(b"\n")
    return any(
        found.end() >= len(lines.removesuffix(b"\r"))
        for pattern in (_BLOCK_DE, _BLOCK_ABC, _PERPLEXITY)
        for found in pattern.finditer(lines)
    )


def perplexity_result(output: bytes) -> PerplexityResult | None:
    """The result of `dllama perplexity`; None if the output has none, or a torn one."""
    begin = _EVALUATING.search(output)
    results = list(_PERPLEXITY.finditer(output))
    if begin is None or not results:
        return None
    perplexity, log_probability, bits = (
        math.nan if (value := _finite(figure)) is None else value for figure in results[-1].groups()
    )
    tokens = int(begin[1])
    found = tuple(float(match[2]) for match in _PROBABILITY.finditer(output, begin.end()))
    return PerplexityResult(
        tokens, perplexity, log_probability, bits, found if len(found) == tokens - 1 else ()
    )


def _read_de(block: re.Match[bytes]) -> Summary:
    evaluated, prefill_rate, prefill_ms, predicted, rate, ms = block.groups()
    return Summary(
        PhaseSummary(max(0, int(evaluated)), _number(prefill_ms), _number(prefill_rate)),
        PhaseSummary(max(0, int(predicted)), _number(ms), _number(rate)),
        tells_rate=True,
    )


def _read_abc(block: re.Match[bytes]) -> Summary:
    tokens, rate, generation_ms, inference_ms, transfer_ms = block.groups()
    decode = PhaseSummary(
        int(tokens),
        _number(generation_ms),
        None if rate is None else _number(rate),
        _number(inference_ms),
        _number(transfer_ms),
    )
    return Summary(None, decode, tells_rate=rate is not None)


def _number(figure: bytes) -> float | None:
    """A time or a rate; None where it is none."""
    value = _finite(figure)
    return value if value is not None and 0 <= value <= MOST_FIGURE else None


def _finite(figure: bytes) -> float | None:
    try:
        value = float(figure)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
