"""distributed-llama's logs, of every version: v0.1.0 to v0.16.4 and later.

`parse_log` reads one log whatever it is, for `fab parse-log`; `measurement` reads the root of an
attempt and refuses what is not whole. docs/logs.md describes the formats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, BinaryIO, Literal

from collect.attempt import Role
from collect.errors import HerdError
from collect.measurement import Measurement, TokenRecord
from collect.parsers.dllama_check import Checked, check_phase, totals, without_imitations
from collect.parsers.dllama_failures import failure_cause
from collect.parsers.dllama_lines import Head, RootReader
from collect.parsers.dllama_summary import (
    PerplexityResult,
    PhaseSummary,
    Summary,
    perplexity_result,
    take_apart,
)
from collect.parsers.dllama_worker import read_worker

Outcome = Literal["complete", "failed", "truncated"]
_LATE_KEYS = frozenset({"HeadDim", "QDim", "KvDim"})
"""Shape lines since v0.14.0."""


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """A log taken apart.

    Attributes:
        era: A to E (docs/logs.md); None where the log does not tell.
        records: one for each line of figures.
        evaluation: the summary of reading the prompt, corrected where it had overflowed.
        prediction: likewise of generating.
        model: the shape lines, as printed.
        required_memory_mib: what the process says that it needs.
        perplexity: the result of `dllama perplexity`.
        outcome: complete; failed (it says so itself); truncated (it just ends).
        error: why it failed, in words; None if it does not say.
        flags: what is odd about it, a sentence each.
    """

    era: str | None
    role: Role
    records: tuple[TokenRecord, ...]
    evaluation: Checked | None
    prediction: Checked | None
    model: dict[str, str | int | float]
    required_memory_mib: float | None
    perplexity: PerplexityResult | None
    outcome: Outcome
    error: str | None
    flags: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `fab parse-log` prints; absent values are None."""
        perplexity = self.perplexity
        return {
            "era": self.era,
            "role": self.role,
            "records": [
                {
                    "phase": record.phase,
                    "tokens": record.tokens,
                    "compute_ms": record.compute_ms,
                    "sync_ms": record.sync_ms,
                    "total_ms": record.total_ms,
                    "sent_kib": record.sent_kib,
                    "received_kib": record.received_kib,
                    "text": record.text,
                }
                for record in self.records
            ],
            "summary": {
                "evaluation": _summary_json(self.evaluation),
                "prediction": _summary_json(self.prediction),
            }
            if self.prediction
            else None,
            "perplexity": None
            if perplexity is None
            else {
                "tokens": perplexity.tokens,
                "perplexity": perplexity.perplexity,
                "average_log_probability": perplexity.average_log_probability,
                "bits_per_token": perplexity.bits_per_token,
                "probabilities": list(perplexity.probabilities),
            },
            "model": dict(self.model),
            "required_memory_mib": self.required_memory_mib,
            "outcome": self.outcome,
            "error": self.error,
            "flags": list(self.flags),
        }


def _summary_json(checked: Checked | None) -> dict[str, float | None] | None:
    if checked is None:
        return None
    summary: PhaseSummary = checked.summary
    return {
        "tokens": summary.tokens,
        "ms_per_token": summary.ms_per_token,
        "tokens_per_s": summary.tokens_per_s,
    }


def parse_log(stream: BinaryIO, role: Role = "root", err: bytes = b"") -> ParsedLog:
    """Read a log of any version, whole or not.

    Args:
        stream: standard output of the process.
        role: whose it is.
        err: its standard error, where it is at hand: some failures are told only there.
    """
    if role == "worker":
        return _parse_worker(stream, err)
    reader = RootReader()
    records = list(reader.records(stream))
    tail = take_apart(reader.tail)
    if records and records[-1].phase == "prediction" and tail.text:
        records[-1] = replace(records[-1], text=_joined(records[-1].text, tail.text))
    result = None if records else perplexity_result(reader.tail)
    records, flags = without_imitations(records, tail.summary)
    if reader.text_cut:
        flags.append("a text was too long to be kept whole")
    evaluation, prediction = _checked(reader, records, tail.summary)
    flags += [flag for checked in (evaluation, prediction) if checked for flag in checked.flags]
    whole = tail.summary is not None or result is not None
    ending = (reader.tail if not records else tail.ending).decode(errors="replace")
    error = None if whole else failure_cause(ending, err.decode(errors="replace"))
    return ParsedLog(
        era=_era(reader, tail.summary),
        role=role,
        records=tuple(records),
        evaluation=evaluation,
        prediction=prediction,
        model=reader.head.model,
        required_memory_mib=reader.head.required_memory_mib,
        perplexity=result,
        outcome="complete" if whole else "failed" if error else "truncated",
        error=error,
        flags=tuple(flags),
    )


def _joined(text: str | None, more: bytes) -> str:
    return (text or "") + "\n" + more.removesuffix(b"\n").decode(errors="replace")


def _checked(
    reader: RootReader, records: list[TokenRecord], summary: Summary | None
) -> tuple[Checked | None, Checked | None]:
    if summary is None:
        return None, None
    sums = totals(records)
    # Without a record the form of the summary tells the era: A to C have one phase.
    era = reader.era or ("E" if summary.evaluation else "A")
    prediction = check_phase("prediction", era, sums["prediction"], summary.prediction)
    if summary.evaluation is None:
        return None, prediction
    return check_phase("evaluation", era, sums["evaluation"], summary.evaluation), prediction


def _era(reader: RootReader, summary: Summary | None) -> str | None:
    if reader.era == "A":
        if summary is not None:
            return "C" if summary.tells_rate else "A"
        return {"bytes": "A", "kB": "C", None: None}[reader.head.loaded_in]
    return reader.era or _era_of_head(reader.head)


def _era_of_head(head: Head) -> str | None:
    if head.memory_unit == "MB" or _LATE_KEYS & head.model.keys():
        return "E"
    return "A" if head.loaded_in == "bytes" else None


def _parse_worker(stream: BinaryIO, err: bytes) -> ParsedLog:
    worker = read_worker(stream, err)
    return ParsedLog(
        era=worker.era,
        role="worker",
        records=worker.records,
        evaluation=None,
        prediction=None,
        model=worker.head.model,
        required_memory_mib=worker.head.required_memory_mib,
        perplexity=None,
        outcome=worker.outcome,
        error=worker.error,
        flags=(),
    )


def measurement(root_out: bytes, root_err: bytes) -> Measurement:
    """What the root of an attempt measured.

    Raises:
        HerdError: the log has no whole summary, or nothing was measured.
    """
    log = parse_log(BytesIO(root_out), "root", root_err)
    if log.outcome != "complete":
        told = f": {log.error}" if log.error else ""
        raise HerdError(f"The log of the distributed-llama root ends without its summary{told}.")
    if log.perplexity is not None:
        return Measurement(
            samples=1,
            perplexity=log.perplexity.perplexity,
            required_memory_mib=log.required_memory_mib,
            flags=log.flags,
        )
    if log.prediction is None or log.prediction.phase is None:
        raise HerdError("The distributed-llama root generated no token that took any time.")
    return Measurement(
        samples=log.prediction.phase.tokens,
        evaluation=log.evaluation.phase if log.evaluation else None,
        prediction=log.prediction.phase,
        text="".join(record.text or "" for record in log.records),
        tokens=log.records,
        required_memory_mib=log.required_memory_mib,
        flags=log.flags,
    )
