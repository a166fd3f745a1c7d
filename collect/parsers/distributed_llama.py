"""distributed-llama's logs, of every version: v0.1.0 to v0.16.4 and later.

`parse_log` reads one log whatever it is, for `fab parse-log`; `measurement` reads the root of an
attempt and refuses what is not whole. docs/logs.md describes the formats.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

from collect.attempt import Role
from collect.errors import HerdError
from collect.measurement import Measurement, TokenRecord
from collect.parsers.dllama_check import BothTotals, Checked, Imitations, check_phase
from collect.parsers.dllama_failures import failure_cause
from collect.parsers.dllama_lines import Head, RootReader
from collect.parsers.dllama_summary import (
    PerplexityResult,
    PhaseSummary,
    Summary,
    Tail,
    perplexity_result,
    take_apart,
)
from collect.parsers.dllama_worker import read_worker

Outcome = Literal["complete", "failed", "truncated"]


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
            "records": [_json(record) for record in self.records],
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


def _json(record: TokenRecord) -> dict[str, Any]:
    return {
        "phase": record.phase,
        "tokens": record.tokens,
        "compute_ms": record.compute_ms,
        "sync_ms": record.sync_ms,
        "total_ms": record.total_ms,
        "sent_kib": record.sent_kib,
        "received_kib": record.received_kib,
        "text": record.text,
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
    reader, sums = RootReader(), BothTotals()
    records = list(sums.counted(reader.records(stream)))
    tail = take_apart(reader.tail)
    imitations = Imitations.find(sums, tail.summary)
    if imitations != Imitations():
        sums = BothTotals()
        records = list(sums.counted(imitations.left_out(records)))
    log = _conclude(reader, sums, tail, imitations, err)
    return replace(log, records=tuple(_with_last_text(records, tail.text)))


def json_chunks(path: Path, role: Role = "root") -> Iterator[str]:
    """The JSON of `ParsedLog.to_json` in pieces, for logs that do not fit into memory.

    Raises:
        HerdError: the file cannot be read.
    """
    try:
        log, records = _survey(path, role)
        yield "{"
        for key, value in log.to_json().items():
            if key != "records":
                yield f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n"
        yield '"records": ['
        for index, record in enumerate(records):
            yield ("," if index else "") + "\n" + json.dumps(_json(record), ensure_ascii=False)
        yield "\n]}\n"
    except OSError as error:
        raise HerdError(f"Reading the log {path}: {error.strerror}.") from None


def _survey(path: Path, role: Role) -> tuple[ParsedLog, Iterable[TokenRecord]]:
    """Everything but the records, and the records, read again as they are asked for."""
    if role == "worker":
        with path.open("rb") as stream:
            log = parse_log(stream, role)
        return log, log.records
    reader, sums = RootReader(), BothTotals()
    _exhaust(sums.counted(_records_of(path, reader)))
    tail = take_apart(reader.tail)
    imitations = Imitations.find(sums, tail.summary)
    if imitations != Imitations():
        sums = BothTotals()
        _exhaust(sums.counted(imitations.left_out(_records_of(path, RootReader()))))
    again = imitations.left_out(_records_of(path, RootReader()))
    return _conclude(reader, sums, tail, imitations, b""), _with_last_text(again, tail.text)


def _records_of(path: Path, reader: RootReader) -> Iterator[TokenRecord]:
    with path.open("rb") as stream:
        yield from reader.records(stream)


def _exhaust(records: Iterable[TokenRecord]) -> None:
    deque(records, maxlen=0)


def _with_last_text(records: Iterable[TokenRecord], more: bytes) -> Iterator[TokenRecord]:
    """The records, the last one with the text that stood before the summary."""
    previous = None
    for record in records:
        if previous is not None:
            yield previous
        previous = record
    if previous is None:
        return
    if more and previous.phase == "prediction":
        text = more.removesuffix(b"\n").decode(errors="replace")
        previous = replace(previous, text=f"{previous.text or ''}\n{text}")
    yield previous


def _conclude(
    reader: RootReader, sums: BothTotals, tail: Tail, imitations: Imitations, err: bytes
) -> ParsedLog:
    """All but the records."""
    none_read = reader.era is None
    result = perplexity_result(reader.tail) if none_read else None
    evaluation, prediction = _checked(reader, sums, tail.summary)
    flags = imitations.flags()
    if reader.text_cut:
        flags.append("a text was too long to be kept whole")
    flags += [flag for checked in (evaluation, prediction) if checked for flag in checked.flags]
    fault = result.fault if result else None
    whole = tail.summary is not None or (result is not None and fault is None)
    ending = (reader.tail if none_read else tail.ending).decode(errors="replace")
    error = None if whole else fault or failure_cause(ending, err.decode(errors="replace"))
    return ParsedLog(
        era=_era(reader, tail.summary),
        role="root",
        records=(),
        evaluation=evaluation,
        prediction=prediction,
        model=reader.head.model,
        required_memory_mib=reader.head.required_memory_mib,
        perplexity=None if fault else result,
        outcome="complete" if whole else "failed" if error else "truncated",
        error=error,
        flags=tuple(flags),
    )


def _checked(
    reader: RootReader, sums: BothTotals, summary: Summary | None
) -> tuple[Checked | None, Checked | None]:
    if summary is None:
        return None, None
    # Without a record the form of the summary tells the era: A to C have one phase.
    era = reader.era or ("E" if summary.evaluation else "A")
    prediction = check_phase("prediction", era, sums.prediction, summary.prediction)
    if summary.evaluation is None:
        return None, prediction
    return check_phase("evaluation", era, sums.evaluation, summary.evaluation), prediction


def _era(reader: RootReader, summary: Summary | None) -> str | None:
    if reader.era == "A":
        if summary is not None:
            return "C" if summary.tells_rate else "A"
        return {"bytes": "A", "kB": "C", None: None}[reader.head.loaded_in]
    return reader.era or _era_of_head(reader.head)


def _era_of_head(head: Head) -> str | None:
    if head.is_of_era_e:
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
            said=log.perplexity.said,
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
