"""Real logs of distributed-llama, line by line mutated, and a check of what is read out of them.

The check knows upstream's printf formats and not the parser: a record is invented unless a line of
the log begins with what the engine would have printed for its figures.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from collect.measurement import TokenRecord
from collect.parsers.distributed_llama import ParsedLog

LOGS = tuple(
    path.read_bytes()
    for path in sorted((Path(__file__).parents[1] / "data").glob("distributed-llama/*/*.out"))
)
MARKS = ("🔶".encode(), "🔷".encode())
LINES_A_LOG = 1000


def mutated_logs(lines: int, seed: int) -> Iterator[bytes]:
    """So many lines, in logs of `LINES_A_LOG`; each is made of a real log that has records.

    Half of its lines are from those of records, some are from another log.
    """
    chance = random.Random(seed)  # noqa: S311 - mutations are to be the same every time
    split = [log.splitlines(keepends=True) for log in LOGS if log]
    with_records = [log for log in split if any(line.startswith(MARKS) for line in log)]
    for _ in range(lines // LINES_A_LOG):
        log, other = chance.choice(with_records), chance.choice(split)
        records = [line for line in log if line.startswith(MARKS)]
        sources = chance.choices((log, records, other), (9, 10, 1), k=LINES_A_LOG)
        yield b"".join(mutated(chance.choice(source), other, chance) for source in sources)


def mutated(line: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A line as it is, or with one thing wrong."""
    place = chance.randrange(len(line))
    before, after = line[:place], line[place:]
    return chance.choice(
        (
            line,
            before + bytes([chance.randrange(256)]) + after[1:],
            before + after[1:],
            before + chance.choice((b"\n", b" ", b"9", b"0", b"|", b"\xff", b"\r", b"\0")) + after,
            before,
            before + before + after,
            before + chance.choice(others),
        )
    )


def invented(log: bytes, read: ParsedLog) -> list[TokenRecord]:
    """The first record that no line holds after the line of the record before it; else nothing."""
    lines = (line for line in log.split(b"\n") if line.startswith(MARKS))
    for record in read.records:
        printed = as_printed(record, read)
        if not any(line.startswith(printed) for line in lines):
            return [record]
    return []


def as_printed(record: TokenRecord, read: ParsedLog) -> tuple[bytes, ...]:
    """What the line of a record begins with, with and without what upstream's eras leave open."""
    total, compute, sync = record.total_ms, record.compute_ms, record.sync_ms
    sent, received, tokens = record.sent_kib, record.received_kib, record.tokens
    if read.role == "worker":
        return (b"".join([MARKS[0], b" I %4d ms T %4d ms" % (compute, sync)]),)
    if record.phase == "evaluation":
        counted = b"(%d tokens)" % tokens
        if compute is None:
            told = b" E%5d ms S%6d kB R%6d kB %b" % (total, sent, received, counted)
        else:
            shown = (compute, sync, sent, received, counted)
            told = b" Eval%5d ms Sync%5d ms | Sent%6d kB Recv%6d kB | %b" % shown
        return MARKS[1] + told, MARKS[1] + "\ufe0f".encode() + told
    if compute is None:
        return (MARKS[0] + b" P%5d ms S%6d kB R%6d kB " % (total, sent, received),)
    if read.era == "E":
        shown = (compute, sync, sent, received)
        return (MARKS[0] + b" Pred%5d ms Sync%5d ms | Sent%6d kB Recv%6d kB | " % shown,)
    shown = (total, compute, sync, sent, received)
    told = b"G %4d ms I %4d ms T %4d ms S %6d kB R %6d kB " % shown
    if read.era == "B":
        return tuple(MARKS[0] + b" %4d " % position + told for position in range(LINES_A_LOG))
    return (MARKS[0] + b" " + told,)
