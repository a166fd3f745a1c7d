"""Reads the files of a recipe's data: JSONL, JSON, CSV and Parquet, within bounds."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import RootModel

from core.errors import HerdError
from core.record import UnfitError, parse_record, read_file, why
from experiments.finetune.data.documents import (
    LONGEST_LINE_BYTES,
    MOST_BYTES,
    MOST_DOCUMENTS,
    Document,
    Faults,
)
from experiments.finetune.data.rows import RowError, document_of, lacking, named_columns

if TYPE_CHECKING:
    from experiments.finetune.recipe import Columns

_ROWS = 16
"""Of a Parquet file that are unpacked at once: each may have as much as the file may in all."""
TABLE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_JSON_WORDS = (
    (
        re.compile(r"^the whole: .*"),
        "an entry must be `{…}`; in JSONL each has one line, and a list belongs in a .json file",
    ),
    (re.compile(r"^Exceeds the limit.*"), "it has a number of thousands of digits"),
    (re.compile(r": line 1 column (\d+) \(char \d+\)$"), r" (character \1 of the line)"),
    (re.compile(r"^maximum recursion depth .*"), "it is nested too deeply"),
)
_BLANKS = re.compile(r"[ \t\n]*")


class _Object(RootModel[dict[str, object]]):
    """A JSON object."""


def read_bounded(path: Path) -> bytes:
    """What a file of the data holds.

    Raises:
        HerdError: it cannot be read, or is larger than all data may be.
    """
    try:
        return read_file(path.parent.resolve(), path.name, MOST_BYTES)
    except OSError as error:
        remedy = " Give the file itself in its place." if path.is_symlink() else ""
        raise HerdError(f"Reading the data {path}: {why(error)}.{remedy}") from None


def read_table(path: Path, columns: Columns, faults: Faults) -> list[Document]:
    """The documents of a JSONL, JSON, CSV or Parquet file; what is damaged goes to `faults`.

    Raises:
        HerdError: the file cannot be read as what its name says.
    """
    reader: Callable[[Path, Columns, Faults], Iterator[Document]] = {
        ".jsonl": _jsonl,
        ".json": _json,
        ".csv": _csv,
        ".parquet": _parquet,
    }[path.suffix.lower()]
    documents: list[Document] = []
    characters = 0
    for document in reader(path, columns, faults):
        documents.append(document)
        require_not_many(len(documents), path)
        characters += len(document.whole)
        if characters > MOST_BYTES:  # a packed file repeats a text for a few bytes
            raise HerdError(f"{path} has more than {MOST_BYTES >> 20} MiB of text: write less.")
    return documents


def require_not_many(count: int, where: Path) -> None:
    """Refuse more documents than can be compared with each other.

    Raises:
        HerdError: there are more.
    """
    if count > MOST_DOCUMENTS:
        raise HerdError(f"{where} has more than {MOST_DOCUMENTS} entries: write fewer of them.")


def decoded(content: bytes, path: Path, faults: Faults) -> str | None:
    """The text of a file in UTF-8 with or without its mark; None where it is none."""
    if content.startswith(_UTF16):
        faults.add(path, 1, "this is UTF-16 text: save the file as UTF-8")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        faults.add(path, line, "this is not UTF-8 text: save the file as UTF-8")
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _jsonl(path: Path, columns: Columns, faults: Faults) -> Iterator[Document]:
    content = read_bounded(path)
    if content.startswith(_UTF16):
        faults.add(path, 1, "this is UTF-16 text: save the file as UTF-8")
        return
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    while lines and not lines[-1].strip():
        del lines[-1]
    for number, line in enumerate(lines, 1):
        try:
            row = _object(line)
            yield document_of(row, columns, f"{path.name}:{number}")
        except RowError as error:
            faults.add(path, number, str(error))


def _object(line: bytes) -> Mapping[str, object]:
    if not line.strip():
        raise RowError("it is empty")
    if len(line) > LONGEST_LINE_BYTES:
        raise RowError(f"it has {len(line)} bytes; at most {LONGEST_LINE_BYTES} are read")
    if b"\0" in line:
        raise RowError("it contains a NUL character")
    try:
        line.decode()
    except UnicodeDecodeError:
        raise RowError("it is not UTF-8 text") from None
    try:
        return parse_record(line.strip(), _Object).root
    except UnfitError as error:
        raise RowError(f"it is no JSON object: {_said_of_json(str(error))}") from None


def _said_of_json(wrong: str) -> str:
    """Put into words for its author why a text is no JSON object."""
    return next(
        (pattern.sub(words, wrong) for pattern, words in _JSON_WORDS if pattern.search(wrong)),
        wrong,
    )


def _json(path: Path, columns: Columns, faults: Faults) -> Iterator[Document]:
    text = decoded(read_bounded(path), path, faults)
    if text is None:
        return
    for number, (line, entry) in enumerate(_entries(text, path, faults), 1):
        try:
            place = f"{path.name} entry {number}:{line}"
            yield document_of(_object(entry.encode()), columns, place)
        except (RowError, UnicodeEncodeError) as error:
            faults.add(path, line, str(error))


def _entries(text: str, path: Path, faults: Faults) -> Iterator[tuple[int, str]]:
    """Line and text of each entry of a JSON list; ends where the list is no JSON any more."""
    decoder = json.JSONDecoder()
    at, line, counted = _next(text, 0), 1, 0
    if text[at : at + 1] != "[":
        faults.add(path, 1, "the file must be a list of objects, `[{…}, {…}]`; or JSONL, `.jsonl`")
        return
    at = _next(text, at + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            _value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            wrong = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            at_line = error.lineno if isinstance(error, json.JSONDecodeError) else line
            faults.add(path, at_line, f"it is not valid JSON: {_said_of_json(wrong)}")
            return
        yield line, text[at:end]
        at = _next(text, end)
        if text[at : at + 1] == ",":
            at = _next(text, at + 1)
            if text[at : at + 1] == "]":
                faults.add(path, line, "after the last entry there must be no `,`")
                return
        elif text[at : at + 1] != "]":
            faults.add(path, line, "after this entry there must be `,` or `]`")
            return
    if _next(text, at + 1) != len(text):
        faults.add(
            path, text.count("\n", 0, at) + 1, "there is something after the end of the list"
        )


def _next(text: str, at: int) -> int:
    """Where the next character is that is no blank."""
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _csv(path: Path, columns: Columns, faults: Faults) -> Iterator[Document]:
    text = decoded(read_bounded(path), path, faults)
    if text is None:
        return
    if "\0" in text:
        faults.add(path, text.count("\n", 0, text.index("\0")) + 1, "it contains a NUL character")
        return
    csv.field_size_limit(LONGEST_LINE_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    began = 1
    try:
        for values in reader:
            if header is None:
                header = values
                if wrong := _header_fault(header, columns):
                    faults.add(path, 1, wrong)
                    return
            elif values:  # a blank line is no row
                try:
                    yield _csv_row(header, values, columns, f"{path.name}:{began}")
                except RowError as error:
                    faults.add(path, began, str(error))
            began = reader.line_num + 1
    except csv.Error as error:
        is_open = "unexpected end" in str(error)
        wrong = 'a quote (") that opens here is not closed' if is_open else str(error)
        faults.add(path, began, f"it is not valid CSV: {wrong}")


def _header_fault(header: list[str], columns: Columns) -> str | None:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        return f"the column `{twice}` appears twice"
    wrong = lacking(columns, header)
    between = next((mark for mark in (";", "\t") if len(header) == 1 and mark in header[0]), None)
    if wrong and between:
        return f"{wrong}. Save the file with commas between the columns, not with {between!r}"
    return wrong


def _csv_row(header: list[str], values: list[str], columns: Columns, place: str) -> Document:
    if len(values) != len(header):
        raise RowError(f"it has {len(values)} values, but there are {len(header)} columns")
    return document_of(dict(zip(header, values, strict=True)), columns, place)


def _parquet(path: Path, columns: Columns, faults: Faults) -> Iterator[Document]:
    import pyarrow as pa  # noqa: PLC0415 - takes a second; most data is no Parquet
    import pyarrow.parquet as pq  # noqa: PLC0415

    read_bounded(path)
    try:
        with pq.ParquetFile(path) as file:
            wanted = named_columns(columns)
            if wrong := lacking(columns, file.schema_arrow.names):
                faults.add(path, 1, wrong, of="row")
                return
            require_not_many(file.metadata.num_rows, path)
            groups = (file.metadata.row_group(n) for n in range(file.metadata.num_row_groups))
            unpacked = sum(group.total_byte_size for group in groups)
            if unpacked > MOST_BYTES:
                raise HerdError(f"{path} has {unpacked >> 20} MiB unpacked: write less data.")
            number = 0
            for batch in file.iter_batches(columns=list(wanted), batch_size=_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    try:
                        yield document_of(row, columns, f"{path.name}:{number}")
                    except RowError as error:
                        faults.add(path, number, str(error), of="row")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        wrong = str(error).rstrip(".")
        faults.add(path, 1, f"it is not a readable Parquet file: {wrong}", of="row")
