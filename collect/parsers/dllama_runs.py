"""Finds the runs in a log of distributed-llama roots: consoles and services append them.

A log is cut where a run may begin: at a head, and at the first record after a block of totals.
Generated text and prompts may hold either, so the cuts are then weighed by what no text can
foresee: the block at the end of a run counts its tokens and times them. Of the pieces before it
those belong to it that it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from collect.parsers.dllama_check import BothTotals, Imitations, RealOnes, agrees
from collect.parsers.dllama_failures import failure_cause
from collect.parsers.dllama_forms import ORANGE, is_record
from collect.parsers.dllama_lines import RootReader
from collect.parsers.dllama_records import Records, Take
from collect.parsers.dllama_summary import PerplexityResult, ends_block, perplexity_result
from core.errors import HerdError

AT_ONCE_BYTES = 1 << 17
MANY_BYTES = 1 << 15
"""Of so much the records are read at once; one odd line in it, and they are read one by one."""
LONGEST_LINE_BYTES = 1 << 20
"""A longer line is read in parts, so that memory stays flat."""
MOST_TRIED = 64
"""So many pieces before a block are tried as the beginning of its run."""
MOST_NESTED = 12
MOST_PIECES = 1 << 17
"""Each takes some 4 KB until the last one has been read."""
LONGEST_HEAD_LINES = 256
LONGEST_HEAD_LINE = 4096
FEWEST_SHAPE_LINES = 5
"""Fewer lines of a shape in the midst of text are text."""
FEWEST_TOKENIZER_LINES = 3

_STARTS = ("📄 ".encode(), "💡 ".encode(), "⏩ Loaded ".encode())
_HEAD = tuple(
    mark.encode() for mark in ("📄", "💡", "📀", "⭕", "🧠", "💿", "⏩", "🕒", "🚁", "🌋")
)
_TOKENIZER, _SHAPE, _LOADED = _STARTS
_ARCH = ("💡 arch: ".encode(), "💡 Arch: ".encode())
_EVALUATING = b"Evaluating "
_CRITICAL = "🚨 Critical error: ".encode()
"""What a process says when it ends at once."""
_ENDS = (b"   tokens/s: ", b"Avg transfer time:", b"   bitPerToken: ")
_NEXT = b"\n" + ORANGE


@dataclass(slots=True)
class Piece:
    """A part of a log between two places where a run may begin.

    Attributes:
        begin: of it in the log, in bytes. end: of it in the log, in bytes. has_head: it begins with
        what a process prints about its model.
        reader: what was read, finished.
        sums: of its records.
        perplexity: the result of `dllama perplexity` in it.
    """

    begin: int
    has_head: bool
    reader: RootReader
    sums: BothTotals = field(default_factory=BothTotals)
    end: int = 0
    perplexity: PerplexityResult | None = None

    @property
    def is_whole(self) -> bool:
        """Whether a block of totals or a result is at its end."""
        return self.reader.apart.summary is not None or self.perplexity is not None

    @property
    def says_something(self) -> bool:
        """Whether it is part of a run; else it is text around one."""
        head = self.reader.head
        return bool(
            self.has_head
            or head.model
            or head.loaded_in
            or self.sums.decode.lines
            or self.sums.prefill.lines
            or self.is_whole
            or failure_cause(self.reader.tail.decode(errors="replace"), "")
        )


def _may_be_of_head(line: bytes) -> bool:
    return len(line) <= LONGEST_HEAD_LINE and line.startswith(_HEAD)


def _key(line: bytes) -> bytes:
    """What a line of a head is about; a head mentions it once."""
    return _LOADED if line.startswith(_LOADED) else line.partition(b":")[0].lower()


class Cutter:
    """Reads a log and cuts it into pieces.

    Args:
        take: makes, for each new piece, who takes its records.
        within: of the log's one run these are no records; without it the log is cut.
    """

    def __init__(self, take: Callable[[], Take], within: Imitations | None = None) -> None:
        self.pieces: list[Piece] = []
        self._take_of_next = take
        self._cuts = within is None
        self._imitations = within
        self._offset = 0
        self._line_begins = True
        self._ended = self._failed = False
        self._keys: set[bytes] = set()
        self._last_start = b""
        self._maybe_head: list[bytes] = []
        self._begin(0, has_head=False)

    def read(self, stream: BinaryIO, size: int | None = None) -> list[Piece]:
        """Read so many bytes of a stream, or all, from where it is."""
        left, carry = size, b""
        while data := stream.read(AT_ONCE_BYTES if left is None else min(left, AT_ONCE_BYTES)):
            left = None if left is None else left - len(data)
            end = data.rfind(b"\n") + 1
            if not end:
                carry += data
                if len(carry) > LONGEST_LINE_BYTES:
                    self._line(carry)
                    carry = b""
                continue
            self._lines(carry + data[:end])
            carry = data[end:]
        if carry:
            self._line(carry)
        self._weigh_head()
        self._finish()
        return self.pieces

    def _lines(self, chunk: bytes) -> None:
        """Read whole lines, where it can be done many at once."""
        at, tried = 0, 0
        while at < len(chunk):
            if at >= tried and chunk.startswith(ORANGE, at) and self._may_read_many:
                end = chunk.rfind(_NEXT, at, at + MANY_BYTES) + 1
                if end and self._reader.lines(chunk[at:end]):
                    self._offset += end - at
                    at = end
                    continue
                tried = end or len(chunk)
            end = chunk.find(b"\n", at) + 1
            self._line(chunk[at:end])
            at = end

    @property
    def _may_read_many(self) -> bool:
        return self._line_begins and self._reader.settled and not (self._ended or self._maybe_head)

    def _line(self, line: bytes) -> None:
        begins, self._line_begins = self._line_begins, line.endswith(b"\n")
        if self._cuts and begins:
            self._sort(line)
        else:
            self._pass_on(line, begins=begins)

    def _sort(self, line: bytes) -> None:
        """Keep a line while it may be of a head, or pass it on, to a new run if it begins one."""
        if self._maybe_head:
            if not _may_be_of_head(line) or len(self._maybe_head) >= LONGEST_HEAD_LINES:
                self._weigh_head()
            elif line.startswith(_STARTS) and _key(line) in map(_key, self._maybe_head):
                self._weigh_head()
                self._maybe_head = [line]
                return
            else:
                self._maybe_head.append(line)
                return
        if line.startswith(_STARTS) and _may_be_of_head(line) and self._may_start(line):
            self._maybe_head.append(line)
            return
        if self._ended and (is_record(line) or line.startswith((_EVALUATING, _CRITICAL))):
            self._begin(self._offset, has_head=False)
        self._pass_on(line, begins=True)

    def _may_start(self, line: bytes) -> bool:
        """Whether a head may begin here: the one before is done with, or says the same."""
        key = _key(line)
        known = key in self._keys and line != self._last_start
        if len(self._keys) < LONGEST_HEAD_LINES:
            self._keys.add(key)
        self._last_start = line
        return known or self._failed or not self._in_head

    @property
    def _in_head(self) -> bool:
        """Whether the process that is read has not loaded its weights: it prints no text yet."""
        reader = self._reader
        return not (self._ended or reader.begun or reader.head.weights_loaded)

    def _weigh_head(self) -> None:
        """Begin a run with the lines of a head, or pass them on as text."""
        lines, self._maybe_head = self._maybe_head, []
        if lines and (self._in_head or self._is_head(lines)):
            self._begin(self._offset, has_head=True)
            self._keys = set(map(_key, lines))
        for line in lines:
            self._pass_on(line, begins=True)

    def _is_head(self, lines: Sequence[bytes]) -> bool:
        shape = [line for line in lines if line.startswith(_SHAPE)]
        if len(shape) >= FEWEST_SHAPE_LINES and any(line.startswith(_ARCH) for line in shape):
            return True
        # Behind a block no text follows, if it is a real one: less will do.
        tokenizer = sum(line.startswith(_TOKENIZER) for line in lines)
        loaded = any(line.startswith(_LOADED) for line in lines)
        return self._ended and (loaded or tokenizer >= FEWEST_TOKENIZER_LINES)

    def _pass_on(self, line: bytes, *, begins: bool) -> None:
        self._offset += len(line)
        self._reader.line(line, whole=begins)
        self._failed = self._failed or (begins and line.startswith(_CRITICAL))
        if begins and self._cuts and line.startswith(_ENDS):
            self._ended = self._ended or ends_block(self._reader.rest.last(8))

    def _begin(self, offset: int, *, has_head: bool) -> None:
        if self.pieces:
            self._finish()
        if len(self.pieces) >= MOST_PIECES:
            raise HerdError(
                f"A log with more than {MOST_PIECES} places where a run may begin is not read: "
                "split it."
            )
        take = self._take_of_next()
        sums = BothTotals()

        def count_and_take(records: Records) -> None:
            sums.add(records)
            take(records)

        takes = RealOnes(self._imitations, count_and_take) if self._imitations else count_and_take
        self._reader = RootReader(takes)
        self._ended = self._failed = False
        self._keys = set()
        self.pieces.append(Piece(offset, has_head, self._reader, sums))

    def _finish(self) -> None:
        piece = self.pieces[-1]
        piece.end = self._offset
        piece.reader.finish()
        if not piece.reader.begun:
            piece.perplexity = perplexity_result(piece.reader.tail)


def runs_of(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Which pieces are one run each: the first one, and the one behind the last; in order."""
    runs: list[tuple[int, int]] = []
    end = len(pieces)
    while end:
        begin = _begin_of_last(pieces[:end])
        if any(piece.says_something for piece in pieces[begin:end]):
            runs.append((begin, end))
        end = begin
    return runs[::-1] or [(0, len(pieces))]


