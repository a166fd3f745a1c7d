"""Reads the output of a distributed-llama worker.

Workers print no times, except those of v0.11 (a line a token). A worker of version v0.12 or
later serves one root after another and says when it waits again; older ones end with their
root, by an exception that says nothing.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal

from collect.measurement import TokenRecord
from collect.parsers.dllama_failures import failure_cause
from collect.parsers.dllama_forms import Head, cut_line, padded_number

LONGEST_LINE_BYTES = 1 << 20
"""A longer line is read in parts, so that memory stays flat."""

_TOKEN = re.compile(
    "🔶 I ".encode() + rb"%b ms T %b ms\r?\n?\Z" % (padded_number(4), padded_number(4))
)
_LISTENING = b"Listening on "
_CONNECTED = ("⭕ The root node has connected".encode(), b"Client connected")
_STOPPED = "🛑 Stop signal".encode()
_CLOSED = "⭕ Network is closed".encode()
_ALARM = "🚨".encode()
_SLICE = "💡 sliceIndex".encode()
_RECEIVED = "⏩ Received ".encode()
_ROPE_CACHE = "🕒 ropeCache".encode()
_KEPT_ALARMS = 64
LONGEST_KEPT = 4096
"""Bytes of a line: a longer one is none of a worker's."""


@dataclass(frozen=True, slots=True)
class WorkerLog:
    """A worker's log taken apart; the fields are those of `ParsedLog`."""

    era: str | None
    head: Head
    records: tuple[TokenRecord, ...]
    outcome: Literal["complete", "failed", "truncated"]
    error: str | None


class _Session:
    """What is known about the worker and the root that it serves."""

    def __init__(self) -> None:
        self.head = Head()
        self.records: list[TokenRecord] = []
        self.alarms: list[bytes] = []
        self.serving = self.served = False
        self.old = False
        self.received_in: str | None = None
        self.rope_cache = False
        self.last: deque[bytes] = deque(maxlen=_KEPT_ALARMS)

    def read(self, line: bytes) -> None:
        """Take what a line says."""
        line = cut_line(line, LONGEST_KEPT)
        self.last.append(line)
        if match := _TOKEN.match(line):
            self._token(int(match[1]), int(match[2]))
        elif line.startswith(_CONNECTED):
            self.serving, self.served = True, False
            self.alarms.clear()
        elif line.startswith((_STOPPED, _CLOSED)):
            self.serving, self.served = False, True
        elif line.startswith(_ALARM):
            self.alarms = [*self.alarms, line][-_KEPT_ALARMS:]
        elif line.startswith(_SLICE):
            self.old = True
        elif line.startswith(_RECEIVED):
            self.received_in = "bytes" if b" bytes " in line else "kB"
        elif line.startswith(_ROPE_CACHE):
            self.rope_cache = True
        if not self.served:  # what follows is of the next root, or of another process
            self.head.read(line)

    def _token(self, compute_ms: int, sync_ms: int) -> None:
        total_ms = compute_ms + sync_ms
        index = len(self.records)
        self.records.append(
            TokenRecord(index, "prediction", 1, compute_ms, sync_ms, total_ms, None, None, None)
        )

    def log(self, err: bytes) -> WorkerLog:
        """What is known now."""
        alarms = b"".join(self.alarms).decode(errors="replace")
        # Up to v0.11 the exception is how a worker ends when its root has ended well.
        told = "" if self.old else err.decode(errors="replace")
        error = failure_cause(alarms, told)
        served = self.received_in is not None if self.old else not self.serving
        return WorkerLog(
            era=self.era,
            head=self.head,
            records=tuple(self.records),
            outcome="failed" if error else "complete" if served else "truncated",
            error=error,
        )

    @property
    def era(self) -> str | None:
        """The era, where the log shows it. B and early C print the same, and D and early E."""
        if self.records or self.received_in == "kB":
            return "C"
        if self.received_in == "bytes":
            return None if self.rope_cache else "A"
        return "E" if self.head.memory_unit == "MB" else None


def read_workers(
    stream: BinaryIO, err: bytes = b"", *, mixed: bool = False
) -> tuple[WorkerLog, ...]:
    """Read a worker's log: what it did for each root; memory is flat but for records of v0.11.

    A worker of v0.12 or later listens again after each root, older ones are restarted for each.
    One that listens without having closed its network is a new process: the last one was killed.
    """
    logs: list[WorkerLog] = []
    session, waits, served = _Session(), True, False
    for line in iter(partial(stream.readline, LONGEST_LINE_BYTES), b""):
        if line.startswith(_LISTENING):
            waits = True
        elif _begins(line, waits=waits, serving=session.serving):
            if served:
                logs.append(session.log(b"".join(session.last) if mixed else b""))
                session = _Session()
            waits, served = False, True
        session.read(line)
    return (*logs, session.log(b"".join(session.last) if mixed else err))


def _begins(line: bytes, *, waits: bool, serving: bool) -> bool:
    """Whether another root has come: one that is served hides the next, unless it was killed."""
    return ((waits or serving) and line.startswith(_CONNECTED)) or (
        waits and line.startswith(_SLICE)
    )


def read_worker(stream: BinaryIO, err: bytes = b"") -> WorkerLog:
    """What a worker did for its last root."""
    return read_workers(stream, err)[-1]
