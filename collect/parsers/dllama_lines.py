"""Reads the output of a distributed-llama root line by line, whatever its version.

Upstream changed the line that it prints for a token four times; docs/logs.md has the five eras
(A: v0.1.0, B: v0.4.0, C: v0.5.0, D: v0.12.0, E: v0.12.8 and later) and their formats. A line is
a record only if it has the form of its era from its first byte on. Everything else that follows
a record is the rest of its text, because a token may hold newlines. A token that imitates a
whole record is found out afterwards, by the summary (`collect.parsers.dllama_check`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from collect.measurement import PhaseName, TokenRecord

LONGEST_LINE_BYTES = 1 << 20
"""A longer line is read in parts, so that memory stays flat."""
KEPT_TEXT_BYTES = 1 << 16
"""Of the text between two records not much more than this is kept."""
MOST_HELD = 4096
"""So many predictions without an evaluation before them are proof that there was none."""

LONGEST_NUMBER = 9
"""Digits of a figure: more are no time of a token (11 days) and no traffic of one (1 TB)."""

_MARK = b"\xf0\x9f\x94"  # what the orange and the blue diamond begin with
_ORANGE, _BLUE = "🔶 ".encode(), "🔷(?:\ufe0f)? ".encode()
_END = rb"\r?\n?\Z"


def padded(width: int) -> bytes:
    """Pattern of a number as `%<width>u` prints it: no wider than it must be, and no narrower."""
    fits, wider = rb"(?=[ \d]{%d}\d(?!\d))" % (width - 1), rb"(?=\d{%d})" % (width + 1)
    return rb"(?:%b|%b) {0,%d}(0|[1-9]\d{0,%d})" % (fits, wider, width - 1, LONGEST_NUMBER - 1)


_4, _5, _6 = padded(4), padded(5), padded(6)
_EVAL_E = re.compile(
    _BLUE
    + rb"Eval%b ms Sync%b ms \| Sent%b kB Recv%b kB \| \((0|[1-9]\d{0,8}) tokens\)"
    % (_5, _5, _6, _6)
    + _END
)
_PRED_E = re.compile(
    _ORANGE + rb"Pred%b ms Sync%b ms \| Sent%b kB Recv%b kB \| " % (_5, _5, _6, _6)
)
_EVAL_D = re.compile(
    _BLUE + rb"E%b ms S%b kB R%b kB \((0|[1-9]\d{0,8}) tokens\)" % (_5, _6, _6) + _END
)
_PRED_D = re.compile(_ORANGE + rb"P%b ms S%b kB R%b kB " % (_5, _6, _6))
_PRED_ABC = re.compile(
    _ORANGE + rb"(?:%b )?G %b ms I %b ms T %b ms S %b kB R %b kB " % (_4, _4, _4, _4, _6, _6)
)
_SHAPE = re.compile("💡 ([A-Za-z]{1,40}): (.{0,400})".encode())
_MEMORY = re.compile("📀 RequiredMemory: (\\d{1,12}) (kB|MB)".encode())
LATE_KEYS = frozenset({"HeadDim", "QDim", "KvDim"})
"""Shape lines since v0.14.0."""
_LOADED = ("💿 Weights loaded".encode(), "⏩ Loaded ".encode())


_Fields = tuple[PhaseName, int, float | None, float | None, float, float, float, bytes]
"""A record before its text is whole: phase, tokens; compute, sync, total ms; sent, received KiB;
text. A plain tuple, because there may be millions."""


@dataclass(slots=True)
class Head:
    """What a process tells before its first record.

    Attributes:
        model: the shape lines, name to value, as printed.
        required_memory_mib: of this node, as it says itself.
        memory_unit: kB (until v0.15.3) or MB; None where no such line is printed.
        loaded_in: unit in which eras A to C tell the size of the loaded file.
        weights_loaded: it got so far.
    """

    model: dict[str, str | int | float] = field(default_factory=dict)
    required_memory_mib: float | None = None
    memory_unit: str | None = None
    loaded_in: str | None = None
    weights_loaded: bool = False

    @property
    def is_of_era_e(self) -> bool:
        """Whether only versions of era E say such things."""
        return self.memory_unit == "MB" or not LATE_KEYS.isdisjoint(self.model)

    def read(self, line: bytes) -> None:
        """Take what the line says, if it is one of these."""
        if shape := _SHAPE.match(line):
            self.model[shape[1].decode()] = _number_or_text(shape[2].decode(errors="replace"))
        elif memory := _MEMORY.match(line):
            self.memory_unit = memory[2].decode()
            self.required_memory_mib = int(memory[1]) / (1024 if memory[2] == b"kB" else 1)
        elif line.startswith(_LOADED):
            self.weights_loaded = True
            if line.startswith(_LOADED[1]):
                self.loaded_in = "bytes" if b" bytes" in line else "kB"


def _number_or_text(value: str) -> str | int | float:
    value = value.strip()
    if re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    return float(value) if re.fullmatch(r"-?\d{1,18}\.\d{1,18}", value) else value


class Rest:
    """Lines that follow a record: the first ones and the last ones, so that memory is flat.

    Attributes:
        cut: lines between them were not kept.
        size_bytes: of the first ones.
    """

    def __init__(self) -> None:
        self.cut = False
        self._first: list[bytes] = []
        self._last: deque[bytes] = deque(maxlen=64)
        self.size_bytes = 0

    def add(self, line: bytes) -> None:
        """Keep a line."""
        if self.size_bytes < KEPT_TEXT_BYTES:
            self._first.append(line)
            self.size_bytes += len(line)
        else:
            self.cut = self.cut or len(self._last) == self._last.maxlen
            self._last.append(line)

    def take(self) -> bytes:
        """All that is kept; nothing is left afterwards."""
        kept = b"".join((*self._first, *self._last))
        self._first.clear()
        self._last.clear()
        self.size_bytes = 0
        return kept


class RootReader:
    """Reads the output of a root process.

    Attributes:
        head: what came before the first record.
        era: of the records; A stands for A and C, which differ only in what surrounds them.
        tail: what follows the last record: the rest of its text, the summary, failures.
        text_cut: some text was too long to be kept whole.
    """

    def __init__(self) -> None:
        self.head = Head()
        self.era: str | None = None
        self.tail = b""
        self.text_cut = False
        self._evaluated: str | None = None
        self._held = 0
        self._predicting = False
        self._fields: Callable[[bytes], _Fields | None] = self._any_era

    def records(self, stream: BinaryIO) -> Iterator[TokenRecord]:
        """Every record with its text, in order; the last one without it, that is in `tail`.

        The prompt is echoed as it is and may hold lines of any era. The real evaluations are the
        ones that the first prediction after an evaluation follows; where nothing is evaluated,
        because there was no prompt, all predictions are real.
        """
        for index, fields in enumerate(self._settled(stream)):
            yield _record(index, fields)

    def _settled(self, stream: BinaryIO) -> Iterator[_Fields]:
        held: deque[_Fields] = deque(maxlen=2 * MOST_HELD)
        for fields in self._raw(stream):
            if self._predicting and not held:
                yield fields
                continue
            held.append(fields)
            if self._predicting:
                yield from _real(held)
                held.clear()
        yield from _real(held)

    def _raw(self, stream: BinaryIO) -> Iterator[_Fields]:
        previous: _Fields | None = None
        rest, whole = Rest(), True
        for line in iter(partial(stream.readline, LONGEST_LINE_BYTES), b""):
            fields = self._fields(line) if whole and line.startswith(_MARK) else None
            whole = line.endswith(b"\n")
            if fields is None:
                if previous is None and not self.head.weights_loaded:
                    self.head.read(line)
                rest.add(line)
                continue
            if rest.size_bytes:
                more = rest.take()
                if previous is not None:
                    previous = (*previous[:-1], previous[-1] + more)
            if previous is not None:
                yield previous
            previous = fields
        self.text_cut = rest.cut
        self.tail = rest.take()
        if previous is not None:
            yield previous

    def _any_era(self, line: bytes) -> _Fields | None:
        """Whatever era the head allows; the first prediction after an evaluation settles it."""
        if not self.head.loaded_in:
            for era, read in (("E", self._era_e), ("D", self._era_d)):
                if not (era == "D" and self.head.is_of_era_e) and (fields := read(line)):
                    self.era = era
                    if self._predicting:
                        self._fields = read
                    return fields
        is_later = self.head.weights_loaded and not self.head.loaded_in
        if is_later or self.era is not None:
            return None
        fields = self._era_abc(line)
        if fields is not None:
            self._fields = self._era_abc
        return fields

    def _era_e(self, line: bytes) -> _Fields | None:
        if match := _PRED_E.match(line):
            compute, sync, sent, received = map(int, match.groups())
            if not self._predicting:
                self._predict("E")
            text = line[match.end() :]
            return "prediction", 1, compute, sync, compute + sync, sent, received, text
        match = _EVAL_E.match(line)
        if match is None or self._predicting:
            return None  # upstream evaluates before it predicts: this is a token's text
        compute, sync, sent, received, tokens = map(int, match.groups())
        self._evaluated = "E"
        return "evaluation", tokens, compute, sync, compute + sync, sent, received, b""

    def _era_d(self, line: bytes) -> _Fields | None:
        if match := _PRED_D.match(line):
            total, sent, received = map(int, match.groups())
            if not self._predicting:
                self._predict("D")
            return "prediction", 1, None, None, total, sent, received, line[match.end() :]
        match = _EVAL_D.match(line)
        if match is None or self._predicting:
            return None
        total, sent, received, tokens = map(int, match.groups())
        self._evaluated = "D"
        return "evaluation", tokens, None, None, total, sent, received, b""

    def _predict(self, era: str) -> None:
        self._held += 1
        self._predicting = self._evaluated == era or self._held > MOST_HELD
        self._evaluated = None

    def _era_abc(self, line: bytes) -> _Fields | None:
        match = _PRED_ABC.match(line)
        if match is None:
            return None
        position, *figures = match.groups()
        era = "A" if position is None else "B"
        if self._predicting and self.era != era:
            return None
        self.era = era
        self._predicting = True
        total, compute, sync, sent, received = map(int, figures)
        return "prediction", 1, compute, sync, total, sent, received, line[match.end() :]


def _real(held: Sequence[_Fields]) -> Iterator[_Fields]:
    """What of the records up to the first prediction after an evaluation is real.

    Those that are like the last one, and of evaluations only those with no line between them: the
    others are lines of the prompt.
    """
    real: list[_Fields] = []
    for fields in reversed(held):
        evaluates, last = fields[0] == "evaluation", (real or held)[-1]
        if fields[0] != last[0] or (fields[2] is None) != (last[2] is None):
            break
        if real and evaluates and fields[-1]:
            break
        real.insert(0, fields)
    yield from real


def _record(index: int, fields: _Fields) -> TokenRecord:
    phase, tokens, compute, sync, total, sent, received, text = fields
    if phase == "evaluation":
        return TokenRecord(index, phase, tokens, compute, sync, total, sent, received, None)
    if text.endswith(b"\n"):
        text = text[:-1]
    printed = text.decode("utf-8", "replace")
    return TokenRecord(index, phase, tokens, compute, sync, total, sent, received, printed)