def _begin_of_last(pieces: Sequence[Piece]) -> int:
    """Where the last run of a log begins."""
    last = len(pieces) - 1
    summary = pieces[last].reader.apart.summary
    if summary is None:
        return last if _stands_alone(pieces) else _begin_of_last(pieces[:last])
    tried = range(last, max(-1, last - MOST_TRIED), -1)
    for begin in tried:
        if agrees(_era(pieces[begin:]), _sums(pieces[begin:]), summary):
            around = (at for at in range(begin) if begin < last and _holds_another(pieces[at:]))
            return next(around, begin)
    for begin in tried:
        sums = _sums(pieces[begin:])
        if Imitations.find(sums, summary).traffic or _holds_another(pieces[begin:]):
            return begin
    return next((begin for begin in tried if pieces[begin].has_head), 0)


def _stands_alone(pieces: Sequence[Piece]) -> bool:
    """Whether the last piece, which has no totals, is a separate run and not part of another."""
    *before, last = pieces
    if not before or last.perplexity is not None:
        return True
    follows, previous = last.sums.decode.lines > 0, before[-1]
    if last.has_head:
        # Since era D a run begins with an evaluation: a head within a text does not.
        is_text = (
            follows
            and last.reader.era in {"D", "E"}
            and not last.sums.prefill.lines
            and previous.reader.era == last.reader.era
            and not previous.is_whole
        )
        return not is_text
    if previous.perplexity is not None:
        return True
    begin = _begin_of_last(before)
    summary = previous.reader.apart.summary
    return summary is not None and agrees(_era(before[begin:]), _sums(before[begin:]), summary)


def _holds_another(pieces: Sequence[Piece]) -> bool:
    """Whether the last one's totals count the pieces without some in the middle: a text's run."""
    summary = pieces[-1].reader.apart.summary
    if summary is None or len(pieces) > MOST_NESTED:
        return False
    return any(
        agrees(_era(pieces), _sums([*pieces[:begin], *pieces[end:]]), summary)
        for begin in range(1, len(pieces))
        for end in range(begin + 1, len(pieces) + 1)
    )


def _era(pieces: Sequence[Piece]) -> str | None:
    return next((piece.reader.era for piece in pieces if piece.reader.era), None)


def _sums(pieces: Sequence[Piece]) -> BothTotals:
    """What one reader would count in all of them: one era, and no evaluation after the first."""
    era, sums = _era(pieces), BothTotals()
    for piece in pieces:
        if piece.reader.era == era:
            if not sums.decode.lines:
                sums.prefill += piece.sums.prefill
            sums.decode += piece.sums.decode
    return sums
