"""Reads the output of a distributed-llama root line by line, for any version.

Upstream changed the line that it prints for a token four times; docs/logs.md has the five eras
(A: v0.1.0, B: v0.4.0, C: v0.5.0, D: v0.12.0, E: v0.12.8 and later) and their formats. A line is
a record only if it has the form of its era from its first byte on. Everything else that follows
a record is the rest of its text, because a token may hold newlines. A token that imitates a
whole record is found out afterwards, by the summary (`collect.parsers.dllama_check`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import add
from typing import Any

from collect.measurement import PhaseName
from collect.parsers.dllama_forms import (
    EVAL_D,
    EVAL_E,
    MARK,
    PRED_ABC,
    PRED_D,
    PRED_E,
    STOPS,
    USUAL,
    USUAL_NUMBER,
    Head,
    cut_line,
)
from collect.parsers.dllama_records import Records, Take
from collect.parsers.dllama_summary import Tail, take_apart

KEPT_TEXT_BYTES = 1 << 16
"""Of the text between two records not much more than this is kept."""
LONGEST_LAST = 1 << 14
"""Of a line among the last ones."""
MOST_HELD = 4096
"""So many predictions without an evaluation before them are proof that there was none."""
MOST_NUMBERS = 1 << 15
_AT_ONCE = 1024
_LIKE = tuple(
    mark.encode() for mark in ("🔶 Pred", "🔶 P ", "🔶 G ", "🔷️ Eval", "🔷️ E ", "🔷 Eval", "🔷 E ")
)

_Fields = tuple[PhaseName, int, float | None, float | None, float, float, float, bytes]
"""A record before its text is whole: phase, tokens; compute, sync, total ms; sent, received KiB;
text. A plain tuple, because there may be millions."""


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
            self.cut = self.cut or len(self._last) == self._last.maxlen or len(line) > LONGEST_LAST
            self._last.append(cut_line(line, LONGEST_LAST))

    def last(self, lines: int) -> bytes:
        """The last lines that are kept, at most so many."""
        kept = [*self._first[-lines:], *self._last]
        return b"".join(kept[-lines:])

    def take(self) -> bytes:
        """All that is kept; nothing is left afterwards."""
        kept = b"".join((*self._first, *self._last))
        self._first.clear()
        self._last.clear()
        self.size_bytes = 0
        return kept


class RootReader:
    """Reads what one run of a root process printed, line by line or many lines at once.

    The prompt is echoed as it is and may hold lines of any era. The real evaluations are the
    ones that the first prediction after an evaluation follows; where nothing is evaluated,
    because there was no prompt, all predictions are real.

    Args:
        take: gets the records with their texts, in order.

    Attributes:
        head: what came before the first record.
        era: of the records; A means A and C, which differ only in what surrounds them.
        tail: what follows the last record; all, if there is none.
        apart: the tail taken apart: the rest of the record's text, the summary, failures.
        text_cut: some text was too long to be kept whole.
        begun: there is a line that looks like a record.
        odd: lines that begin like records and have not their form.
    """

    def __init__(self, take: Take) -> None:
        self.head = Head()
        self.era: str | None = None
        self.tail = b""
        self.apart = Tail(b"", None, b"")
        self.text_cut = False
        self.begun = False
        self.odd = 0
        self._take = take
        self._ready: list[_Fields] = []
        """Of one phase."""
        self._records = 0
        self._evaluated: str | None = None
        self._held_predictions = 0
        self._predicting = False
        self._fields: Callable[[bytes], _Fields | None] = self._any_era
        self._held: deque[_Fields] = deque(maxlen=2 * MOST_HELD)
        self._previous: _Fields | None = None
        self._rest = Rest()

    @property
    def settled(self) -> bool:
        """Whether only predictions of one era can follow, so that `lines` may be tried."""
        return self._predicting and not self._held and self.era in USUAL

    @property
    def rest(self) -> Rest:
        """What followed the last record until now, or the beginning."""
        return self._rest

    def line(self, line: bytes, *, whole: bool = True) -> None:
        """Read a line, or what is left of one that was too long (`whole` is False)."""
        fields = self._fields(line) if whole and line.startswith(MARK) else None
        if fields is None:
            self.odd += whole and line.startswith(_LIKE) and line.endswith(b"\n")
            if not (self.begun or self.head.weights_loaded):
                self.head.read(line)
            self._rest.add(line)
            return
        self.begun = True
        self._complete(self._rest.take() if self._rest.size_bytes else b"")
        self._previous = fields

    def lines(self, body: bytes) -> bool:
        """Read many lines at once, where all are predictions in their usual form.

        Args:
            body: whole lines, the first of them a record's.

        Returns:
            Whether that was so; if not, nothing was read, and `line` must read them.
        """
        found = USUAL[self.era or "E"].findall(body)
        if len(found) != body.count(b"\n" + MARK[:2]) + 1:
            return False
        if body.count(b"\n") > len(found) and any(stop in body for stop in STOPS):
            return False
        *columns, texts = zip(*found)  # noqa: B905 - of one pattern, all are of one length
        try:
            figures = [_integers(column) for column in columns]
        except ValueError:
            return False
        self._complete(self._rest.take() if self._rest.size_bytes else b"")
        self._flush()
        parts: list[list[Any]]
        if self.era == "E":
            compute, sync, sent, received = figures
            parts = [compute, sync, list(map(add, compute, sync)), sent, received]
        elif self.era == "D":
            parts = [[None] * len(found), [None] * len(found), *figures]
        else:
            total, compute, sync, sent, received = figures
            parts = [compute, sync, total, sent, received]
        # The last one's text may go on.
        last = [part.pop() for part in parts]
        self._previous = ("prediction", 1, *last, texts[-1] + b"\n")
        self._pass_on("prediction", [[1] * (len(found) - 1), *parts], texts[:-1])
        return True

    def finish(self) -> None:
        """There are no more lines. The last record gets the text before the summary."""
        self.text_cut = self._rest.cut
        self.tail = self._rest.take()
        self.apart = take_apart(self.tail)
        more = self.apart.text
        if more and self._previous is not None and self._previous[0] == "prediction":
            more = more.removesuffix(b"\n") + b"\n"
        else:
            more = b""
        self._complete(more)
        self._previous = None
        self._settle(_real(self._held))
        self._flush()
        # A log may hold many runs, which are all kept until the last has been read.
        del self._held, self._rest

    def _complete(self, more: bytes) -> None:
        """Nothing is added any more to the last record but this text."""
        if self._previous is None:
            return
        fields = (*self._previous[:-1], self._previous[-1] + more) if more else self._previous
        if self._predicting and not self._held:
            self._settle((fields,))
            return
        self._held.append(fields)
        if self._predicting:
            self._settle(_real(self._held))
            self._held.clear()

    def _settle(self, records: Iterable[_Fields]) -> None:
        for phase, tokens, compute, sync, total, sent, received, text in records:
            if self._ready and self._ready[-1][0] != phase:
                self._flush()
            printed = text.removesuffix(b"\n")
            self._ready.append((phase, tokens, compute, sync, total, sent, received, printed))
        if len(self._ready) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._ready:
            phases, *columns, texts = zip(*self._ready, strict=True)
            self._pass_on(phases[0], columns, texts)
            self._ready = []

    def _pass_on(
        self, phase: PhaseName, columns: Iterable[Sequence[Any]], texts: Sequence[bytes]
    ) -> None:
        if texts:
            printed = _decoded(texts) if phase == "prediction" else [None] * len(texts)
            self._take(Records._make((self._records, phase, *columns, printed)))
            self._records += len(texts)

    def _any_era(self, line: bytes) -> _Fields | None:
        """Any era that the head allows; the first prediction after an evaluation settles it."""
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
        if match := PRED_E.match(line):
            compute, sync, sent, received = map(int, match.groups())
            if not self._predicting:
                self._predict("E")
            text = line[match.end() :]
            return "prediction", 1, compute, sync, compute + sync, sent, received, text
        match = EVAL_E.match(line)
        if match is None or self._predicting:
            return None  # upstream evaluates before it predicts: this is a token's text
        compute, sync, sent, received, tokens = map(int, match.groups())
        self._evaluated = "E"
        return "evaluation", tokens, compute, sync, compute + sync, sent, received, b""

    def _era_d(self, line: bytes) -> _Fields | None:
        if match := PRED_D.match(line):
            total, sent, received = map(int, match.groups())
            if not self._predicting:
                self._predict("D")
            return "prediction", 1, None, None, total, sent, received, line[match.end() :]
        match = EVAL_D.match(line)
        if match is None or self._predicting:
            return None
        total, sent, received, tokens = map(int, match.groups())
        self._evaluated = "D"
        return "evaluation", tokens, None, None, total, sent, received, b""

    def _predict(self, era: str) -> None:
        self._held_predictions += 1
        self._predicting = self._evaluated == era or self._held_predictions > MOST_HELD
        self._evaluated = None

    def _era_abc(self, line: bytes) -> _Fields | None:
        match = PRED_ABC.match(line)
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


class _Integers(dict[bytes, int]):
    """Numbers as printed and what they are: a log has few different ones."""

    def __missing__(self, printed: bytes) -> int:
        if len(self) > MOST_NUMBERS:
            self.clear()
        if not USUAL_NUMBER.fullmatch(printed):
            raise ValueError(printed)
        number = self[printed] = int(printed)
        return number


_integer = _Integers().__getitem__


def _integers(column: Sequence[bytes]) -> list[int]:
    """The numbers of a column, which are often all the same."""
    if column.count(column[0]) == len(column):
        return [_integer(column[0])] * len(column)
    return list(map(_integer, column))


def _decoded(texts: Sequence[bytes]) -> list[str]:
    try:
        return list(map(bytes.decode, texts))
    except UnicodeDecodeError:
        return [text.decode("utf-8", "replace") for text in texts]
