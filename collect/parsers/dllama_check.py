"""Compares the lines of a distributed-llama root with its summary.

The summary is precise (microseconds, divided once) where the lines are floored to milliseconds,
and it counts the tokens, where text may imitate a line. The lines show what the summary does not:
the shape over time, computing against waiting, traffic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from collect.measurement import Phase
from collect.parsers.dllama_records import Records, Take
from collect.parsers.dllama_summary import PhaseSummary, Summary

WRAP_MS = 2**32 / 1000
"""Upstream sums microseconds in 32 bits."""
MOST_TRAFFIC_KINDS = 4096

Traffic = tuple[float | None, float | None]


class Totals:
    """Sums over the records of one phase, as printed (times floored to ms, traffic to KiB)."""

    def __init__(self) -> None:
        self.lines = 0
        self.tokens = 0
        self.compute_ms = 0.0
        self.sync_ms = 0.0
        self.total_ms = 0.0
        self.sent_kib = 0.0
        self.received_kib = 0.0
        self.first: Traffic | None = None
        """Of the first record."""
        self.line_tokens: list[int] = []
        """Of evaluations only: there is one for 32 tokens of a prompt."""
        self.traffic: Counter[Traffic] = Counter()

    def add(self, records: Records) -> None:
        """Count records of this phase."""
        _, phase, tokens, compute, sync, total, sent, received, _ = records
        if self.first is None:
            self.first = sent[0], received[0]
        if phase == "evaluation":
            self.line_tokens += tokens
        self.lines += records.lines
        self.tokens += sum(tokens)
        self.compute_ms += _sum(compute)
        self.sync_ms += _sum(sync)
        self.total_ms += _sum(total)
        self.sent_kib += _sum(sent)
        self.received_kib += _sum(received)
        if sent.count(sent[0]) == received.count(received[0]) == records.lines:
            self.traffic[sent[0], received[0]] += records.lines
        else:
            self.traffic.update(zip(sent, received, strict=True))
        self._bound()

    def __add__(self, other: Totals) -> Totals:
        """Of the records of both, one behind the other."""
        both = Totals()
        for name in ("lines", "tokens", "compute_ms", "sync_ms", "total_ms"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        both.sent_kib = self.sent_kib + other.sent_kib
        both.received_kib = self.received_kib + other.received_kib
        both.first = self.first or other.first
        both.line_tokens = self.line_tokens + other.line_tokens
        both.traffic = self.traffic + other.traffic
        both._bound()
        return both

    def _bound(self) -> None:
        if len(self.traffic) > MOST_TRAFFIC_KINDS:
            self.traffic = Counter(dict(self.traffic.most_common(MOST_TRAFFIC_KINDS)))


def _sum(column: Sequence[float | None]) -> float:
    """A part that an era does not print is None on every line."""
    return 0.0 if column[0] is None else sum(column)  # type: ignore[arg-type]


class BothTotals:
    """Totals of both phases."""

    def __init__(self) -> None:
        self.prefill = Totals()
        self.decode = Totals()

    def add(self, records: Records) -> None:
        """Count records, of whichever phase they are."""
        (self.prefill if records.phase == "evaluation" else self.decode).add(records)


@dataclass(frozen=True, slots=True)
class Imitations:
    """Lines that look like records and are text, because the summary counts fewer tokens.

    The real predictions are recognised by their traffic, which is the same for every token of a
    run. Where that does not distinguish them, no prediction is kept. Of the evaluations the last
    ones are real: the prompt is echoed before them.

    Attributes:
        predictions: how many there are.
        traffic: of the real predictions; None if it does not distinguish them.
        evaluations: how many there are.
    """

    predictions: int = 0
    traffic: Traffic | None = None
    evaluations: int = 0

    @staticmethod
    def find(sums: BothTotals, summary: Summary | None) -> Imitations:
        """Find out from the totals of all lines."""
        if summary is None:
            return Imitations()
        predictions = max(0, sums.decode.lines - summary.decode.tokens)
        traffic = None
        if predictions:
            usual, lines = sums.decode.traffic.most_common(1)[0]
            traffic = usual if sums.decode.lines - lines == predictions else None
        evaluations = 0
        if summary.prefill is not None:
            excess = sums.prefill.tokens - summary.prefill.tokens
            for tokens in sums.prefill.line_tokens:
                if excess <= 0:
                    break
                excess -= tokens
                evaluations += 1
        return Imitations(predictions, traffic, evaluations)

    def flags(self) -> list[str]:
        """What was found, a sentence each."""
        flags = []
        if self.predictions:
            flags.append(
                f"{self.predictions} lines of text imitate records: the summary counts fewer "
                "tokens; " + ("they" if self.traffic else "all lines of tokens") + " were left out"
            )
        if self.evaluations:
            flags.append("lines of the prompt imitate records and were left out")
        return flags


class RealOnes:
    """Passes on the real ones of the records, renumbered.

    Args:
        imitations: which are not.
        take: gets the others.
    """

    def __init__(self, imitations: Imitations, take: Take) -> None:
        self._imitations = imitations
        self._take = take
        self._evaluations = 0
        self._index = 0

    def __call__(self, records: Records) -> None:
        """Take some records."""
        wanted = self._real(records)
        if any(wanted):
            self._take(records.only(wanted, self._index))
            self._index += sum(wanted)

    def _real(self, records: Records) -> list[bool]:
        imitations = self._imitations
        if records.phase == "evaluation":
            before, self._evaluations = self._evaluations, self._evaluations + records.lines
            return [at >= imitations.evaluations for at in range(before, self._evaluations)]
        if not imitations.predictions:
            return [True] * records.lines
        each = zip(records.sent_kib, records.received_kib, strict=True)
        return [traffic == imitations.traffic for traffic in each]


@dataclass(frozen=True, slots=True)
class Checked:
    """A phase as far as lines and summary agree.

    Attributes:
        phase: the sums; None where there was nothing to time.
        summary: the block's figures, corrected where they had overflowed.
        flags: where lines and summary disagree.
        agrees: whether the summary counts and times just these lines.
    """

    phase: Phase | None
    summary: PhaseSummary
    flags: tuple[str, ...]
    agrees: bool = True


def check_records(era: str, sums: BothTotals, summary: Summary) -> tuple[Checked | None, Checked]:
    """Join the lines of both phases with the summary; eras A to C have one."""
    decode = check_phase("prediction", era, sums.decode, summary.decode)
    if summary.prefill is None:
        return None, decode
    return check_phase("evaluation", era, sums.prefill, summary.prefill), decode


def agrees(era: str | None, sums: BothTotals, summary: Summary) -> bool:
    """Whether a summary counts and times just these lines."""
    if era is None or (era in {"D", "E"}) != (summary.prefill is not None):
        return False
    return all(checked.agrees for checked in check_records(era, sums, summary) if checked)


def check_phase(name: str, era: str, lines: Totals, summary: PhaseSummary) -> Checked:
    """Join the lines of a phase with its summary."""
    if era in {"A", "B", "C"}:
        return _check_abc(lines, summary)
    flags = []
    whole = lines.tokens == summary.tokens
    if not whole:
        flags.append(
            f"{name}: the lines hold {lines.tokens} tokens and the summary counts {summary.tokens}"
        )
    if summary.total_ms is None or not summary.tokens:
        if summary.tokens:
            flags.append(f"{name}: the summary has no time that could be one")
        return Checked(None, summary, tuple(flags), whole)
    # Era E floors two figures on a line; D one, but prints between the timers of its lines.
    floors = 2 * lines.lines
    summary, wrapped = _unwrapped(summary, lines, floors)
    if wrapped:
        flags.append(f"{name}: the engine's 32-bit sum of microseconds overflowed; corrected")
    total_ms = summary.total_ms or lines.total_ms
    slack_ms = summary.rounding_ms + 1e-6
    said_ms = summary.total_ms or 0.0
    # 0.00 ms is less than half of that for each token.
    low_ms = -slack_ms if said_ms else -0.0051 * summary.tokens - slack_ms
    fits = low_ms <= said_ms - lines.total_ms <= floors + slack_ms
    if whole and lines.lines and not fits:
        flags.append(
            f"{name}: the lines sum up to {lines.total_ms:.0f} ms, "
            f"the summary says {said_ms:.2f} ms"
        )
    if total_ms <= 0:
        return Checked(None, summary, tuple(flags), whole)
    sync_low_ms, sync_high_ms = (None, None)
    compute_ms, sync_ms = (None, None)
    if era == "E" and whole:
        sync_low_ms, sync_high_ms = _sync_bounds(lines, total_ms, slack_ms)
        compute_ms, sync_ms = _split(lines, total_ms, sync_low_ms or 0.0)
    phase = Phase(
        tokens=summary.tokens,
        total_ms=total_ms,
        compute_ms=compute_ms,
        sync_ms=sync_ms,
        sent_kib=lines.sent_kib if lines.lines else None,
        received_kib=lines.received_kib if lines.lines else None,
        sync_low_ms=sync_low_ms,
        sync_high_ms=sync_high_ms,
    )
    return Checked(phase, summary, tuple(flags), whole and fits)


def _sync_bounds(
    lines: Totals, total_ms: float, slack_ms: float
) -> tuple[float | None, float | None]:
    """The least and the most waiting that the lines and the precise total allow.

    A line's part may be up to a millisecond more than it says, so their sum up to one for each
    line; and both sums together are the total. None where lines and total contradict each other.
    """
    low_ms = max(lines.sync_ms, total_ms - slack_ms - lines.compute_ms - lines.lines, 0.0)
    high_ms = min(lines.sync_ms + lines.lines, total_ms + slack_ms - lines.compute_ms, total_ms)
    return (low_ms, high_ms) if lines.lines and low_ms <= high_ms else (None, None)


def _unwrapped(summary: PhaseSummary, lines: Totals, floors: int) -> tuple[PhaseSummary, bool]:
    """The summary as it were without overflow, and whether there was one."""
    total_ms = summary.total_ms or 0.0
    wraps = round((lines.total_ms + floors / 2 - total_ms) / WRAP_MS)
    if wraps < 1:
        return summary, False
    true_ms = total_ms + wraps * WRAP_MS
    slack_ms = summary.rounding_ms + 1e-6
    if not -slack_ms <= true_ms - lines.total_ms <= floors + slack_ms:
        return summary, False  # not an overflow: lines and summary are of different worlds
    corrected = replace(
        summary,
        ms_per_token=true_ms / summary.tokens,
        tokens_per_s=1000 * summary.tokens / true_ms,
    )
    return corrected, True


def _split(lines: Totals, total_ms: float, low_ms: float) -> tuple[float | None, float | None]:
    """Computing and waiting parts that sum up to the precise total.

    Both are floored on each line, so what the lines lack is shared between them alike; a root
    without workers never waits, unless its lines leave no other place for the time.
    """
    if not lines.lines:
        return None, None
    if not (lines.sync_ms or lines.sent_kib or lines.received_kib):
        return total_ms - low_ms, low_ms
    lacking_ms = total_ms - lines.total_ms
    if 0 <= lacking_ms <= 2 * lines.lines:
        return lines.compute_ms + lacking_ms / 2, lines.sync_ms + lacking_ms / 2
    if not lines.total_ms:
        return None, None
    sync_ms = max(low_ms, lines.sync_ms * total_ms / lines.total_ms)
    return total_ms - sync_ms, sync_ms


def _check_abc(lines: Totals, summary: PhaseSummary) -> Checked:
    """Eras A to C sum whole milliseconds, so their lines are as precise as the engine is."""
    if not summary.tokens or summary.ms_per_token is None:
        none = ("the summary has no time that could be one",) if summary.tokens else ()
        return Checked(None, summary, none, lines.lines == summary.tokens)
    flags = []
    total_ms, compute_ms, sync_ms = (
        summary.tokens * (mean or 0.0)
        for mean in (summary.ms_per_token, summary.compute_ms, summary.sync_ms)
    )
    if lines.lines != summary.tokens:
        flags.append(f"the log holds {lines.lines} lines and the summary counts {summary.tokens}")
    elif abs(lines.total_ms - total_ms) > 0.0051 * summary.tokens:
        flags.append(
            f"the lines sum up to {lines.total_ms:.0f} ms, the summary says {total_ms:.2f} ms"
        )
    else:
        total_ms, compute_ms, sync_ms = lines.total_ms, lines.compute_ms, lines.sync_ms
    sent_kib, received_kib = _traffic_abc(lines, summary.tokens)
    if total_ms <= 0:
        return Checked(None, summary, tuple(flags), not flags)
    phase = Phase(summary.tokens, total_ms, compute_ms, sync_ms, sent_kib, received_kib)
    return Checked(phase, summary, tuple(flags), not flags)


def _traffic_abc(lines: Totals, tokens: int) -> Traffic:
    """Traffic without the first line, which holds the upload of the weights."""
    if lines.first is None or lines.lines <= 1:  # the first alone
        return None, None
    scale = tokens / (lines.lines - 1)
    sent_kib, received_kib = lines.first
    return (
        (lines.sent_kib - (sent_kib or 0)) * scale,
        (lines.received_kib - (received_kib or 0)) * scale,
    )
