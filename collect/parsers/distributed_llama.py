"""distributed-llama's logs, of every version: v0.1.0 to v0.16.4 and later.

`parse_log` reads any one log, for `fab parse-log`; `measurement` reads the root of an
attempt and refuses what is not whole. docs/logs.md describes the formats.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from collect.measurement import Measurement, TokenRecord
from collect.parsers.dllama_check import Checked, Imitations, check_records
from collect.parsers.dllama_failures import failure_cause, stage
from collect.parsers.dllama_forms import Head
from collect.parsers.dllama_lines import RootReader
from collect.parsers.dllama_records import Take
from collect.parsers.dllama_runs import Cutter, Piece, runs_of
from collect.parsers.dllama_summary import (
    PerplexityResult,
    PhaseSummary,
    Summary,
    has_part_of_block,
)
from collect.parsers.dllama_worker import WorkerLog, read_worker, read_workers
from collect.parsers.parser import Ended, Parser
from core.errors import HerdError

if TYPE_CHECKING:
    from collect.attempt import Role

Outcome = Literal["complete", "failed", "truncated"]


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """A log taken apart.

    Attributes:
        era: A to E (docs/logs.md); None where the log does not show it.
        records: one for each line of figures.
        prefill: the summary of reading the prompt, corrected where it had overflowed.
        decode: that of generating, corrected in the same way.
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
    prefill: Checked | None
    decode: Checked | None
    model: dict[str, str | int | float]
    required_memory_mib: float | None
    perplexity: PerplexityResult | None
    outcome: Outcome
    error: str | None
    flags: tuple[str, ...]

    def to_json(self, *, records: bool = True) -> dict[str, Any]:
        """What `fab parse-log` prints; absent values are None."""
        perplexity = self.perplexity
        return {
            "era": self.era,
            "role": self.role,
            **({"records": [_json(record) for record in self.records]} if records else {}),
            "summary": {
                "evaluation": _summary_json(self.prefill),
                "prediction": _summary_json(self.decode),
            }
            if self.decode
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
    told = record._asdict()
    del told["index"]
    return told


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
    """The last run of a log of any version, whole or not.

    Args:
        stream: standard output of the process; its last one, where several were appended.
        role: whose it is.
        err: its standard error, where it is available: some failures are reported only there.
    """
    return parse_runs(stream, role, err)[-1]


def parse_runs(
    stream: BinaryIO, role: Role = "root", err: bytes = b"", *, mixed: bool = False
) -> tuple[ParsedLog, ...]:
    """All runs of a log, in order; at least one, though there may be nothing in it.

    Args:
        stream: as of `parse_log`.
        role: as of `parse_log`.
        err: as of `parse_log`, of the last run.
        mixed: standard error is in the stream, too.
    """
    if role == "worker":
        return tuple(_of_worker(worker) for worker in read_workers(stream, err, mixed=mixed))
    kept: list[list[TokenRecord]] = []

    def keep() -> Take:
        kept.append(part := [])
        return lambda records: part.extend(records.rows())

    runs = survey(stream, keep, err, mixed=mixed)
    return tuple(replace(log, records=tuple(kept[index])) for log, index in runs)


def survey(
    stream: BinaryIO, keep: Callable[[], Take], err: bytes = b"", *, mixed: bool = False
) -> list[tuple[ParsedLog, int]]:
    """The runs of a root's log without their records.

    Args:
        stream: can be read twice, from where it is.
        keep: makes who takes the records of a part of the log, for one part after another.
        err: standard error, as of `parse_runs`.
        mixed: as of `parse_runs`.

    Returns:
        The runs, each with which of the parts has its records, counted from 0.
    """
    # Records hold no circles: looking for some among a million takes as long as reading them.
    collects = gc.isenabled()
    gc.disable()
    try:
        return list(_runs(stream, keep, err, mixed=mixed))
    finally:
        if collects:
            gc.enable()


def _runs(
    stream: BinaryIO, keep: Callable[[], Take], err: bytes, *, mixed: bool
) -> Iterator[tuple[ParsedLog, int]]:
    start = stream.tell()
    pieces = Cutter(keep).read(stream)
    parts = len(pieces)
    for begin, end in runs_of(pieces):
        piece, index, imitations = pieces[begin], begin, _imitations(pieces[begin])
        if end - begin > 1 or imitations != Imitations():
            size = pieces[end - 1].end - piece.begin
            stream.seek(start + piece.begin)
            (piece,) = Cutter(_nobody, Imitations()).read(stream, size)
            imitations = _imitations(piece)
            stream.seek(start + pieces[begin].begin)
            (piece,) = Cutter(keep, imitations).read(stream, size)
            index, parts = parts, parts + 1
        told = piece.reader.tail if mixed else err if end == len(pieces) else b""
        yield _conclude(piece, imitations, told), index


def _imitations(piece: Piece) -> Imitations:
    return Imitations.find(piece.sums, piece.reader.apart.summary)


def _nobody() -> Take:
    return lambda _records: None


def _conclude(piece: Piece, imitations: Imitations, err: bytes) -> ParsedLog:
    """All but the records."""
    reader, result, summary = piece.reader, piece.perplexity, piece.reader.apart.summary
    prefill, decode = None, None
    if summary is not None:
        # Without a record the form of the summary tells the era: A to C have one phase.
        era = reader.era or ("E" if summary.prefill else "A")
        prefill, decode = check_records(era, piece.sums, summary)
    fault = result.fault if result else None
    whole = summary is not None or (result is not None and fault is None)
    flags = imitations.flags()
    if reader.text_cut:
        flags.append("a text was too long to be kept whole")
    if not whole and reader.odd:
        flags.append(
            f"{reader.odd} lines begin like those of tokens and have not their form: they are "
            "text, or something has changed them"
        )
    if not whole and has_part_of_block(reader.tail):
        flags.append("there are lines of totals, and no whole block of them")
    if result and result.tokens > 1 and not (result.probabilities or reader.text_cut):
        flags.append(f"there are not as many probabilities as the {result.tokens} tokens have")
    flags += [flag for checked in (prefill, decode) if checked for flag in checked.flags]
    ending = (reader.apart.ending if reader.begun else reader.tail).decode(errors="replace")
    error = None if whole else fault or failure_cause(ending, err.decode(errors="replace"))
    return ParsedLog(
        era=_era(reader, summary),
        role="root",
        records=(),
        prefill=prefill,
        decode=decode,
        model=reader.head.model,
        required_memory_mib=reader.head.required_memory_mib,
        perplexity=None if fault else result,
        outcome="complete" if whole else "failed" if error else "truncated",
        error=error,
        flags=tuple(flags),
    )


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


def _of_worker(worker: WorkerLog) -> ParsedLog:
    return ParsedLog(
        era=worker.era,
        role="worker",
        records=worker.records,
        prefill=None,
        decode=None,
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
    runs = parse_runs(BytesIO(root_out), "root", root_err)
    if len(runs) > 1:
        raise HerdError(
            f"The log of the distributed-llama root holds {len(runs)} runs, where an attempt "
            "has one: more than one process wrote to it, or its text looks like runs."
        )
    (log,) = runs
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
    if log.decode is None or log.decode.phase is None:
        raise HerdError("The distributed-llama root generated no token that took any time.")
    return Measurement(
        samples=log.decode.phase.tokens,
        prefill=log.prefill.phase if log.prefill else None,
        decode=log.decode.phase,
        text="".join(record.text or "" for record in log.records),
        tokens=log.records,
        required_memory_mib=log.required_memory_mib,
        flags=log.flags,
    )


_DEVICE = re.compile(r"^🌋 Device: ([^\r\n]{1,256})".encode(), re.MULTILINE)
_BEFORE_TEXT = re.compile("^(?:💿|⏩|🔶|🔷)".encode(), re.MULTILINE)
"""What follows may be text of the prompt or of the model, which may imitate any line."""
_RETRYING = re.compile(r"^🔄 Retrying in ", re.MULTILINE)


class _DistributedLlama(Parser):
    """Logs of root, workers and `dllama-api`."""

    stops_without_reason = True

    def measurement(self, argv: Sequence[str], out: bytes, err: bytes) -> Measurement:  # noqa: ARG002 - there is one program
        """Read the root's log."""
        return measurement(out, err)

    def computed_on(self, role: Role, out: bytes, err: bytes) -> str | None:  # noqa: ARG002 - all is in `out`
        """Find the device of Vulkan; of a kept worker, for the last root that it served."""
        text = None if role == "worker" else _BEFORE_TEXT.search(out)
        named = _DEVICE.findall(out[: text.start()] if text else out)
        return named[-1].decode(errors="replace").strip() if named else None

    def complaint(self, process: Ended) -> str | None:
        """Find its error; `dllama-api` lives on and tries for ever to get back what it lost."""
        if process.role == "worker":
            # Of a kept worker only what it said since the last root came.
            return read_worker(BytesIO(process.out.encode()), process.err.encode()).error
        retries = process.role == "server" and _RETRYING.search(process.out) is not None
        if not process.badly and not retries:
            return None  # the text that it generates may say anything
        return failure_cause(process.out, process.err)

    def stage(self, out: str) -> str | None:
        """Say how far the root came."""
        return stage(out)


PARSER = _DistributedLlama()
