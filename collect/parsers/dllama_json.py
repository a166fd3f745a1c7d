"""The JSON of a log of distributed-llama in pieces, for logs that do not fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from json.encoder import encode_basestring
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from collect.parsers.distributed_llama import ParsedLog, parse_runs, survey
from collect.parsers.dllama_records import Records, Take
from collect.parsers.dllama_source import LogText, open_log
from core.errors import HerdError

if TYPE_CHECKING:
    from collect.attempt import Role

_PIECE_BYTES = 1 << 18
MOST_NUMBERS = 1 << 15


class _Spool:
    """The JSON of records, part after part of a log, in a file that has no name."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begins: list[int] = []

    def begin(self) -> Take:
        """The next part of the log begins."""
        self._begins.append(self._file.tell())
        return self._take

    def part(self, index: int) -> Iterator[str]:
        """The records of a part, joined by commas."""
        at, *ends = self._begins[index : index + 2]
        end = ends[0] if ends else self._file.seek(0, 2)
        at += 1  # without the first comma
        while at < end:
            self._file.seek(at)
            # A record is a line: text has no line end in JSON.
            piece = self._file.read(min(_PIECE_BYTES, end - at))
            if at + len(piece) < end:
                piece += self._file.readline()
            at += len(piece)
            yield piece.decode()

    def _take(self, records: Records) -> None:
        self._file.write(_json(records).encode())


class _Written(dict[float | str | None, str]):
    """How values are written: a log has few different numbers."""

    def __missing__(self, value: float | str | None) -> str:
        if len(self) > MOST_NUMBERS:
            self.clear()
        written = self[value] = json.dumps(value)
        return written


_written = _Written().__getitem__


def _json(records: Records) -> str:
    """The records, each on a line, with a comma before each.

    Joined from their columns and the text between these: the numbers of a log are few, and some
    of its columns are all the same.
    """
    _, phase, *columns, texts = records
    woven: list[Iterable[str]] = []
    between = f',\n{{"phase": "{phase}", '
    for name, column in zip(Records._fields[2:-1], columns, strict=True):
        between += f'"{name}": '
        if column.count(column[0]) == len(column):
            between += f"{_written(column[0])}, "
        else:
            woven += [repeat(between), map(_written, column)]
            between = ", "
    written: Iterable[str] = repeat("null", len(texts))
    if texts[0] is not None:
        written = map(encode_basestring, texts)  # type: ignore[arg-type]
    woven += [repeat(f'{between}"text": '), written, repeat("}")]
    return "".join(chain.from_iterable(zip(*woven)))  # noqa: B905 - repeated ones have no end


def json_chunks(path: Path, role: Role = "root") -> Iterator[str]:
    """The JSON of a log: the last run as `ParsedLog.to_json` has it, and `runs`.

    Only where there are several `runs` holds them all, in order; a single run is not repeated.

    Raises:
        NotALogError: it is no log of distributed-llama, or not of this role.
        HerdError: what was read cannot be kept.
    """
    with open_log(path, role) as source:
        yield from _chunks(source, role)


def _chunks(source: LogText, role: Role) -> Iterator[str]:
    try:
        with TemporaryFile() as file:
            spool = _Spool(file)
            runs = list(_runs(source.stream, role, spool))
            last, index = runs[-1]
            several = [f"the file holds {len(runs)} runs: this is the last"] if runs[1:] else []
            flags = (*source.notes, *several, *last.flags)
            yield "{" + _fields(replace(last, flags=flags)) + '"records": ['
            yield from spool.part(index)
            if several:
                yield '\n],\n"runs": ['
                for number, (log, index) in enumerate(runs):
                    yield (",\n{" if number else "\n{") + _fields(log) + '"records": ['
                    yield from spool.part(index)
                    yield "\n]}"
            yield "\n]}\n"
    except OSError as error:
        raise HerdError(f"Keeping what was read in a temporary file: {error.strerror}.") from None


def _runs(stream: BinaryIO, role: Role, spool: _Spool) -> Iterator[tuple[ParsedLog, int]]:
    if role == "root":
        yield from survey(stream, spool.begin, mixed=True)
        return
    for index, log in enumerate(parse_runs(stream, role, mixed=True)):
        take = spool.begin()
        if log.records:
            take(Records.of(log.records))
        yield log, index


def _fields(log: ParsedLog) -> str:
    """All fields but the records, each on a line."""
    return "".join(
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n"
        for key, value in log.to_json(records=False).items()
    )
