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

TABLE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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
        raise HerdError(f"Reading the data {path}: {why(error)}.") from None


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
    for document in reader(path, columns, faults):
        documents.append(document)
        require_not_many(len(documents), path)
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
    if not lines[-1].strip():
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
        raise RowError(f"it is no JSON object: {error}") from None


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
            faults.add(path, line, f"it is not valid JSON: {error}")
            return
        yield line, text[at:end]
        at = _next(text, end)
        if text[at : at + 1] == ",":
            at = _next(text, at + 1)
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
    content = read_bounded(path)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        faults.add(path, line, "it contains a NUL character")
        return
    text = decoded(content, path, faults)
    if text is None:
        return
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
        faults.add(path, began, f"it is not valid CSV: {error}")


def _header_fault(header: list[str], columns: Columns) -> str | None:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        return f"the column `{twice}` appears twice"
    return lacking(columns, header)


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
            if unpacked > 4 * MOST_BYTES:
                raise HerdError(f"{path} has {unpacked >> 20} MiB unpacked: write less data.")
            number = 0
            for batch in file.iter_batches(columns=list(wanted), batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    try:
                        yield document_of(row, columns, f"{path.name}:{number}")
                    except RowError as error:
                        faults.add(path, number, str(error), of="row")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        faults.add(path, 1, f"it is not a readable Parquet file: {error}", of="row")
